"""Power by ssh and Wake-on-LAN: what is run, what is refused, and what an answer means."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.openqrm.datacenter.plugins.module_utils.commands import CommandError
from ansible_collections.openqrm.datacenter.plugins.module_utils.power import Power, PowerError
from ansible_collections.openqrm.datacenter.plugins.module_utils.power_by_system import Ssh, Wol, magic_packet
from ansible_collections.openqrm.datacenter.plugins.modules import ssh_power, wol_power

MAC = "52:54:00:12:34:56"


@pytest.fixture
def machine() -> Iterator[socket.socket]:
    """What stands for a machine that is on: a port that is listened on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def options(machine: socket.socket, **more: Any) -> dict[str, Any]:
    port = machine.getsockname()[1]
    known = {"user": "root", "identity_file": "/k", "known_hosts_file": "/h", "broadcast": "127.0.0.1", "packets": 2}
    return known | {"port": port, "request_timeout_s": 1} | more


NODE = {"name": "node1", "address": "127.0.0.1", "mac": MAC}


def test_off_is_a_command_of_the_system_and_is_seen_when_the_machine_is_gone(machine: socket.socket) -> None:
    calls: list[list[str]] = []
    driver = Ssh(lambda argv, _timeout_s: calls.append(argv) or "", options(machine))
    states = iter(["on", "on", "off"])
    driver.power = lambda _endpoint: next(states)
    result = Power(driver, 5, 4).ensure("off", [NODE], False)
    assert result["items"] == [{"name": "node1", "power": "off", "changed": True}]
    (argv,) = calls
    assert argv[0] == "ssh" and {"-oStrictHostKeyChecking=yes", "-oBatchMode=yes", "-oUserKnownHostsFile=/h"} <= set(
        argv
    )
    assert argv[argv.index("--") + 1] == "127.0.0.1" and "poweroff" in argv[-1]


def test_reset_reboots(machine: socket.socket) -> None:
    calls: list[list[str]] = []
    driver = Ssh(lambda argv, _timeout_s: calls.append(argv) or "", options(machine))
    assert Power(driver, 0, 4).ensure("reset", [NODE], False)["items"][0]["power"] == "on"
    assert "reboot" in calls[0][-1]


def test_a_refused_connection_is_an_answer(machine: socket.socket) -> None:
    driver = Ssh(None, options(machine))
    assert driver.power(NODE) == "on"
    assert Ssh(None, options(machine, port=1)).power(NODE) == "on"


def never(_argv: list[str], _timeout_s: int) -> str:
    raise AssertionError("ssh was run")


@pytest.mark.parametrize("check", [False, True])
def test_what_cannot_be_done_is_refused(machine: socket.socket, check: bool) -> None:
    driver = Ssh(never, options(machine))
    with pytest.raises(PowerError, match="cannot be told what to boot from"):
        Power(driver, 0, 4).ensure("boot_device", [NODE | {"device": "pxe"}], check)
    driver.power = lambda _endpoint: "off"
    for verb in ("on", "reset"):
        with pytest.raises(PowerError, match="Resource node1: it is off, and cannot be switched on by ssh"):
            Power(driver, 0, 4).ensure(verb, [NODE], check)
    assert not Power(driver, 0, 4).ensure("off", [NODE], check)["changed"]


def test_ssh_that_fails_is_told(machine: socket.socket) -> None:
    def refused(argv: list[str], _timeout_s: int) -> str:
        raise CommandError(argv, 255, "Host key verification failed.")

    result = Power(Ssh(refused, options(machine)), 0, 4).ensure("off", [NODE], False)
    assert "off by ssh to 127.0.0.1 failed: Host key verification failed. See that its host key" in result["msg"]


@pytest.mark.parametrize("address", ["", "-oProxyCommand=x", "a b", "a;b", "$(x)", "a\nb", "user@host"])
def test_addresses_that_are_none(machine: socket.socket, address: str) -> None:
    with pytest.raises(PowerError, match=re.escape("give the host name or IP address")):
        Power(Ssh(never, options(machine)), 0, 4).ensure("off", [NODE | {"address": address}], False)


@pytest.mark.parametrize("mac", ["", None, "52:54:00", "52:54:00:12:34:5g"])
def test_mac_addresses_that_are_none(machine: socket.socket, mac: str) -> None:
    with pytest.raises(PowerError, match="no MAC address that could be woken"):
        Power(Wol(never, options(machine)), 0, 4).ensure("status", [NODE | {"mac": mac}], False)


def test_magic_packet() -> None:
    packet = magic_packet(MAC)
    assert len(packet) == 102
    assert packet[:6] == b"\xff" * 6
    assert packet[6:] == bytes.fromhex("525400123456") * 16


def test_modules_have_what_their_drivers_need() -> None:
    assert ssh_power.Ssh is Ssh and wol_power.Wol is Wol
