"""Cases of the module zfs_location, on reports recorded from OpenZFS 2.1.11 and made-up disks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.openqrm.datacenter.plugins.module_utils import disks
from ansible_collections.openqrm.datacenter.plugins.module_utils.commands import CommandError
from ansible_collections.openqrm.datacenter.plugins.module_utils.zfs_locations import Locations
from ansible_collections.openqrm.datacenter.plugins.modules import zfs_location

from tests.unit.plugins.module_cases import run_module

RECORDED = Path(__file__).with_name("zfs")
MOUNTED = "/srv/openqrm/zfs"
FIELDS = ["canmount", "acltype", "xattr", "devices", "setuid", "mountpoint"]


class Server:
    """A server with the recorded pool `store` and its location, `old` on disks that are not imported, and two disks."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.calls: list[str] = []
        self.signatures: list[str] = []
        self.found = {"store/openqrm": (RECORDED / "location.txt").read_text()}
        self.datasets = (RECORDED / "datasets.txt").read_text().replace("openqrm/free\tno\t", "openqrm/free\tyes\t")
        (root / "proc/self").mkdir(parents=True)
        (root / "run").mkdir()
        (root / "proc/self/mountinfo").write_text("")
        self.disks = [self._disk(name, number) for number, name in enumerate(("sdb", "sdc"))]

    def _disk(self, name: str, number: int) -> str:
        path = self.root / name
        path.write_bytes(bytes(4096))
        directory = self.root / f"sys/dev/block/8:{number * 16}"
        (directory / "holders").mkdir(parents=True)
        (directory / "dev").write_text(f"8:{number * 16}\n")
        return str(path)

    def number(self, _label: str, path: str) -> str:
        """The number of a disk."""
        return f"8:{self.disks.index(path) * 16}"

    def change(self, field: str, value: str) -> None:
        """Changes a property of the location in the report."""
        words = self.found["store/openqrm"].rstrip("\n").split("\t")
        words[FIELDS.index(field)] = value
        self.found["store/openqrm"] = "\t".join(words) + "\n"

    def command(self, argv: list[str], timeout_s: int = 60) -> str:
        """What the commands do here."""
        assert timeout_s > 0
        if argv[:2] == ["wipefs", "--json"]:
            return json.dumps({"signatures": [{"type": kind} for kind in self.signatures]})
        if argv == ["zpool", "import"]:
            return (RECORDED / "import.txt").read_text().replace("store", "old")
        if argv[:2] == ["zpool", "list"]:
            return (RECORDED / "pools.txt").read_text()
        if argv[:2] == ["zfs", "list"]:
            return self._report(argv)
        self.calls.append(" ".join(argv).replace(str(self.root), ""))
        return ""

    def _report(self, argv: list[str]) -> str:
        if "snapshot" in argv:
            return (RECORDED / "snapshots.txt").read_text()
        if argv[-1] not in self.found:
            raise CommandError(argv, 1, f"cannot open '{argv[-1]}': dataset does not exist")
        return self.datasets if "filesystem,volume" in argv else self.found[argv[-1]]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    """A server on which the module runs."""
    made = Server(tmp_path)
    monkeypatch.setattr(disks, "device_number", made.number)
    monkeypatch.setattr(zfs_location, "Locations", lambda options: Locations(options, made.command, str(tmp_path)))
    return made


def call(capsys: pytest.CaptureFixture[str], *names: str, **options: Any) -> dict[str, Any]:
    check = options.pop("check", False)
    locations = [{"location": name} for name in names]
    return run_module("zfs_location", capsys, {"locations": locations, **options}, check=check)


RELEASE = "zfs destroy -d store/openqrm/golden@openqrm-feedfeedfeed"
MAKE_POOL = "-o ashift=12 -O mountpoint=none -O compression=lz4 new"
VALUES = "canmount=off acltype=posix xattr=sa devices=off setuid=off"


def make(location: str) -> str:
    values = [*VALUES.split(), f"mountpoint={MOUNTED}/{location}"]
    return " ".join(["zfs", "create", "-p", *(f"-o {value}" for value in values), location])


