"""Cases of the modules zfs_volume and zfs_volume_info, on reports recorded from OpenZFS 2.1.11."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.openqrm.datacenter.plugins.module_utils import zfs_volumes
from ansible_collections.openqrm.datacenter.plugins.module_utils.block_volumes import Contents
from ansible_collections.openqrm.datacenter.plugins.module_utils.commands import CommandError
from ansible_collections.openqrm.datacenter.plugins.module_utils.volumes import VolumeError
from ansible_collections.openqrm.datacenter.plugins.module_utils.zfs import DATASET_FIELDS, check_location
from ansible_collections.openqrm.datacenter.plugins.module_utils.zfs_volumes import ZfsVolumes
from ansible_collections.openqrm.datacenter.plugins.modules import zfs_volume, zfs_volume_info

from tests.unit.plugins.module_cases import run_module

RECORDED = Path(__file__).with_name("zfs")
LOCATION = "store/openqrm"
FILES, BLOCKS = f"/srv/openqrm/zfs/{LOCATION}", f"/dev/zvol/{LOCATION}"
GOLDEN, DISK = "8365904406660260692", "5461905391089301012"


class Server:
    """A server whose ZFS answers with the recorded reports; it notes commands, and fails those that have a word."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.datasets = self._rows("datasets")
        self.snapshots = [row for row in self._rows("snapshots") if "held" not in row[0]]
        self.change_snapshot("disk@openqrm-ba9876543210", 3, "0")
        self.room, self.health = self._rows("room"), "ONLINE"
        self.calls: list[str] = []
        self.failing = "nothing"
        self.archive_mib = 1  # what is in every archive
        for name in ("proc/self", "etc", "run"):
            (root / name).mkdir(parents=True)
        (root / "proc/self/mountinfo").write_text("")

    def _rows(self, name: str) -> list[list[str]]:
        return [line.split("\t") for line in (RECORDED / f"{name}.txt").read_text().splitlines()]

    def change(self, name: str, field: str, value: str) -> None:
        """Changes a dataset in the report."""
        row = next(row for row in self.datasets if row[0] == f"{LOCATION}/{name}".rstrip("/"))
        row[DATASET_FIELDS.index(field)] = value

    def change_snapshot(self, name: str, place: int, value: str) -> None:
        """Changes a snapshot in the report."""
        next(row for row in self.snapshots if row[0] == f"{LOCATION}/{name}")[place] = value

    def command(self, argv: list[str], timeout_s: int = 60) -> str:
        """What the commands of ZFS and others do here."""
        assert timeout_s > 0
        line = " ".join(argv)
        if argv[:2] == ["zpool", "list"]:
            return f"store\t{self.health}\ntank\tONLINE\n"
        if argv[:2] == ["zfs", "list"]:
            return self._report(argv)
        if argv[:2] == ["tar", "--list"]:
            return f"block 0: ./\nblock {self.archive_mib * 2048}: ** End of File **\n"
        if argv[0] == "udevadm":
            return ""
        token = re.search(r"openqrm-([0-9a-f]{12})$", argv[-1]) if argv[1] == "snapshot" else None
        self.token = token.group(1) if token else getattr(self, "token", "none")
        self.calls.append(re.sub(rf"(?<!/){LOCATION}/", "", line.replace(self.token, "TOKEN")))
        if self.failing in line:
            raise CommandError(argv, 1, "dataset is busy")
        if argv[:2] == ["zfs", "snapshot"]:
            self.snapshots += [[name, "-", "off", "0"] for name in argv[2:]]
        if argv[:2] == ["zfs", "promote"]:
            self._promote(argv[2])
        if argv[:2] == ["zfs", "destroy"]:
            self._destroy(argv[-1])
        return ""

    def _report(self, argv: list[str]) -> str:
        if argv[-1] not in [row[0] for row in self.datasets]:
            raise CommandError(argv, 1, f"cannot open '{argv[-1]}': dataset does not exist")
        rows = self.datasets
        if "snapshot" in argv:
            everything = "-r" in argv
            rows = [row for row in self.snapshots if everything or row[0].partition("@")[0] in argv]
        elif "name,used,available" in argv:
            rows = self.room
        return "".join("\t".join(row) + "\n" for row in rows)

    def _destroy(self, name: str) -> None:
        """Has a dataset be gone; snapshots that were to go with their last clone go with it."""
        assert all(row[1] == "-" for row in self.snapshots if row[0].startswith(f"{name}@")), f"{name} has clones"
        for row in self.snapshots:
            row[1] = ",".join(each for each in row[1].split(",") if each != name) or "-"
        self.snapshots = [row for row in self.snapshots if row[1:3] != ["-", "on"]]

    def _promote(self, clone: str) -> None:
        """Has a clone take over the snapshots of its source."""
        source = next(row[0].partition("@")[0] for row in self.snapshots if clone in row[1].split(","))
        for row in self.snapshots:
            row[0] = row[0].replace(f"{source}@", f"{clone}@")
            row[1] = ",".join(source if each == clone else each for each in row[1].split(","))


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    """A server on which the modules run; its devices are there at once."""
    made = Server(tmp_path)

    class Volumes(ZfsVolumes):
        def __init__(self, options: dict[str, Any], with_unfinished: bool = False) -> None:
            super().__init__(options, with_unfinished, made.command, str(tmp_path))

        def _wait_for_devices(self, paths: list[str]) -> None:
            made.calls += [f"wait for {path}" for path in paths]

    monkeypatch.setattr(zfs_volume, "ZfsVolumes", Volumes)
    monkeypatch.setattr(zfs_volume_info, "ZfsVolumes", Volumes)
    monkeypatch.setattr(Contents, "is_filled", lambda _self, _path, _size_mib: True)
    for name in ("check_growable", "grow"):
        monkeypatch.setattr(Contents, name, lambda _self, value: made.calls.append(f"own {value}"))
    return made


