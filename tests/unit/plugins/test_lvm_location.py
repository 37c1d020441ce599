"""Cases of the module lvm_location, on a report recorded from LVM 2.03.16 and made-up disks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.openqrm.datacenter.plugins.module_utils import disks, lvm_groups
from ansible_collections.openqrm.datacenter.plugins.module_utils.lvm_groups import Groups
from ansible_collections.openqrm.datacenter.plugins.modules import lvm_location

from tests.unit.plugins.module_cases import run_module

REPORT = Path(__file__).with_name("lvm") / "report.json"
MOUNT_POINT = "/srv/openqrm/lvm/dev/vg0/golden"
POOL = {"pool_percent": 90}


class Server:
    """A server with the recorded groups and the disks sdb, sdc, as empty as they come."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.report = json.loads(REPORT.read_text())
        self.calls: list[str] = []
        self.signatures: list[str] = []
        self.numbers: dict[str, str] = {}
        for name in ("proc/self", "etc", "run"):
            (root / name).mkdir(parents=True)
        golden = next(row for row in self.report["report"][0]["lv"] if row["lv_name"] == "golden")
        device = f"{golden['lv_kernel_major']}:{golden['lv_kernel_minor']}"
        self.mounts(f"30 1 {device} / {MOUNT_POINT} rw - ext4 /dev/x rw")
        (root / "etc/fstab").write_text(f"/dev/vg0/golden {MOUNT_POINT} ext4 rw,nofail 0 0\n")
        self.disks = [self._disk(name, number) for number, name in enumerate(("sdb", "sdc"))]

    def _disk(self, name: str, number: int) -> str:
        path = self.root / name
        path.write_bytes(bytes(4096))
        self.numbers[str(path)] = f"8:{number * 16}"
        (self.root / f"sys/dev/block/8:{number * 16}/holders").mkdir(parents=True)
        self.write(f"sys/dev/block/8:{number * 16}/dev", f"8:{number * 16}\n")
        return str(path)

    def write(self, name: str, text: str) -> None:
        """Writes a file below the root."""
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_text(text)

    def mounts(self, line: str) -> None:
        """Has the kernel show this mount and no other."""
        self.write("proc/self/mountinfo", f"{line}\n")

    def change(self, name: str, **fields: str) -> None:
        """Changes a logical volume in the report."""
        for row in self.report["report"][0]["lv"]:
            if row["lv_name"] == name:
                row.update(fields)

    def spare(self, *disks: str) -> None:
        """Has LVM show the disks as physical volumes of no group."""
        self.report["report"][2]["pv"] = [{"pv_name": disk} for disk in disks]

    def command(self, argv: list[str], timeout_s: int = 60) -> str:
        """What the commands do here."""
        assert timeout_s > 0
        if argv[:2] == ["lvm", "fullreport"]:
            return json.dumps(self.report)
        if argv[:2] == ["wipefs", "--json"]:
            return json.dumps({"signatures": [{"type": kind} for kind in self.signatures]})
        line = " ".join(argv).replace(str(self.root), "")
        self.calls.append("mount" if argv[0] == "mount" else line)
        return ""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    """A server on which the module runs."""
    made = Server(tmp_path)
    real = disks.device_number
    for module in (disks, lvm_groups):
        monkeypatch.setattr(module, "device_number", lambda label, path: made.numbers.get(path) or real(label, path))
    monkeypatch.setattr(lvm_location, "Groups", lambda options: Groups(options, made.command, str(tmp_path)))
    return made


def call(capsys: pytest.CaptureFixture[str], *names: str, **options: Any) -> dict[str, Any]:
    check = options.pop("check", False)
    locations = [{"location": f"/dev/{name}"} for name in names]
    return run_module("lvm_location", capsys, {"locations": locations, **options}, check=check)


MAKE_GROUP = "vgcreate --yes --metadatasize 32m vg9 /sdb /sdc"
MAKE_POOL = "lvcreate --yes --type thin-pool --name openqrm"