# the location, options (disks: those of the server), what is done to the server before, the commands
Case = tuple[str, dict[str, Any], Callable[[Server], object], list[str]]
CASES: dict[str, Case] = {
    "all there": ("store/openqrm", {}, lambda _server: None, [RELEASE]),
    "dataset": ("store/more/volumes", {}, lambda _server: None, [make("store/more/volumes")]),
    "pool and dataset": (
        "new/openqrm",
        {"disks": True},
        lambda _server: None,
        [f"zpool create {MAKE_POOL} /sdb /sdc", make("new/openqrm")],
    ),
    "mirror, overwritten": (
        "new/openqrm",
        {"disks": True, "layout": "mirror", "overwrite": True},
        lambda server: server.signatures.append("xfs"),
        [
            "wipefs --all --force /sdb",
            "wipefs --all --force /sdc",
            f"zpool create -f {MAKE_POOL} mirror /sdb /sdc",
            make("new/openqrm"),
        ],
    ),
    "imported": ("old/openqrm", {}, lambda _server: None, ["zpool import -N old", make("old/openqrm")]),
    "properties set": (
        "store/openqrm",
        {},
        lambda server: (server.change("xattr", "on"), server.change("mountpoint", "none")),
        [f"zfs set {VALUES} mountpoint={MOUNTED}/store/openqrm store/openqrm", RELEASE],
    ),
    "mounted": (
        "store/openqrm",
        {},
        lambda server: setattr(server, "datasets", (RECORDED / "datasets.txt").read_text()),
        ["zfs mount store/openqrm/free", RELEASE],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_locations(case: str, server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    location, options, prepare, commands = CASES[case]
    prepare(server)
    named = options | ({"disks": server.disks} if options.get("disks") else {})
    checked = call(capsys, location, **named, check=True)
    assert server.calls == []
    result = call(capsys, location, **named)
    assert server.calls == commands
    assert checked == result
    assert result["changed"] is (case != "all there")
    assert result["items"] == [{"name": location, "location": location, "changed": result["changed"]}]


BAD: dict[str, tuple[list[str], dict[str, Any], Callable[[Server], object], str]] = {
    "no disks": (
        ["new/a"],
        {"disks": []},
        lambda _server: None,
        "Pool new does not exist on this server; known: store, ",
    ),
    "two pools": (["new/a", "new2/a"], {}, lambda _server: None, "disks can be named for one at a time"),
    "reserved": (["mirror1/a"], {}, lambda _server: None, "ZFS keeps that name for itself"),
    "too few disks": (["new/a"], {"layout": "raidz2"}, lambda _server: None, "raidz2 needs 3 disks; 2 are named"),
    "not empty": (
        ["new/a"],
        {},
        lambda server: server.signatures.append("ext4"),
        "Pool new: disk /sdb is not empty, it has signatures of ext4",
    ),
    "in use": (
        ["new/a"],
        {"overwrite": True},
        lambda server: (server.root / "sys/dev/block/8:16/holders/dm-0").touch(),
        "Pool new: disk /sdc is in use, by dm-0",
    ),
    "no location": (["new"], {}, lambda _server: None, "give a dataset, as tank/openqrm"),
    "mounted elsewhere": (
        ["store/openqrm"],
        {},
        lambda server: (server.change("mountpoint", "/home"), server.change("canmount", "on")),
        "the dataset is there and is mounted at /home; name one that does not exist yet",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_is_refused(case: str, server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    names, options, prepare, message = BAD[case]
    prepare(server)
    result = call(capsys, *names, **{"disks": server.disks, **options})
    assert message in result["msg"].replace(str(server.root), "")
    assert server.calls == []


def test_a_disk_that_the_kernel_has_claimed_is_in_use(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(disks, "kernel_user", lambda _path: "by the kernel (a pool of ZFS, for example)")
    result = call(capsys, "new/a", disks=server.disks, overwrite=True)
    assert "is in use, by the kernel (a pool of ZFS, for example); name another disk" in result["msg"]
    assert server.calls == []
