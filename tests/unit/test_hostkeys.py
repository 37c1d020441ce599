"""SSH host keys: made once, sealed in the store, given to their machine alone, and told to clients."""

from __future__ import annotations

import dataclasses
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from openqrm import hostkeys, knownhosts, nodes
from openqrm.config import Config
from openqrm.errors import ConfigError
from openqrm.grantsecrets import grant_secret
from openqrm.registration import ForbiddenError, UnauthorizedError, exchange, token_sha256
from openqrm.store import Store

from .test_nodes import CONFIG, NAME, assign, hardware, store

__all__ = ["store"]


def settings(tmp_path: Path) -> Config:
    """The configuration, with a state directory of the test."""
    return dataclasses.replace(CONFIG, state_dir=str(tmp_path / "state"))


def bound_token(store: Store) -> str:
    """The digest of the token of a machine that runs web/0."""
    token = token_sha256(nodes.register(store, CONFIG, hardware()).token)
    assign(store)
    return token_sha256(exchange(store, token)[0])


def test_a_member_has_one_key_which_its_machine_alone_gets(store: Store, tmp_path: Path) -> None:
    config = settings(tmp_path)
    token = bound_token(store)
    private = hostkeys.secrets_of(store, config, token)["ssh_host_key"]
    assert hostkeys.secrets_of(store, config, token)["ssh_host_key"] == private
    file = tmp_path / "key"
    file.touch(mode=0o600)
    file.write_text(private)
    public = subprocess.run(["ssh-keygen", "-y", "-f", file], capture_output=True, text=True, check=True).stdout.strip()
    with store.read() as reader:
        assert [key.public for key in reader.host_keys()] == [public]
        assert knownhosts.known_hosts(reader) == [f"web,10.77.0.50 {public}"]
    assert (tmp_path / "state/pki/store.key").stat().st_mode & 0o777 == 0o600
    other = nodes.register(store, CONFIG, hardware(macs=["52:54:00:00:00:01"], boot_mac="52:54:00:00:00:01"))
    assert hostkeys.secrets_of(store, config, token_sha256(other.token)) == {"ssh_host_key": "", "grant": ""}


def test_the_secret_of_a_grant_is_of_this_assignment(store: Store, tmp_path: Path) -> None:
    config = settings(tmp_path)
    given = hostkeys.secrets_of(store, config, bound_token(store))["grant"]
    assert re.fullmatch(r"[A-Za-z0-9_-]{16}", given)
    assert given == grant_secret(config, "san1.v", NAME, 1)
    others = [grant_secret(config, *grant) for grant in (("san1.w", NAME, 1), ("san1.v", "x", 1), ("san1.v", NAME, 2))]
    assert len({given, *others}) == 4
    (tmp_path / "state/pki/store.key").unlink()
    assert grant_secret(config, "san1.v", NAME, 1) != given


def test_no_key_without_a_token_of_the_assignment(store: Store, tmp_path: Path) -> None:
    config = settings(tmp_path)
    idle = token_sha256(nodes.register(store, CONFIG, hardware()).token)
    assign(store)
    with pytest.raises(ForbiddenError):
        hostkeys.secrets_of(store, config, idle)
    with pytest.raises(UnauthorizedError):
        hostkeys.secrets_of(store, config, "0" * 64)
    with store.read() as reader:
        assert reader.host_keys() == []


def test_a_copy_of_the_store_does_not_open_the_keys(store: Store, tmp_path: Path) -> None:
    config = settings(tmp_path)
    token = bound_token(store)
    hostkeys.secrets_of(store, config, token)
    assert all(b"OPENSSH PRIVATE KEY" not in path.read_bytes() for path in tmp_path.glob("openqrm.db*"))
    (tmp_path / "state/pki/store.key").unlink()
    with pytest.raises(ConfigError, match=r"Restore store\.key"):
        hostkeys.secrets_of(store, config, token)


def test_ssh_accepts_this_key_and_no_other(tmp_path: Path) -> None:
    """As the inventory gives them; ssh itself reads them back."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True)
    public = " ".join((tmp_path / "key.pub").read_text().split()[:2])
    words = shlex.split(knownhosts.ssh_arguments("web-0", public))
    shown = subprocess.run(["ssh", "-G", *words, "10.0.0.1"], capture_output=True, text=True, check=True).stdout
    options = dict(line.split(" ", 1) for line in shown.splitlines() if " " in line)
    assert options["stricthostkeychecking"] in ("true", "yes")
    assert options["knownhostscommand"] == f"/bin/echo web-0 {public}"
    assert (options["hostkeyalias"], options["userknownhostsfile"]) == ("web-0", "/dev/null")


def test_the_inventory_has_the_key_of_what_runs(store: Store, tmp_path: Path) -> None:
    from ansible_collections.openqrm.datacenter.plugins.plugin_utils import inventory_data

    hostkeys.secrets_of(store, settings(tmp_path), bound_token(store))
    hosts = inventory_data.Hosts()
    with store.read() as reader:
        inventory_data.collect(hosts, reader, inventory_data.Filters())
        public = reader.host_keys()[0].public
    assert f"'KnownHostsCommand=/bin/echo web {public}'" in hosts.hosts["web"]["ansible_ssh_common_args"]