# the group, options (disks: those of the server), what is done to the server before, the commands
Case = tuple[str, dict[str, Any], Callable[[Server], object], list[str]]
CASES: dict[str, Case] = {
    "all there": ("vg0", {}, lambda _server: None, []),
    "all there, with disks": ("vg0", {"disks": True, "overwrite": True, **POOL}, lambda _server: None, []),
    "group and pool": (
        "vg9",
        {"disks": True, **POOL},
        lambda _server: None,
        [MAKE_GROUP, f"{MAKE_POOL} --extents 90%FREE vg9"],
    ),
    "classic group": ("vg9", {"disks": True, "thin": False}, lambda _server: None, [MAKE_GROUP]),
    "overwritten": (
        "vg9",
        {"disks": True, "thin": False, "overwrite": True},
        lambda server: server.signatures.append("ext4"),
        ["wipefs --all --force /sdb", "wipefs --all --force /sdc", MAKE_GROUP],
    ),
    "what a killed run left": (
        "vg9",
        {"disks": True, "thin": False},
        lambda server: [server.signatures.append("LVM2_member"), server.spare(*server.disks)],
        [MAKE_GROUP],
    ),
    "pool in a group": ("vg1", {"pool_size_mib": 200}, lambda _server: None, [f"{MAKE_POOL} --size 200m vg1"]),
    "inactive": (
        "vg0",
        {},
        lambda server: [server.change(name, lv_attr="Vwi---tz--") for name in ("golden", "root", "openqrm")],
        ["lvchange -ay -K vg0/golden vg0/openqrm"],
    ),
    "not mounted": ("vg0", {}, lambda server: server.mounts("1 1 8:1 / / rw - ext4 /dev/x rw"), ["mount"]),
}


@pytest.mark.parametrize("case", CASES)
def test_locations(case: str, server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    name, options, arrange, commands = CASES[case]
    if options.get("disks"):
        options = options | {"disks": server.disks}
    arrange(server)
    checked = call(capsys, name, **options, check=True)
    assert server.calls == []
    result = call(capsys, name, **options)
    assert server.calls == commands
    assert checked == result
    assert result["items"] == [{"name": f"/dev/{name}", "location": f"/dev/{name}", "changed": bool(commands)}]


def in_use(server: Server) -> None:
    """Has a partition of the disk sdc mounted."""
    server.write("sys/dev/block/8:16/sdc1/partition", "1\n")
    server.write("sys/dev/block/8:16/sdc1/dev", "8:17\n")
    server.mounts("1 1 8:17 / /data rw - ext4 /dev/sdc1 rw")


BAD: dict[str, tuple[tuple[str, ...], dict[str, Any], Callable[[Server], object], str]] = {
    "no disks": (("vg9",), POOL, lambda _server: None, "vg9 does not exist on this server; known: vg0, vg1. Name the"),
    "two groups": (("vg8", "vg9"), {"disks": True}, lambda _server: None, "disks can be named for one at a time"),
    "no location": (("..",), {}, lambda _server: None, "give the directory of a volume group"),
    "no size": (("vg1",), {}, lambda _server: None, "Thin pool vg1/openqrm does not exist; say how large"),
    "two sizes": (("vg1",), {"pool_size_mib": 9, **POOL}, lambda _server: None, "say how large"),
    "no room": (("vg1",), {"pool_size_mib": 9000}, lambda _server: None, "9000 MiB are asked for, 296 MiB are free"),
    "no pool": (("vg0",), {"pool": "golden"}, lambda _server: None, "golden is a volume; choose another name"),
    "a partition in use": (("vg9",), {"disks": True, "overwrite": True}, in_use, "sdc is in use, at /data"),
    "held": (
        ("vg9",),
        {"disks": True, "overwrite": True},
        lambda server: server.write("sys/dev/block/8:0/holders/dm-1", ""),
        "sdb is in use, by dm-1",
    ),
    "of another group": (
        ("vg9",),
        {"disks": True, "overwrite": True},
        lambda server: server.report["report"][0].update(pv=[{"pv_name": server.disks[0]}]),
        "sdb belongs to volume group vg0; name another",
    ),
    "signatures": (
        ("vg9",),
        {"disks": True},
        lambda server: server.signatures.extend(["gpt", "PMBR"]),
        "sdb is not empty, it has signatures of PMBR, gpt; name another disk, or allow",
    ),
    "of a group that LVM does not show": (
        ("vg9",),
        {"disks": True},
        lambda server: server.signatures.append("LVM2_member"),
        "sdb is not empty, it has signatures of LVM2_member",
    ),
    "data": (
        ("vg9",),
        {"disks": True},
        lambda server: Path(server.disks[1]).write_bytes(b"\0\0\1"),
        "sdc is not empty, it has data at its start",
    ),
    "no disk": (
        ("vg9",),
        {"disks": ["/nowhere/sdz"]},
        lambda _server: None,
        "disk /nowhere/sdz cannot be read: No such",
    ),
    "a file": (("vg9",), {"disks": [__file__]}, lambda _server: None, "is not a block device"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_fails_before_anything_is_touched(
    case: str, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    names, options, arrange, expected = BAD[case]
    if options.get("disks") is True:
        options = options | {"disks": server.disks}
    arrange(server)
    result = call(capsys, *names, **({"thin": True} | POOL | options if "disks" in options else options))
    assert result["failed"]
    assert expected in result["msg"]
    assert server.calls == []
