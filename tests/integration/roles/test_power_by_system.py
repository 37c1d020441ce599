"""power_ssh and power_wol in a network of two namespaces: a machine with a real ssh server, and what is on the wire."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.integration.roles.conftest import CLIENT, SERVER, Network
from tests.support.roles import Step, run

SSH, WOL = "openqrm.datacenter.power_ssh", "openqrm.datacenter.power_wol"
MAC = "52:54:00:12:34:56"
STARTED_S = 30
# What the ssh server runs instead of any command: it notes what was asked, and takes the machine off the network.
COMMAND = """#!/bin/sh
printf '%s\\n' "$SSH_ORIGINAL_COMMAND" >> {directory}/asked
case $SSH_ORIGINAL_COMMAND in
    *poweroff*) (sleep 1; ip address delete {address}/24 dev srv0) > /dev/null 2>&1 < /dev/null & ;;
esac
"""
# The machine's NIC while it is off: a magic packet for it, and the machine has its address again.
NIC = """
import socket, subprocess, sys
wanted = b"\\xff" * 6 + bytes.fromhex("{mac}") * 16
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
wire.bind(("srv0", 0))
print("listening", flush=True)
while True:
    frame = wire.recv(2048)
    if wanted in frame:
        print(frame[:6].hex(), flush=True)
        subprocess.run(["ip", "address", "replace", "{address}/24", "dev", "srv0"], check=True)
"""


@dataclass(frozen=True)
class Machine:
    """The machine in the server's namespace; `directory` has the keys, and asked: the commands by ssh."""

    network: Network
    directory: Path

    def variables(self, role: str) -> dict[str, Any]:
        """The role's options; its module runs in the client's namespace."""
        files = {"identity_file": f"{self.directory}/user", "known_hosts_file": f"{self.directory}/known"}
        short = {"request_timeout_s": 4, "timeout_s": 30}
        options = {f"{role.rpartition('.')[2]}_{name}": value for name, value in {**files, **short}.items()}
        return options | {"ansible_python_interpreter": str(self.directory / "python")}

    def asked(self) -> list[str]:
        """The commands that came by ssh."""
        path = self.directory / "asked"
        return path.read_text().splitlines() if path.exists() else []


def ssh_server(directory: Path) -> list[str]:
    """The command of an ssh server with keys that are made here."""
    for name in ("host", "user"):
        argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(directory / name)]
        subprocess.run(argv, check=True, timeout=60)
    (directory / "known").write_text(f"{SERVER} {(directory / 'host.pub').read_text()}")
    (directory / "command").write_text(COMMAND.format(directory=directory, address=SERVER))
    (directory / "command").chmod(0o755)
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    settings = {
        "ListenAddress": "0.0.0.0",  # noqa: S104 - in a namespace of its own
        "HostKey": f"{directory}/host",
        "AuthorizedKeysFile": f"{directory}/user.pub",
        "ForceCommand": f"{directory}/command",
        "PidFile": "none",
        "StrictModes": "no",
        "PermitRootLogin": "yes",
        "UsePAM": "no",
    }
    (directory / "sshd").write_text("".join(f"{key} {value}\n" for key, value in settings.items()))
    return ["/usr/sbin/sshd", "-D", "-e", "-f", str(directory / "sshd")]


def wait_for(network: Network) -> None:
    """Return when the machine's ssh server answers."""
    deadline = time.monotonic() + STARTED_S
    while "SSH-2.0" not in network.ask("timeout", "2", "nc", SERVER, "22"):
        assert time.monotonic() < deadline, "the ssh server does not answer"


@pytest.fixture
def machine(network: Network, tmp_path: Path) -> Iterator[Machine]:
    """A machine that is on."""
    (tmp_path / "python").write_text(f'#!/bin/sh\nexec ip netns exec {network.client} {sys.executable} "$@"\n')
    (tmp_path / "python").chmod(0o755)
    argv = ["ip", "netns", "exec", network.server, *ssh_server(tmp_path)]
    with (tmp_path / "log").open("wb") as log, subprocess.Popen(argv, stdout=log, stderr=log) as server:
        try:
            wait_for(network)
            yield Machine(network, tmp_path)
        finally:
            server.terminate()


def step(role: str, verb: str, check: bool = False, **more: Any) -> Step:
    return Step(role, verb, {"power_endpoints": [{"name": "n1", "address": SERVER, "mac": MAC} | more]}, check)


def test_power_by_ssh(machine: Machine, tmp_path: Path) -> None:
    steps = [step(SSH, "status"), step(SSH, "on"), step(SSH, "reset"), step(SSH, "off", check=True)]
    steps += [step(SSH, "boot_device", device="pxe"), step(SSH, "off"), step(SSH, "off"), step(SSH, "on")]
    status, on, reset, checked, boot, off, again, wake = run(tmp_path, steps, machine.variables(SSH))
    done = [(item.items[0]["power"], item.changed) for item in (status, on, reset, checked, off, again)]
    assert done == [("on", False), ("on", False), ("on", True), ("off", True), ("off", True), ("off", False)]
    assert "cannot be told what to boot from" in boot.failed
    assert "Resource n1: it is off, and cannot be switched on by ssh" in wake.failed
    assert [("reboot" in line, "poweroff" in line) for line in machine.asked()] == [(True, False), (False, True)]


def test_an_unknown_host_key_is_never_accepted(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "known").write_text(f"{CLIENT} {(tmp_path / 'host.pub').read_text()}")
    (refused,) = run(tmp_path, [step(SSH, "off")], machine.variables(SSH))
    assert "Host key verification failed" in refused.failed
    assert machine.asked() == []


def test_wake_on_lan(machine: Machine, tmp_path: Path) -> None:
    script = NIC.format(mac=MAC.replace(":", ""), address=SERVER)
    argv = ["ip", "netns", "exec", machine.network.server, sys.executable, "-c", script]
    variables = machine.variables(WOL) | {"power_wol_broadcast": "10.77.0.255"}
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as nic:
        try:
            assert nic.stdout is not None
            assert nic.stdout.readline() == "listening\n"
            steps = [
                step(WOL, "off"),
                step(WOL, "on", check=True),
                step(WOL, "status"),
                step(WOL, "on"),
                step(WOL, "on"),
            ]
            outcomes = run(tmp_path, steps, variables)
            received = nic.stdout.readline().strip()
        finally:
            nic.terminate()
    assert [outcome.failed for outcome in outcomes] == [""] * len(steps)
    found = [(outcome.items[0]["power"], outcome.changed) for outcome in outcomes]
    assert found == [("off", True), ("on", True), ("off", False), ("on", True), ("on", False)]
    assert received == "ff" * 6, "the frame was not sent to everyone"


def test_a_packet_for_another_machine_does_not_wake(machine: Machine, tmp_path: Path) -> None:
    steps = [step(WOL, "off"), step(WOL, "on", mac="52:54:00:00:00:99")]
    variables = machine.variables(WOL) | {"power_wol_broadcast": "10.77.0.255", "power_wol_timeout_s": 3}
    off, on = run(tmp_path, steps, variables)
    assert not off.failed
    assert f"Resource n1: power on was asked for, {SERVER} still says off after 3 s" in on.failed
