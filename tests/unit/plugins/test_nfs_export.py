"""Cases of the modules nfs_export and nfs_export_info, with the kernel's server and nfs-ganesha."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.openqrm.datacenter.plugins.module_utils import nfs_ganesha, nfs_kernel, nfs_servers
from ansible_collections.openqrm.datacenter.plugins.module_utils.commands import CommandError
from ansible_collections.openqrm.datacenter.plugins.module_utils.nfs_ganesha import GaneshaServer
from ansible_collections.openqrm.datacenter.plugins.module_utils.nfs_kernel import KernelServer

from tests.unit.plugins.module_cases import run_module

OPTIONS = "no_root_squash,sync"
NODE, OTHER = "10.78.0.100", "10.78.0.101"


class Machine:
    """A machine with an NFS server whose commands and files below /proc/fs/nfsd are made up."""

    def __init__(self, directory: Path) -> None:
        self.exports = directory / "openqrm.exports"
        self.ganesha = directory / "ganesha"
        self.ganesha.mkdir()
        self.nfsd = directory / "nfsd"
        self.volume = directory / "web01-0"
        self.volume.mkdir()
        self.served = ""
        self.exported: dict[int, str] = {}
        self.calls: list[str] = []

    def kernel(self, argv: list[str], **_limits: int) -> str:
        """What exportfs and find do."""
        self.calls.append(" ".join(argv[:2]))
        if argv[0] == "find":
            return f"{argv[1]}/open\n"
        if argv == ["exportfs", "-r"]:
            self.served = self.exports.read_text()
        return self.served if argv == ["exportfs", "-s"] else ""

    def bus(self, argv: list[str], **_limits: int) -> str:
        """What nfs-ganesha answers to dbus-send."""
        method = argv[5].rpartition(".")[2]
        self.calls.append(method)
        if method in ("AddExport", "UpdateExport"):
            path = nfs_ganesha.parse_export(Path(argv[6].removeprefix("string:")).read_text())[0]
            self.exported[int(re.findall(r"\d+", argv[7])[0])] = path
        if method == "RemoveExport":
            del self.exported[int(argv[6].removeprefix("uint16:"))]
        if method == "ShowClients":
            return f'   struct {{\n string "::ffff:{NODE}"\n'
        return "".join(f'uint16 {n}\n string "{path}"\n' for n, path in [(0, "/"), *self.exported.items()])

    def client(self, number: int, address: str, states: str) -> Path:
        """A client that nfsd shows."""
        directory = self.nfsd / f"clients/{number}"
        directory.mkdir(parents=True)
        (directory / "info").write_text(f'clientid: 0x{number}\naddress: "{address}:812"\nstatus: confirmed\n')
        (directory / "states").write_text(states)
        (directory / "ctl").write_text("")
        return directory


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine whose NFS servers the modules use."""
    made = Machine(tmp_path)
    servers: dict[str, Callable[[Any], Any]] = {
        "kernel": lambda _options: KernelServer(str(made.exports), OPTIONS, 1, str(made.nfsd), made.kernel),
        "ganesha": lambda _options: GaneshaServer(str(made.ganesha), "", 1, made.bus),
    }
    monkeypatch.setattr(nfs_servers, "SERVERS", servers)
    return made


def grant(machine: Machine, address: str = NODE, **more: Any) -> dict[str, Any]:
    return {"volume": "web01-0", "path": str(machine.volume), "client": {"address": address}, **more}


def call(capsys: pytest.CaptureFixture[str], server: str, *grants: dict[str, Any], **more: Any) -> dict[str, Any]:
    check = more.pop("check", False)
    return run_module("nfs_export", capsys, {"server": server, "grants": list(grants), **more}, check=check)


