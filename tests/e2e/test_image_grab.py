"""A running system is copied over ssh while it serves, and then served by another machine that boots the copy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.lab_session import RECIPE, LabSession, storage_address

pytestmark = pytest.mark.extended

NAME = "e2e-grab"
IDENTITY = "/root/.ssh/grab"
COPIES = "/srv/openqrm/files"


@pytest.fixture(scope="module")
def grabbed() -> Iterator[LabSession]:
    """A lab with two machines and two kinds of storage: directories and files, the latter as block devices."""
    with LabSession(NAME) as session:
        session.up(2, "bios")
        session.prepare()
        server = ["--host", session.info["storage"]["host"], "--address", session.info["storage"]["addresses"][-1]]
        session.openqrm("storage", "add", "files", "--type", "file", "--location", COPIES, *server)
        session.on_storage("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", IDENTITY)
        yield session


def recipe(lab: LabSession, directory: Path) -> Path:
    """The web server's recipe, with an ssh server that lets the storage server in."""
    content = yaml.safe_load(RECIPE.read_text())
    content["packages"] += ["openssh-server", "rsync"]
    login = lab.on_storage("cat", f"{IDENTITY}.pub")
    content["files"].append({"path": "/root/.ssh/authorized_keys", "content": login, "mode": "0600"})
    path = directory / "recipe.yml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_a_running_service_moves_to_another_machine(grabbed: LabSession, tmp_path: Path) -> None:
    lab = grabbed
    lab.openqrm(
        *("image", "create", "old", "--storage", "storage1", "--deployment", "nfs"),
        *("--recipe", str(recipe(lab, tmp_path))),
    )
    lab.openqrm("appliance", "create", "old", "--image", "old")
    lab.openqrm("appliance", "start", "old", "--to", lab.resource("node01").name)
    old = lab.resource("node01")
    assert "disk of its own" in lab.page(old.address)
    address = storage_address(old)
    login = ["ssh", "-i", IDENTITY, "-o", "StrictHostKeyChecking=yes", "-o", "HostKeyAlias=old", f"root@{address}"]
    known = next(line for line in lab.openqrm("pki", "known-hosts").out.splitlines() if old.address in line.split()[0])
    lab.on_storage("sh", "-c", f"echo 'old {known.partition(' ')[2]}' >> /root/.ssh/known_hosts")
    state = "echo 'it moved with its state' > /var/www/html/state && echo secret > /root/.hidden && echo x > /tmp/left"
    lab.on_storage(*login, state)
    assert "it moved" in lab.page(old.address, "/state")

    (tmp_path / "host.pub").write_text(known.partition(" ")[2])
    access = ["--from", f"root@{address}", "--identity", IDENTITY, "--host-key", str(tmp_path / "host.pub")]
    place = ["--storage", "files", "--deployment", "iscsi", "--size-mib", "1536"]
    copied = lab.openqrm("image", "grab", "new", *access, *place)
    assert "it moved" in lab.page(old.address, "/state"), "it serves on meanwhile"
    lab.openqrm("appliance", "stop", "old")

    lab.openqrm("appliance", "create", "new", "--image", "new")
    started = lab.openqrm("appliance", "start", "new", "--to", lab.resource("node02").name)
    new = lab.resource("node02")
    assert "disk of its own" in lab.page(new.address)
    assert "it moved with its state" in lab.page(new.address, "/state")
    rows = lab.json("appliance", "show", "new")["assignments"]
    print(json.dumps({"copy_s": copied.seconds, "start_s": started.seconds, "on": rows[0]["resource"]}))
    lab.openqrm("appliance", "stop", "new")