def call(capsys: pytest.CaptureFixture[str], *volumes: dict[str, Any], **more: Any) -> dict[str, Any]:
    check = more.pop("check", False)
    listed = [{"location": LOCATION} | volume for volume in volumes]
    return run_module("zfs_volume", capsys, {"volumes": listed, **more}, check=check)


NEW = "-o openqrm:new=yes"
WHOLE = "zfs inherit openqrm:new"
TAKEN = "openqrm-TOKEN"

# what is wanted, state and options, the commands
Case = tuple[list[dict[str, Any]], dict[str, Any], list[str]]
CASES: dict[str, Case] = {
    "filesystem": ([{"name": "new"}], {}, [f"zfs create {NEW} new", f"{WHOLE} new"]),
    "filesystem with a limit": (
        [{"name": "new", "size_mib": 5}],
        {},
        [f"zfs create {NEW} -o refquota=5242880 new", f"{WHOLE} new"],
    ),
    "block": (
        [{"name": "new", "size_mib": 5, "presents": "block"}],
        {},
        [f"zfs create {NEW} -s -V 5242880 new", f"wait for {BLOCKS}/new", f"{WHOLE} new"],
    ),
    "there already": ([{"name": "golden", "size_mib": 5}, {"name": "disk"}], {}, []),
    "clones": (
        [{"name": "a", "source": "golden"}, {"name": "b", "source": "golden"}, {"name": "c", "source": "disk"}],
        {},
        [
            f"zfs snapshot disk@{TAKEN} golden@{TAKEN}",
            f"zfs clone {NEW} -o openqrm:source={GOLDEN} -o refquota=419430400 golden@{TAKEN} a",
            f"zfs clone {NEW} -o openqrm:source={GOLDEN} -o refquota=419430400 golden@{TAKEN} b",
            f"zfs clone {NEW} -o openqrm:source={DISK} disk@{TAKEN} c",
            f"zfs destroy -d golden@openqrm-feedfeedfeed,{TAKEN}",  # with what a run that was killed has left
            f"zfs destroy -d disk@{TAKEN}",
            f"wait for {BLOCKS}/c",
            f"{WHOLE} a b c",
        ],
    ),
    "snapshot": (
        [{"name": "a", "source": "disk", "read_only": True}],
        {},
        [
            f"zfs snapshot disk@{TAKEN}",
            f"zfs clone {NEW} -o openqrm:source={DISK} -o readonly=on disk@{TAKEN} a",
            f"zfs destroy -d disk@{TAKEN}",
            f"wait for {BLOCKS}/a",
            f"{WHOLE} a",
        ],
    ),
    "unfinished": ([{"name": "half"}], {}, ["zfs destroy half", f"zfs create {NEW} half", f"{WHOLE} half"]),
    "clones removed": (
        [{"name": "web01-0"}, {"name": "disk-1"}],
        {"state": "absent"},
        [f"umount -- {FILES}/web01-0", "zfs destroy web01-0", "zfs destroy disk-1"],
    ),
    "unfinished, removed": (
        [{"name": "half"}],
        {"state": "absent"},
        [f"umount -- {FILES}/half", "zfs destroy half"],
    ),
    "removed before its clones": (
        [{"name": "disk"}],
        {"state": "absent"},
        ["zfs promote disk-1", "zfs destroy disk"],
    ),
    "removed with its clones": (
        [{"name": "disk"}, {"name": "disk-1"}],
        {"state": "absent"},
        ["zfs destroy disk-1", "zfs destroy disk"],
    ),
    "all at once, in any order": (
        [{"name": name} for name in ("golden", "web01-0", "kept", "half", "disk", "disk-1")],
        {"state": "absent"},
        [
            f"umount -- {FILES}/golden {FILES}/web01-0 {FILES}/kept {FILES}/half",
            *(f"zfs destroy {name}" for name in ("web01-0", "kept", "half", "disk-1")),
            "zfs destroy golden@daily,openqrm-feedfeedfeed",
            "zfs destroy golden",
            "zfs destroy disk",
        ],
    ),
    "removed with snapshots of others": (
        [{"name": "golden"}],
        {"state": "absent"},
        [f"umount -- {FILES}/golden", "zfs destroy golden@daily", "zfs promote half", "zfs destroy golden"],
    ),
    "not mounted, removed": ([{"name": "free"}], {"state": "absent"}, ["zfs destroy free"]),
    "gone already": ([{"name": "nothing"}], {"state": "absent"}, []),
    "grown": (
        [{"name": "golden", "size_mib": 2000}, {"name": "disk", "size_mib": 2000}, {"name": "free", "size_mib": 7}],
        {"state": "resized"},
        [
            f"own [('disk', '{BLOCKS}/disk')]",
            "zfs set refquota=2097152000 golden",
            "zfs set volsize=2097152000 disk",
            f"own {BLOCKS}/disk",
            "zfs set refquota=7340032 free",
        ],
    ),
    "of its size already": ([{"name": "disk", "size_mib": 1024}], {"state": "resized"}, []),
}


