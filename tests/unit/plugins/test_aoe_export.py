"""Cases of the modules aoe_export and aoe_export_info, with processes and a systemd that are made up."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.openqrm.datacenter.plugins.module_utils import aoe, block_servers
from ansible_collections.openqrm.datacenter.plugins.module_utils.aoe import AoeServer, Network, Processes, place_of
from ansible_collections.openqrm.datacenter.plugins.module_utils.daemons import wait_until

from tests.unit.plugins.module_cases import run_module

NODE, OTHER = "52:54:00:78:00:01", "52:54:00:78:00:02"


class MadeUpProcesses(Processes):
    """vblade processes that are kept in a dict."""

    def __init__(self) -> None:
        self.running: dict[int, list[str]] = {}
        self.immortal = False
        self.started = 100

    def all(self) -> dict[int, list[str]]:
        return dict(self.running)

    def start(self, arguments: list[str]) -> None:
        self.started += 1
        self.running[self.started] = list(arguments)

    def kill(self, pid: int) -> None:
        if not self.immortal:
            self.running.pop(pid, None)


class MadeUpNetwork(Network):
    """Two interfaces."""

    def interface_to(self, address: str) -> str | None:
        return "eth1" if address.startswith("10.78.") else None


class Server:
    """A machine that serves volumes by vblade."""

    def __init__(self, directory: Path) -> None:
        self.state = directory / "state"
        self.units = directory / "units"
        self.units.mkdir()
        self.processes = MadeUpProcesses()
        self.enabled: set[str] = set()
        self.volumes = [directory / name for name in ("web01-0", "web02-0")]
        for volume in self.volumes:
            volume.write_bytes(b"x" * 4096)

    def systemctl(self, argv: list[str], **_limits: int) -> str:
        """What systemctl does with instances of the template unit."""
        assert argv[0] == "systemctl"
        names = [word.removeprefix("openqrm-aoe@").removesuffix(".service") for word in argv[2:] if "@" in word]
        if argv[1] == "enable":
            self.enabled |= set(names)
        if argv[1] == "disable":
            self.enabled -= set(names)
        if argv[1] == "restart":
            for name in names:
                assignment = (self.state / "aoe" / name).read_text()
                self.processes.start(assignment.removeprefix("ARGUMENTS=").split())
        return ""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    """A server that the modules use."""
    made = Server(tmp_path)

    def aoe_server(options: Any) -> AoeServer:
        settings = [options[name] for name in ("interface", "io", "supervisor")]
        contacts = (str(made.units), made.processes, MadeUpNetwork(), made.systemctl)
        return AoeServer(options["state_dir"], 1, *settings, *contacts)

    monkeypatch.setattr(block_servers, "SERVERS", {"aoe": aoe_server})
    return made


def grant(server: Server, mac: str = NODE, number: int = 0, **more: Any) -> dict[str, Any]:
    name = server.volumes[number].name
    client = {"mac": mac, "address": "10.78.0.100"}
    path = str(server.volumes[number])
    return {"volume": name, "path": path, "target": f"san1.{name}", "number": 254 + number, "client": client, **more}


def call(
    capsys: pytest.CaptureFixture[str], server: Server, *grants: dict[str, Any], check: bool = False, **more: Any
) -> dict[str, Any]:
    arguments = {"grants": list(grants), "state_dir": str(server.state), **more}
    return run_module("aoe_export", capsys, arguments, check=check)


def listed(capsys: pytest.CaptureFixture[str], server: Server) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = run_module("aoe_export_info", capsys, {"state_dir": str(server.state)})["items"]
    return items


@pytest.mark.parametrize("supervisor", ["systemd", "process"])
def test_grants_come_and_go(supervisor: str, server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = grant(server, NODE.upper()), grant(server, OTHER, number=1, read_only=True)
    assert call(capsys, server, one, two, supervisor=supervisor, check=True)["changed"]
    assert server.processes.running == {}
    given = call(capsys, server, one, two, supervisor=supervisor)
    assert [item["changed"] for item in given["items"]] == [True, True]
    assert given["diff"]["after"][f"{server.volumes[0]} {NODE}"] == "rw e1.254 on eth1"
    assert sorted(server.processes.running.values()) == [
        ["-s", "-m", NODE, "1", "254", "eth1", str(server.volumes[0])],
        ["-s", "-r", "-m", OTHER, "2", "0", "eth1", str(server.volumes[1])],
    ]
    before = dict(server.processes.running)
    assert not call(capsys, server, one, two, supervisor=supervisor)["changed"]
    assert server.processes.running == before
    assert [(item["client"]["mac"], item["read_only"]) for item in listed(capsys, server)] == [
        (NODE, False),
        (OTHER, True),
    ]
    taken = call(capsys, server, one, state="absent", supervisor=supervisor)
    assert (taken["changed"], taken["items"][0]["sessions"]) == (True, 0)
    again = call(capsys, server, one, state="absent", supervisor=supervisor)
    assert (again["changed"], again["items"][0]["sessions"]) == (False, 0)
    assert [item["client"]["mac"] for item in listed(capsys, server)] == [OTHER]
    call(capsys, server, two, state="absent", supervisor=supervisor)
    assert server.processes.running == {} and server.enabled == set()


def test_units_start_at_boot_and_go_with_their_grant(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    call(capsys, server, grant(server))
    assert server.enabled == {"1.254-525400780001"}
    unit = (server.units / "openqrm-aoe@.service").read_text()
    assert f"EnvironmentFile={server.state}/aoe/%i\n" in unit
    call(capsys, server, grant(server), state="absent")
    assert server.enabled == set()
    assert list((server.state / "aoe").iterdir()) == []


def test_a_process_that_is_not_as_it_should_be_is_replaced(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    call(capsys, server, grant(server), supervisor="process")
    changed = call(capsys, server, grant(server, read_only=True), supervisor="process")
    assert changed["changed"]
    assert [arguments[:2] for arguments in server.processes.running.values()] == [["-s", "-r"]]


def test_what_a_killed_run_has_left_is_ended(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    call(capsys, server, grant(server))
    (server.state / "aoe.json").write_text("{}")
    (server.state / "aoe/1.254-525400780001").rename(server.state / "aoe/.1.254-525400780001")
    taken = call(capsys, server, grant(server), state="absent")
    assert (taken["changed"], taken["items"][0]["sessions"]) == (True, 0)
    assert server.enabled == set() and server.processes.running == {}


def test_a_process_that_cannot_be_ended_is_a_session(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    call(capsys, server, grant(server))
    server.processes.immortal = True
    assert call(capsys, server, grant(server), state="absent")["items"][0]["sessions"] == 1


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no mac": ({"client": {"address": "10.78.0.100"}}, "the client's mac '' is not one"),
    "mac": ({"client": {"mac": "52:54:00", "address": "10.78.0.100"}}, "is not one"),
    "no number": ({"number": 0}, "its number, 0, says no shelf and slot"),
    "number": ({"number": 65534 * 255}, "says no shelf and slot"),
    "elsewhere": ({"client": {"mac": OTHER, "address": "192.0.2.1"}}, "no interface leads to the client"),
    "missing": ({"path": "/nowhere/x"}, "there is no such block device or file"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_grant_fails_before_anything_is_touched(
    case: str, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    change, expected = BAD[case]
    result = call(capsys, server, grant(server), grant(server) | change)
    assert result["failed"]
    assert expected in result["msg"]
    assert server.processes.running == {} and not (server.state / "aoe.json").exists()


def test_numbers_are_places() -> None:
    assert [place_of(number) for number in (1, 254, 255, 256)] == [(1, 1), (1, 254), (2, 0), (2, 1)]


def test_the_interface_is_that_of_the_route() -> None:
    assert Network().interface_to("127.0.0.1") == "lo"


def test_processes_of_this_machine_are_told_by_their_program(monkeypatch: pytest.MonkeyPatch) -> None:
    program = shutil.which("sleep") or ""
    monkeypatch.setattr(aoe, "PROGRAM", program)
    processes = Processes()
    words = [f"4711.{os.getpid()}"]
    processes.start(words)
    assert wait_until(lambda: one_of(processes, words), 10)
    pids = one_of(processes, words)
    processes.kill(pids[0])
    os.waitpid(pids[0], 0)
    assert one_of(processes, words) == []
    processes.kill(pids[0])


def one_of(processes: Processes, arguments: list[str]) -> list[int]:
    """The process with these arguments."""
    return [pid for pid, words in processes.all().items() if words == arguments]
