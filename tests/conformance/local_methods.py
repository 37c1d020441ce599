"""The deployment methods of this collection that run on any machine, each with a server and two clients of its own."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from openqrm.paths import COLLECTION

from tests.conformance.conftest import type_of
from tests.conformance.grant_script import STORAGES, Client, MethodTarget, client_of, known_as, own_program
from tests.support.roles import Host, Step, run

BRIDGE, SERVER = "srv0", "10.77.0.1"
ADDRESSES = {"client": "10.77.0.9", "stranger": "10.77.0.10"}


def ip(*arguments: str) -> None:
    """Run ip(8)."""
    subprocess.run(["ip", *arguments], check=True, timeout=60)


@contextlib.contextmanager
def namespaces(*names: str) -> Iterator[list[str]]:
    """New network namespaces; their names are made of these."""
    assert os.geteuid() == 0, "these tests make network namespaces: run them as root"
    made = [f"oqr-{name[:2]}-{secrets.token_hex(3)}" for name in names]
    try:
        for name in made:
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        yield made
    finally:
        for name in made:
            pids = subprocess.run(
                ["ip", "netns", "pids", name], capture_output=True, text=True, timeout=60, check=False
            )
            for pid in pids.stdout.split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            subprocess.run(["ip", "netns", "delete", name], timeout=60, check=False)


@contextlib.contextmanager
def clients_at(namespace: str, bridge: str, server: str, addresses: Mapping[str, str]) -> Iterator[list[Client]]:
    """Clients (name -> address) in namespaces of their own, joined to a bridge of the server's."""
    with namespaces(*addresses) as made:
        for address, own in zip(addresses.values(), made, strict=True):
            peer = f"conf-{own[-6:]}"
            ip("link", "add", "eth0", "netns", own, "type", "veth", "peer", "name", peer, "netns", namespace)
            ip("-n", namespace, "link", "set", peer, "master", bridge, "up")
            ip("-n", own, "address", "add", f"{address}/24", "dev", "eth0")
            ip("-n", own, "link", "set", "eth0", "up")
        prefixes = [("ip", "netns", "exec", own) for own in made]
        yield [
            client_of(f"{name}-{prefix[-1]}", prefix, server) for name, prefix in zip(addresses, prefixes, strict=True)
        ]


def target_at(
    method: str, location: str, address: str, clients: Sequence[Client], program: str = "", **more: Any
) -> MethodTarget:
    """A method of this collection, with volumes at the location; `program`: the method whose client it has, if not its
    own."""
    info = type_of(f"{COLLECTION}.deployment_{method}", "deployment")
    storage = type_of(STORAGES[info.needs])
    return MethodTarget(info, storage, location, address, *clients, own_program(program or method), **more)


@contextlib.contextmanager
def fake(directory: Path) -> Iterator[MethodTarget]:
    """`deployment_fake`, whose client obeys what its file says."""
    clients = [Client(known_as(name, address, "52:54:00:77:00:09")) for name, address in ADDRESSES.items()]
    variables, lacks = {"fake_state_dir": str(directory / "fake")}, frozenset({"sessions", "volumes"})
    location = str(directory / "volumes")
    yield target_at("fake", location, SERVER, clients, variables=variables, lacks=lacks, restart=("true",))


@contextlib.contextmanager
def network() -> Iterator[tuple[str, list[Client]]]:
    """A new network: the namespace of its server, and two clients."""
    with namespaces("server") as (own,):
        ip("-n", own, "link", "add", BRIDGE, "type", "bridge")
        ip("-n", own, "address", "add", f"{SERVER}/24", "dev", BRIDGE)
        ip("-n", own, "link", "set", BRIDGE, "up")
        with clients_at(own, BRIDGE, SERVER, ADDRESSES) as clients:
            yield own, clients


@contextlib.contextmanager
def aoe(directory: Path) -> Iterator[MethodTarget]:
    """`deployment_aoe`, whose processes run in the network of their own; the playbook does, too."""
    with network() as (own, clients):
        state = directory / "state"
        variables = {
            "deployment_aoe_interface": BRIDGE,
            "deployment_aoe_supervisor": "process",
            "deployment_aoe_state_dir": str(state),
        }
        host = Host(prefix=("ip", "netns", "exec", own))
        # The processes end with their server; who serves what is granted without systemd is the next prepare.
        restart = (
            "sh",
            "-c",
            f"for pid in $(ip netns pids {own}); do grep -qx vblade /proc/$pid/comm && kill $pid; done; true",
        )
        location = str(directory / "volumes")
        yield target_at("aoe", location, SERVER, clients, host=host, variables=variables, restart=restart)


@contextlib.contextmanager
def ganesha(directory: Path) -> Iterator[MethodTarget]:
    """`deployment_nfs` with nfs-ganesha in a network of its own, which is stopped in the end."""
    with network() as (own, clients), tempfile.TemporaryDirectory(prefix="openqrm-nfs-") as name:
        place = Path(name)  # its path is short: that of a socket has a limit
        variables = {
            "deployment_nfs_server": "ganesha",
            "deployment_nfs_supervisor": "process",
            "deployment_nfs_network_namespace": own,
            "deployment_nfs_run_dir": str(place / "run"),
            "deployment_nfs_log_dir": str(place / "log"),
            "deployment_nfs_ganesha_state_dir": str(place / "state"),
            "deployment_nfs_grace_s": 5,
            "deployment_nfs_timeout_s": 60,
        }
        restart = ("sh", "-c", f"kill $(cat {place}/run/ganesha.pid); sleep 2")
        try:
            location = str(place / "volumes")
            yield target_at("nfs", location, SERVER, clients, variables=variables, restart=restart)
        finally:
            stopped = run(directory, [Step(f"{COLLECTION}.deployment_nfs", "stop")], variables)
            assert stopped[0].failed == ""


@contextlib.contextmanager
def tgt(directory: Path) -> Iterator[MethodTarget]:
    """`deployment_iscsi` with tgtd in a network of its own, which is stopped in the end."""
    with network() as (own, clients), tempfile.TemporaryDirectory(prefix="openqrm-tgt-") as name:
        place = Path(name)  # its path is short: that of a socket has a limit
        variables = {
            "deployment_iscsi_server": "tgt",
            "deployment_iscsi_addresses": [SERVER],
            "deployment_iscsi_supervisor": "process",
            "deployment_iscsi_network_namespace": own,
            "deployment_iscsi_run_dir": str(place / "run"),
            "deployment_iscsi_log_dir": str(place / "log"),
            "deployment_iscsi_state_dir": str(place / "state"),
        }
        restart = ("sh", "-c", f"read pid _ < {place}/run/tgt.process && kill -KILL $pid")
        try:
            location = str(place / "volumes")
            yield target_at("iscsi", location, SERVER, clients, variables=variables, restart=restart)
        finally:
            stopped = run(directory, [Step(f"{COLLECTION}.deployment_iscsi", "stop")], variables)
            assert stopped[0].failed == ""


LOCAL = {"fake": fake, "nfs": ganesha, "aoe": aoe, "iscsi": tgt}
"""What runs on any machine, by the name of its type. The others need a server's kernel: tests/e2e has them."""
