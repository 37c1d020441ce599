"""Cases of the modules lvm_volume and lvm_volume_info, on a report recorded from LVM 2.03.16."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.openqrm.datacenter.plugins.module_utils import lvm_contents
from ansible_collections.openqrm.datacenter.plugins.module_utils.block_volumes import FileSystem
from ansible_collections.openqrm.datacenter.plugins.module_utils.commands import CommandError
from ansible_collections.openqrm.datacenter.plugins.module_utils.lvm import VolumeGroup, parse_report
from ansible_collections.openqrm.datacenter.plugins.module_utils.lvm_volumes import LvmVolumes
from ansible_collections.openqrm.datacenter.plugins.modules import lvm_volume, lvm_volume_info

from tests.unit.plugins.module_cases import run_module

REPORT = Path(__file__).with_name("lvm") / "report.json"
MOUNTED = "/srv/openqrm/lvm/dev/vg0"
OPTIONS = "nosuid,nodev,nofail,x-systemd.before=nfs-server.service,x-systemd.before=openqrm-ganesha.service"
UNSHARE = re.compile(r"unshare .*? sh -c .*? /run/openqrm/volume (\w+) \S+ (\S+) (.*)")


class Server:
    """A server whose LVM answers with the recorded report; it notes commands, and fails those that have a word."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.report = json.loads(REPORT.read_text())
        self.calls: list[str] = []
        self.failing = "nothing"
        self.archive_mib = 1  # what is in every archive
        groups = parse_report(json.dumps(self.report))
        self.group: VolumeGroup = groups["vg0"]
        for name in ("proc/self", "etc", "run"):
            (root / name).mkdir(parents=True)
        self.mount("golden", f"{MOUNTED}/golden")
        self.mount("web01-0", f"{MOUNTED}/web01-0")
        self.mount("root", "/mnt/root\\040of\\040it")
        (root / "etc/fstab").write_text(
            "# the server's own\nUUID=1 / ext4 defaults 0 0\n"
            f"/dev/vg0/web01-0 {MOUNTED}/web01-0 ext4 rw,{OPTIONS} 0 0\n"
        )

    def mount(self, name: str, path: str) -> None:
        """Has the server's kernel say that a logical volume is mounted there."""
        with (self.root / "proc/self/mountinfo").open("a") as stream:
            stream.write(f"30 1 {self.group.volumes[name].device} / {path} rw shared:1 - ext4 /dev/x rw\n")

    def change(self, name: str, **fields: str) -> None:
        """Changes a logical volume in the report."""
        for row in self.report["report"][0]["lv"]:
            if row["lv_name"] == name:
                row.update(fields)

    def command(self, argv: list[str], timeout_s: int = 60) -> str:
        """What the commands of LVM and others do here."""
        assert timeout_s > 0
        if argv[:2] == ["lvm", "fullreport"]:
            return json.dumps(self.report)
        if argv[:2] == ["tar", "--list"]:
            return f"block 0: ./\nblock {self.archive_mib * 2048}: ** Block of NULs **\n"
        lines = [" ".join(argv)]
        if argv[0] == "lvm":
            magic, *lines = Path(argv[1]).read_text().splitlines()
            assert magic == "#!lvm"
        for line in lines if argv[0] != "udevadm" else []:
            shown = UNSHARE.sub(r"mounted \1 \2: \3", line)
            self.calls.append(re.sub(r"/\S*openqrm-fstab-\S+", "TABLE", shown))
            if self.failing in line:
                raise CommandError(argv, 5, "No space left on device")
        return "new UUID = 1" if argv[0] == "xfs_admin" else ""

    @property
    def fstab(self) -> list[str]:
        """The devices of the lines of fstab, in order."""
        return [line.split()[0] for line in (self.root / "etc/fstab").read_text().splitlines()]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server on which the modules run; what its devices hold is told by their names."""
    made = Server(tmp_path)

    class Volumes(LvmVolumes):
        def __init__(self, options: dict[str, Any], with_unfinished: bool = False) -> None:
            super().__init__(options, with_unfinished, made.command, str(tmp_path))

    def read(device: str) -> FileSystem | None:
        inside = "" if "block" in device else "xfs" if "xfs" in device else "ext4"
        return FileSystem(inside, 1000, False) if inside else None

    monkeypatch.setattr(lvm_volume, "LvmVolumes", Volumes)
    monkeypatch.setattr(lvm_volume_info, "LvmVolumes", Volumes)
    monkeypatch.setattr(lvm_contents, "read_file_system", read)
    for name in ("check_growable", "grow"):
        monkeypatch.setattr(lvm_contents.LvmContents, name, lambda _self, value: made.calls.append(f"own {value}"))
    yield made


def call(capsys: pytest.CaptureFixture[str], *volumes: dict[str, Any], **more: Any) -> dict[str, Any]:
    check = more.pop("check", False)
    listed = [{"location": "/dev/vg0"} | volume for volume in volumes]
    return run_module("lvm_volume", capsys, {"volumes": listed, **more}, check=check)


BLOCK = "--addtag openqrm.block"
FILES = "--addtag openqrm.filesystem"
NEW = "--addtag openqrm.new"
WHOLE = "lvchange -An --deltag openqrm.new"
SNAP = "--snapshot --setactivationskip n"
BACKUP = "vgcfgbackup vg0"
MOUNT = "mount --all --fstab TABLE"

# what is wanted, state and options, the commands, the devices in fstab afterwards
Case = tuple[list[dict[str, Any]], dict[str, Any], list[str]]
CASES: dict[str, Case] = {
    "block": (
        [{"name": "new", "size_mib": 1001}],
        {},
        [f"lvcreate -An --yes {BLOCK} --name new --virtualsize 1004m --thinpool openqrm vg0", BACKUP],
    ),
    "filesystem": (
        [{"name": "new", "size_mib": 400, "presents": "filesystem"}],
        {},
        [
            f"lvcreate -An --yes {FILES} {NEW} --name new --virtualsize 400m --thinpool openqrm vg0",
            BACKUP,
            "mkfs.ext4 -q -F -m 0 -E root_owner=0:0 -O metadata_csum_seed /dev/vg0/new",
            MOUNT,
            f"{WHOLE} vg0/new",
            BACKUP,
        ],
    ),
    "there already": ([{"name": "golden", "size_mib": 5, "presents": "filesystem"}], {}, []),
    "block clones": (
        [{"name": "a", "source": "block"}, {"name": "b", "source": "block-snap"}],
        {},
        [
            f"lvcreate -An --yes {BLOCK} --name a {SNAP} vg0/block",
            f"lvcreate -An --yes {BLOCK} --name b {SNAP} vg0/block-snap",
            BACKUP,
        ],
    ),
    "filesystem clone": (
        [{"name": "a", "source": "golden"}],
        {},
        [
            f"lvcreate -An --yes {FILES} {NEW} --name a {SNAP} vg0/golden",
            BACKUP,
            "tune2fs -U random /dev/vg0/a",
            MOUNT,
            f"{WHOLE} vg0/a",
            BACKUP,
        ],
    ),
    "filesystem snapshot, XFS": (
        [{"name": "xfs-a", "source": "golden", "read_only": True}],
        {},
        [
            f"lvcreate -An --yes {FILES} {NEW} --name xfs-a {SNAP} vg0/golden",
            BACKUP,
            "mounted xfs /dev/vg0/xfs-a: true",
            "xfs_admin -U generate /dev/vg0/xfs-a",
            "lvchange -An --yes -pr vg0/xfs-a",
            MOUNT,
            f"{WHOLE} vg0/xfs-a",
            BACKUP,
        ],
    ),
    "block snapshot": (
        [{"name": "a", "source": "block", "read_only": True}],
        {},
        [f"lvcreate -An --yes {BLOCK} --name a {SNAP} --permission r vg0/block", BACKUP],
    ),
    "classic": (
        [{"name": "a", "size_mib": 100}],
        {"thin": False},
        [f"lvcreate -An --yes {BLOCK} --name a --size 100m --wipesignatures y vg0", BACKUP],
    ),
    "classic clone": (
        [{"name": "a", "source": "classic"}],
        {},
        [
            f"lvcreate -An --yes {BLOCK} {NEW} --name a --size 100m --wipesignatures y vg0",
            BACKUP,
            "dd if=/dev/vg0/classic of=/dev/vg0/a bs=4M iflag=fullblock oflag=direct conv=fsync status=none",
            f"{WHOLE} vg0/a",
            BACKUP,
        ],
    ),
    "classic snapshot": (
        [{"name": "a", "source": "classic", "read_only": True}],
        {},
        [f"lvcreate -An --yes {BLOCK} --name a --snapshot --extents 100%ORIGIN --permission r vg0/classic", BACKUP],
    ),
    "unfinished": (
        [{"name": "half", "size_mib": 400, "presents": "filesystem"}],
        {},
        [
            "lvremove --yes vg0/half",
            f"lvcreate -An --yes {FILES} {NEW} --name half --virtualsize 400m --thinpool openqrm vg0",
            BACKUP,
            "mkfs.ext4 -q -F -m 0 -E root_owner=0:0 -O metadata_csum_seed /dev/vg0/half",
            MOUNT,
            f"{WHOLE} vg0/half",
            BACKUP,
        ],
    ),
    "removed": (
        [{"name": "web01-0"}, {"name": "block"}],
        {"state": "absent"},
        [f"umount -- {MOUNTED}/web01-0", "lvremove --yes vg0/web01-0 vg0/block"],
    ),
    "unfinished, removed": ([{"name": "half"}], {"state": "absent"}, ["lvremove --yes vg0/half"]),
    "snapshot removed before its origin": (
        [{"name": "classic"}, {"name": "classic-snap"}],
        {"state": "absent"},
        ["lvremove --yes vg0/classic-snap vg0/classic"],
    ),
    "gone already": ([{"name": "nothing"}], {"state": "absent"}, []),
    "grown": (
        [{"name": "golden", "size_mib": 2000}, {"name": "block", "size_mib": 2000}],
        {"state": "resized"},
        [
            "own [('block', '/dev/vg0/block')]",
            "lvchange -An --addtag openqrm.growing=1004 vg0/golden",
            "lvextend -An --size 2000m vg0/golden",
            "lvchange -An --addtag openqrm.growing=1000 vg0/block",
            "lvextend -An --size 2000m vg0/block",
            BACKUP,
            "resize2fs /dev/vg0/golden",
            "own /dev/vg0/block",
            "lvchange -An --deltag openqrm.growing=1004 vg0/golden",
            "lvchange -An --deltag openqrm.growing=1000 vg0/block",
            BACKUP,
        ],
    ),
    "growth finished": (
        [{"name": "grown-xfs", "size_mib": 1500}],
        {"state": "resized"},
        [
            "own [('grown-xfs', '/dev/vg0/grown-xfs')]",
            "own /dev/vg0/grown-xfs",
            "lvchange -An --deltag openqrm.growing=1000 vg0/grown-xfs",
            BACKUP,
        ],
    ),
    "of its size already": ([{"name": "block", "size_mib": 999}], {"state": "resized"}, []),
}


@pytest.mark.parametrize("case", CASES)
def test_volumes(case: str, server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    volumes, options, commands = CASES[case]
    before = server.fstab
    checked = call(capsys, *volumes, **options, check=True)
    assert [line for line in server.calls if not line.startswith("own")] == []
    assert server.fstab == before
    server.calls.clear()
    result = call(capsys, *volumes, **options)
    assert server.calls == commands
    assert checked == result
    assert result["changed"] is bool(commands)
    mounted = [f"/dev/vg0/{item['name']}" for item in result["items"] if item["path"].startswith(MOUNTED)]
    if options.get("state", "present") == "present" and commands:
        assert server.fstab == [*before, *mounted]
    if options.get("state") == "absent":
        assert server.fstab == [device for device in before if device not in mounted]


def test_a_volume_in_fstab_is_mounted_as_it_is(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    call(capsys, {"name": "new", "source": "golden", "read_only": True})
    line = (server.root / "etc/fstab").read_text().splitlines()[-1]
    assert line == f"/dev/vg0/new {MOUNTED}/new ext4 ro,{OPTIONS} 0 0"
    assert (server.root / MOUNTED.lstrip("/") / "new").is_dir()


def test_archives_fill_volumes_one_by_one(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive = tmp_path / "a.tar"
    archive.write_bytes(b"")
    filled = {"size_mib": 400, "archive": str(archive)}
    call(capsys, {"name": "one", "presents": "filesystem"} | filled, {"name": "two"} | filled)
    whole = [line for line in server.calls if line.startswith(WHOLE) or "--name" in line or "tar" in line]
    assert [re.findall(r"one|two|tar", line)[0] for line in whole] == ["one", "one", "one", "two", "two", "two"]
    assert [line.split(":")[0] for line in server.calls if line.startswith("mounted")] == [
        "mounted ext4 /dev/vg0/one",
        "mounted ext4 /dev/vg0/two",
    ]


def test_a_classic_volume_in_use_is_copied_from_a_snapshot(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    server.change("classic", lv_attr="owi-aos---")
    server.failing = "dd if"
    result = call(capsys, {"name": "copy", "source": "classic"})
    assert "No space left" in result["msg"]
    still = f"--name copy.STILL --snapshot --extents 100%ORIGIN --permission r {NEW} vg0/classic"
    assert server.calls[2:] == [
        f"lvcreate -An --yes {still}",
        "dd if=/dev/vg0/copy.STILL of=/dev/vg0/copy bs=4M iflag=fullblock oflag=direct conv=fsync status=none",
        "lvremove -An --yes vg0/copy.STILL",
    ]


def test_a_snapshot_in_use_is_copied_as_it_is(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    server.change("classic-snap", lv_attr="sri-aos---")
    call(capsys, {"name": "copy", "source": "classic-snap"})
    assert any(line.startswith("dd if=/dev/vg0/classic-snap of=/dev/vg0/copy ") for line in server.calls)


BAD: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "location": ({"name": "a", "location": "/srv"}, {}, "give the directory of a volume group"),
    "no name of a group": ({"name": "a", "location": "/dev/.."}, {}, "give the directory of a volume group"),
    "unknown group": ({"name": "a", "location": "/dev/vg9"}, {}, "vg9 does not exist on this server; known: vg0, vg1"),
    "reserved start": ({"name": "snapshot1"}, {}, "begin with 'snapshot'"),
    "reserved part": ({"name": "a_tmeta"}, {}, "names with '_tmeta'"),
    "long name": ({"name": "a" + "-" * 60}, {}, "LVM takes 116"),
    "pool": ({"name": "openqrm"}, {}, "vg0 has a thin pool of that name"),
    "no pool": ({"name": "a"}, {"pool": "other"}, "vg0 has no thin pool other; run the role's prepare with a size"),
    "full pool": (
        {"name": "a"},
        {"full_percent": 10},
        "% of its metadata, the limit is 10 %; remove volumes or extend",
    ),
    "full pool of the source": ({"name": "a", "source": "block"}, {"full_percent": 10}, "is full to"),
    "full group": (
        {"name": "a", "size_mib": 900000},
        {"thin": False},
        "Volumes good, a need 900012 MiB, and volume group",
    ),
    "too small for XFS": (
        {"name": "a", "size_mib": 200, "presents": "filesystem"},
        {"filesystem": "xfs"},
        "200 MiB is too small for xfs; give 300 MiB",
    ),
    "snapshot of a snapshot": (
        {"name": "a", "source": "classic-snap", "read_only": True},
        {},
        "makes no other; clone it",
    ),
    "presents": ({"name": "block", "presents": "filesystem"}, {}, "block is a block volume, not filesystem"),
    "open": ({"name": "open-block"}, {"state": "absent"}, "or a program of this server has it open; revoke its grants"),
    "mounted": ({"name": "root"}, {"state": "absent"}, "root is in use by this server: /mnt/root of it"),
    "has snapshots": ({"name": "classic"}, {"state": "absent"}, "its snapshots classic-snap would go with it"),
    "shrinks": ({"name": "block", "size_mib": 500}, {"state": "resized"}, "cannot shrink to 500 MiB"),
    "grows with snapshots": (
        {"name": "classic", "size_mib": 500},
        {"state": "resized"},
        "LVM cannot resize a classic volume with snapshots; remove classic-snap first",
    ),
    "grows a full pool": ({"name": "block", "size_mib": 2000}, {"state": "resized", "full_percent": 10}, "is full to"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_volume_fails_before_anything_is_touched(
    case: str, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    volume, options, expected = BAD[case]
    sized = {"size_mib": 10} if not volume.get("source") else {}
    good = {"name": "golden", "size_mib": 2000} if options.get("state") else {"name": "good", "size_mib": 10}
    result = call(capsys, good, sized | volume, **options)
    assert result["failed"]
    assert expected in result["msg"]
    assert [line for line in server.calls if not line.startswith("own")] == []


def test_room_is_counted_for_all_classic_volumes(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    half_mib = server.group.free_mib // 2 // 4 * 4 + 4
    volumes = [{"name": name, "size_mib": half_mib} for name in ("a", "b")]
    for check in (False, True):
        message = call(capsys, *volumes, check=check, thin=False)["msg"]
        assert f"Volumes a, b need {2 * half_mib} MiB, and volume group vg0 has {server.group.free_mib} MiB" in message
    assert server.calls == []
    assert call(capsys, *volumes, thin=True)["changed"], "thin volumes may be larger than their pool"


def test_what_a_killed_run_left_of_a_classic_volume_is_room(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    server.change("classic", lv_tags="openqrm.new")
    volume = {"name": "classic", "size_mib": server.group.free_mib + server.group.volumes["classic"].size_mib}
    assert call(capsys, volume, check=True, thin=False)["changed"]
    volume["size_mib"] += 4
    assert "needs" in call(capsys, volume, check=True, thin=False)["msg"]


def test_archives_that_the_pool_cannot_hold_are_refused(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.tar").touch()
    pool = server.group.volumes["openqrm"]
    free_mib = pool.size_mib - round(pool.size_mib * pool.data_percent / 100)
    server.archive_mib = free_mib // 2 + 1
    filled = {"size_mib": 2 * pool.size_mib, "archive": str(tmp_path / "a.tar")}
    message = call(capsys, {"name": "one"} | filled, {"name": "two"} | filled)["msg"]
    assert f"Volumes one, two need {2 * server.archive_mib} MiB, and thin pool vg0/openqrm has {free_mib}" in message
    assert server.calls == []
    assert call(capsys, {"name": "one"} | filled, check=True)["changed"]
    filled["size_mib"] = 400  # more than its size none takes
    assert call(capsys, {"name": "one"} | filled, {"name": "two"} | filled, check=True)["changed"]


def test_a_pool_that_is_not_active_is_not_taken_for_empty(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    server.change("openqrm", data_percent="", metadata_percent="")
    assert "is not active; run the role's prepare" in call(capsys, {"name": "a", "size_mib": 4})["msg"]


def test_one_volume_in_use_keeps_all(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    server.failing = "umount"
    before = server.fstab
    result = call(capsys, {"name": "web01-0"}, {"name": "golden"}, state="absent")
    assert "Volumes web01-0, golden: one is in use, so none was removed" in result["msg"]
    assert server.calls == [f"umount -- {MOUNTED}/web01-0 {MOUNTED}/golden", MOUNT]
    assert server.fstab == before


FAILURES: dict[str, Callable[[Server], None]] = {
    "mkfs": lambda server: setattr(server, "failing", "mkfs"),
    "mount": lambda server: setattr(server, "failing", "mount --all"),
}


@pytest.mark.parametrize("case", FAILURES)
def test_what_fails_is_told_and_cleared_away(case: str, server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    FAILURES[case](server)
    made = server.command

    def command(argv: list[str], timeout_s: int = 60) -> str:
        if argv[0] == "lvm" and argv[1] != "fullreport":
            row = dict(server.report["report"][0]["lv"][0], lv_name="new", lv_tags="openqrm.filesystem,openqrm.new")
            server.report["report"][0]["lv"].append(row)
        return made(argv, timeout_s)

    server.command = command  # type: ignore[method-assign]
    result = call(capsys, {"name": "new", "size_mib": 400, "presents": "filesystem"})
    assert "No space left on device" in result["msg"]
    assert server.calls[-1] == "lvremove --yes vg0/new"
    assert "/dev/vg0/new" not in server.fstab


def test_xfs_that_keeps_its_uuid_is_an_error(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    made = server.command
    server.command = lambda argv, timeout_s=60: made(argv, timeout_s).replace("new UUID", "ERROR")  # type: ignore[method-assign]
    result = call(capsys, {"name": "xfs-a", "source": "golden"})
    assert "xfs_admin -U generate /dev/vg0/xfs-a did not finish: ERROR" in result["msg"]


def test_list(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    result = run_module("lvm_volume_info", capsys, {"locations": [{"location": "/dev/vg0"}, {"location": "/dev/vg1"}]})
    items = {item["name"]: item for item in result["items"]}
    assert sorted(items) == [
        "block", "block-snap", "classic", "classic-snap", "golden", "grown-xfs", "open-block", "web01-0",
    ]  # fmt: skip
    assert items["web01-0"] == {
        "name": "web01-0",
        "location": "/dev/vg0",
        "path": f"{MOUNTED}/web01-0",
        "size_mib": 1004,
        "used_mib": items["web01-0"]["used_mib"],
        "read_only": False,
        "presents": "filesystem",
        "source": "golden",
    }
    assert 0 < items["golden"]["used_mib"] < 100
    assert items["grown-xfs"]["size_mib"] == 1000, "as long as its file system has not grown"
    assert (items["classic-snap"]["size_mib"], items["classic-snap"]["read_only"]) == (100, True)
    (pool,) = result["pools"]
    assert (pool["location"], pool["pool"]) == ("/dev/vg0", "openqrm")
    assert 0 < pool["used_percent"] < 10 < pool["metadata_percent"] < 11
    assert server.calls == []


def test_space_is_that_of_the_fullest_pool(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    server.change("openqrm", data_percent="71.26", metadata_percent="83.91")
    locations = [{"location": location} for location in ("/dev/vg0", "/dev/vg1", "/dev/vg9")]
    pool, group, missing = run_module("lvm_volume_info", capsys, {"locations": locations, "space": True})["items"]
    size = server.group.volumes["openqrm"].size_mib
    used = round(size * 0.7126)
    assert pool == {
        "location": "/dev/vg0",
        "what": "thin pool vg0/openqrm",
        "total_mib": size,
        "used_mib": used,
        "free_mib": size - used,
        "used_percent": 83.9,
    }
    assert group["what"] == "volume group vg1"
    assert group["total_mib"] == group["used_mib"] + group["free_mib"] > 0
    assert "volume group vg9 does not exist" in missing["problem"]
    server.change("openqrm", data_percent="", metadata_percent="")
    (item,) = run_module("lvm_volume_info", capsys, {"locations": locations[:1], "space": True})["items"]
    assert item == {"location": "/dev/vg0", "problem": "Thin pool vg0/openqrm is not active; run the role's prepare."}


def test_list_of_a_missing_group(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    result = run_module("lvm_volume_info", capsys, {"locations": [{"location": "/dev/vg9"}]})
    assert "Run the role's prepare" in result["msg"]
    assert server.calls == []