@pytest.mark.parametrize("case", CASES)
def test_volumes(case: str, server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    volumes, options, commands = CASES[case]
    checked = call(capsys, *volumes, **options, check=True)
    assert [line for line in server.calls if not line.startswith("own")] == []
    server.calls.clear()
    result = call(capsys, *volumes, **options)
    assert server.calls == commands
    assert checked == result
    assert result["changed"] is bool(commands)


@pytest.mark.usefixtures("server")
def test_results_say_where_volumes_are_and_how_large(capsys: pytest.CaptureFixture[str]) -> None:
    wanted = [{"name": "a", "source": "golden"}, {"name": "disk"}, {"name": "free"}]
    items = call(capsys, *wanted)["items"]
    assert [item["path"] for item in items] == [f"{FILES}/a", f"{BLOCKS}/disk", f"{FILES}/free"]
    assert [item.get("size_mib") for item in items] == [400, 1024, None]


def test_archives_fill_volumes_one_by_one(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive = tmp_path / "a.tar"
    archive.write_bytes(b"")
    filled = {"archive": str(archive)}
    call(capsys, {"name": "one"} | filled, {"name": "two", "presents": "block", "size_mib": 9} | filled)
    words = [re.findall(r"^zfs \w+|^tar|^wait|^mkfs.ext4|^unshare", line)[0] for line in server.calls]
    block = ["zfs create", "wait", "mkfs.ext4", "unshare", "zfs inherit"]
    assert words == ["zfs create", "tar", "zfs inherit", *block]
    assert f"--directory={FILES}/one" in server.calls[1]


def test_archives_that_do_not_fit_are_refused(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.tar").write_bytes(b"")
    filled = {"archive": str(tmp_path / "a.tar")}
    free_mib = min(int(available) for _name, _used, available in server.room) >> 20
    server.archive_mib = free_mib
    assert call(capsys, {"name": "one"} | filled, check=True)["changed"]
    message = call(capsys, {"name": "one"} | filled, {"name": "two"} | filled)["msg"]
    assert f"Volumes one, two need {2 * free_mib} MiB, and " in message
    assert f"has {free_mib} MiB free; remove volumes or add disks (zpool add) or raise the quota" in message
    assert server.calls == []
    # a clone and an empty volume take nothing, however large they are
    volumes = [{"name": "c", "source": "golden"}, {"name": "e", "presents": "block", "size_mib": 10 * free_mib}]
    assert call(capsys, *volumes, check=True)["changed"]


def test_a_clone_that_fails_leaves_nothing(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    server.failing = "zfs clone"
    result = call(capsys, {"name": "half", "source": "golden"})
    assert "dataset is busy" in result["msg"]
    assert server.calls[-2:] == [f"zfs destroy -d golden@openqrm-feedfeedfeed,{TAKEN}", "zfs destroy half"]


def test_a_volume_in_use_keeps_all(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    server.failing = "umount"
    (server.root / "proc/self/mountinfo").write_text(f"30 1 0:50 / {FILES}/kept ro - zfs x ro\n")
    result = call(capsys, {"name": "web01-0"}, {"name": "kept"}, state="absent")
    assert "Volumes web01-0, kept: one is in use, so none was removed; revoke its grants" in result["msg"]
    assert server.calls == [f"umount -- {FILES}/web01-0 {FILES}/kept", "zfs mount web01-0"]


BAD: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "location of no pool": ({"name": "a", "location": "/srv"}, {}, "give a dataset, as tank/openqrm"),
    "location that is a pool": ({"name": "a", "location": "tank"}, {}, "give a dataset, as tank/openqrm"),
    "unknown location": ({"name": "a", "location": "tank/x"}, {}, "no such dataset on this server; run the role's"),
    "no size": ({"name": "a", "presents": "block"}, {}, "a new block volume needs a size"),
    "too small": (
        {"name": "a", "presents": "block", "size_mib": 1, "archive": "/etc/hostname"},
        {},
        "1 MiB is too small for ext4",
    ),
    "no volume": ({"name": "elsewhere"}, {}, "a dataset store/openqrm/elsewhere, mounted at /mnt/else, that is no"),
    "other kind": ({"name": "disk", "presents": "filesystem"}, {}, "disk is a block volume, not filesystem"),
    "writable": ({"name": "free", "source": "golden", "read_only": True}, {}, "is no snapshot"),
    "full": ({"name": "a"}, {"full_percent": 0}, "pool store of 19344 MiB is full to 0.0 %, the limit is 0 %"),
    "clone in a full pool": ({"name": "a", "source": "golden"}, {"full_percent": 0}, "remove volumes, or add disks"),
    "source unfinished": ({"name": "a", "source": "half"}, {}, "its source half does not exist"),
    "datasets below": ({"name": "nest"}, {"state": "absent"}, "datasets below it, store/openqrm/nest/below, would go"),
    "shrinks": ({"name": "disk", "size_mib": 9}, {"state": "resized"}, "cannot shrink to 9 MiB"),
    "holds more": ({"name": "golden", "size_mib": 5}, {"state": "resized"}, "golden holds 6 MiB; its size cannot be 5"),
    "snapshot grown": ({"name": "kept", "size_mib": 900}, {"state": "resized"}, "is a snapshot, which keeps its size"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_is_refused_before_anything_is_touched(
    case: str, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    volume, options, message = BAD[case]
    if case == "holds more":
        server.change("golden", "refquota", "0")
    others = {} if options.get("state") == "resized" else {"name": "web01-0", "source": "golden"}
    result = call(capsys, *([others] if others else []), volume, **options)
    assert message in result["msg"]
    assert server.calls == []


UNUSABLE: dict[str, tuple[Callable[[Server], object], str]] = {
    "held snapshot": (
        lambda server: server.change_snapshot("disk@openqrm-ba9876543210", 3, "1"),
        "Volume disk: its snapshot openqrm-ba9876543210 is held; release it",
    ),
    "location mounted elsewhere": (
        lambda server: server.change("", "mountpoint", "/store/openqrm"),
        "the dataset has the mountpoint /store/openqrm, not /srv/openqrm/zfs/store/openqrm; run the role's prepare",
    ),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_a_server_that_cannot(case: str, server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    change, message = UNUSABLE[case]
    change(server)
    assert message in call(capsys, {"name": "disk"}, state="absent")["msg"]
    assert server.calls == []


def test_a_block_volume_in_use_is_not_removed(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(zfs_volumes, "users", lambda paths: {paths[0]: "an iSCSI target"})
    message = call(capsys, {"name": "disk"}, state="absent")["msg"]
    assert "Volume disk is in use by an iSCSI target; end that" in message
    monkeypatch.setattr(zfs_volumes, "users", lambda _paths: {})
    monkeypatch.setattr(zfs_volumes, "device_number", lambda _path: "230:0")
    (server.root / "proc/self/mountinfo").write_text("30 1 230:0 / /mnt/disk rw - ext4 /dev/zd0 rw\n")
    assert "in use by this server, at /mnt/disk" in call(capsys, {"name": "disk"}, state="absent")["msg"]
    assert server.calls == []


def listing(capsys: pytest.CaptureFixture[str], **options: Any) -> dict[str, Any]:
    return run_module("zfs_volume_info", capsys, {"locations": [{"location": LOCATION}], **options})


@pytest.mark.usefixtures("server")
def test_volumes_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    result = listing(capsys)
    items = {item.pop("name"): item for item in result["items"]}
    assert list(items) == ["disk", "disk-1", "free", "golden", "kept", "nest", "web01-0"]
    assert items["golden"] == {
        "location": LOCATION, "path": f"{FILES}/golden", "size_mib": 400, "used_mib": 6, "read_only": False,
        "presents": "filesystem", "source": None,
    }  # fmt: skip
    assert items["disk-1"] == {
        "location": LOCATION, "path": f"{BLOCKS}/disk-1", "size_mib": 1024, "used_mib": 0, "read_only": False,
        "presents": "block", "source": "disk",
    }  # fmt: skip
    assert (items["kept"]["read_only"], items["kept"]["source"]) == (True, "golden")
    assert items["free"]["size_mib"] == 19338, "without a limit it can have what the pool has"
    assert result["pools"] == [
        {"location": LOCATION, "pool": "store", "size_mib": 19344, "used_percent": 0.0, "health": "ONLINE"}
    ]


def test_a_source_is_known_by_its_guid_and_not_by_its_name(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    server.change("golden", "guid", "1")  # another volume has got the name meanwhile
    items = {item["name"]: item["source"] for item in listing(capsys)["items"]}
    assert (items["web01-0"], items["disk-1"]) == (None, "disk")


def test_space_is_that_of_what_fills_first(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    (space,) = listing(capsys, space=True)["items"]
    assert space == {
        "location": LOCATION, "what": "pool store", "total_mib": 19344, "used_mib": 6, "free_mib": 19337,
        "used_percent": 0.0,
    }  # fmt: skip
    server.room[1][2] = "5898240"  # a quota
    server.health = "DEGRADED"
    (space,) = listing(capsys, space=True)["items"]
    assert (space["what"], space["used_percent"]) == ("dataset store/openqrm, degraded", 50.0)
    server.health = "SUSPENDED"
    (space,) = listing(capsys, space=True)["items"]
    assert space == {"location": LOCATION, "problem": "Pool store is suspended; see zpool status."}


@pytest.mark.parametrize("location", ["", "tank", "/", "tank/", "tank//a", "tank/../b", "-rf/a", "tank/-a", "tank/a@b"])
def test_locations_that_are_none(location: str) -> None:
    with pytest.raises(VolumeError, match="give a dataset"):
        check_location(location)
    with pytest.raises(VolumeError, match="up to 150"):
        check_location("tank/" + "a" * 150)