@pytest.mark.parametrize("server", ["kernel", "ganesha"])
def test_grants_come_and_go(server: str, machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = grant(machine), grant(machine, OTHER, read_only=True)
    assert call(capsys, server, one, two, check=True)["changed"]
    assert not machine.exports.exists()
    assert machine.exported == {}
    given = call(capsys, server, one, two)
    assert [item["changed"] for item in given["items"]] == [True, True]
    assert given["items"][0]["client"] == {"address": NODE}
    assert given["diff"]["after"] == {f"{machine.volume} {NODE}": "rw", f"{machine.volume} {OTHER}": "ro"}
    assert not call(capsys, server, one, two)["changed"]
    listed = run_module("nfs_export_info", capsys, {"server": server})["items"]
    assert [(item["client"]["address"], item["read_only"]) for item in listed] == [(NODE, False), (OTHER, True)]
    assert call(capsys, server, one, state="absent", check=True)["changed"]
    taken = call(capsys, server, one, state="absent")
    assert (taken["changed"], taken["items"][0]["sessions"]) == (True, 0)
    again = call(capsys, server, one, state="absent")
    assert (again["changed"], again["items"][0]["sessions"]) == (False, 0)
    listed = run_module("nfs_export_info", capsys, {"server": server})["items"]
    assert [item["client"]["address"] for item in listed] == [OTHER]
    assert call(capsys, server, two, state="absent")["changed"]
    assert run_module("nfs_export_info", capsys, {"server": server})["items"] == []
    assert machine.exported == {}


def test_the_exports_file(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    call(capsys, "kernel", grant(machine), grant(machine, OTHER, read_only=True))
    assert machine.exports.read_text() == (
        "# Managed by openqrm.datacenter.deployment_nfs\n"
        f"{machine.volume} {NODE}(rw,{OPTIONS})\n"
        f"{machine.volume} {OTHER}(ro,{OPTIONS})\n"
    )


def test_a_grant_that_is_written_but_not_served_is_served_again(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    call(capsys, "kernel", grant(machine), grant(machine, OTHER))
    machine.served = ""
    assert run_module("nfs_export_info", capsys, {"server": "kernel"})["items"] == []
    result = call(capsys, "kernel", grant(machine))
    assert result["changed"]
    assert f"{OTHER}(rw" in machine.served, "the other grant is not lost"


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "address": ({"client": {"address": "*"}}, "'*' is not an IP address"),
    "relative": ({"path": "srv/x"}, "give an absolute path"),
    "dots": ({"path": "/srv/../etc"}, "give an absolute path"),
    "space": ({"path": "/srv/a b"}, "give an absolute path"),
    "bracket": ({"path": "/srv/a(rw)"}, "give an absolute path"),
    "missing": ({"path": "/nowhere/x"}, "there is no such directory"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_grant_fails_before_anything_is_touched(
    case: str, machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    change, expected = BAD[case]
    result = call(capsys, "kernel", grant(machine), grant(machine) | change)
    assert result["failed"]
    assert expected in result["msg"]
    assert not machine.exports.exists()


def test_revoking_the_last_grant_ends_the_client(
    machine: Machine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    call(capsys, "kernel", grant(machine))
    mine = machine.client(1, NODE, "- 0x1: { type: open }\n")
    other = machine.client(2, "10.78.0.10", "- 0x2: { type: open }\n")
    expired: list[Path] = []

    def expire(client: Path) -> None:
        expired.append(client)
        (client / "states").write_text("")

    monkeypatch.setattr(nfs_kernel, "expire", expire)
    result = call(capsys, "kernel", grant(machine), state="absent")
    assert result["items"][0]["sessions"] == 0
    assert expired == [mine]
    assert (other / "states").read_text()


def test_a_client_that_cannot_be_ended_is_counted(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    call(capsys, "kernel", grant(machine))
    client = machine.client(1, NODE, "- 0x1: { type: open }\n")
    result = call(capsys, "kernel", grant(machine), state="absent")
    assert result["items"][0]["sessions"] == 1
    assert (client / "ctl").read_text() == "expire\n"


def test_a_client_with_another_grant_is_left_alone(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    second = machine.volume.with_name("data")
    second.mkdir()
    device = machine.volume.stat().st_dev
    call(capsys, "kernel", grant(machine), grant(machine, path=str(second)))
    states = f'- 0x1: {{ type: open, superblock: "{device >> 8:02x}:{device & 255:02x}:4711", filename: "x" }}\n'
    client = machine.client(1, NODE, states)
    result = call(capsys, "kernel", grant(machine), state="absent")
    assert result["items"][0]["sessions"] == 1
    assert (client / "ctl").read_text() == ""
    assert machine.calls[-1] == f"find {machine.volume}"
    (client / "states").write_text("")
    assert call(capsys, "kernel", grant(machine), state="absent")["items"][0]["sessions"] == 0


def test_addresses_of_version_6(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    call(capsys, "kernel", grant(machine, "fd00::1"))
    machine.client(1, "[fd00::1]", "")
    (item,) = run_module("nfs_export_info", capsys, {"server": "kernel"})["items"]
    assert (item["client"]["address"], item["sessions"]) == ("fd00::1", 1)


def test_a_ganesha_that_does_not_follow_is_an_error(machine: Machine) -> None:
    server = GaneshaServer(str(machine.ganesha), "unix:path=/bus", 0, lambda _argv, **_limits: "")
    with pytest.raises(CommandError, match="it exports"):
        server.apply({str(machine.volume): {NODE: "rw"}}, [])
