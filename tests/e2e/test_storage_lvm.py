"""storage_lvm on the lab's storage server, with a real kernel's device mapper: thin and classic, mounted and not."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.lab_session import LabSession
from tests.support.lvm_server import DISK_MIB, GROUP, MOUNTED, POOL, LvmServer

pytestmark = pytest.mark.extended
FILES = {"presents": "filesystem"}


@pytest.fixture(scope="module")
def lab() -> Iterator[LabSession]:
    """A lab without machines."""
    with LabSession("e2e-lvm") as session:
        session.up(nodes=0)
        yield session


@pytest.fixture(scope="module")
def server(lab: LabSession, tmp_path_factory: pytest.TempPathFactory) -> LvmServer:
    """Its storage server with a volume group on a disk of its own, made only when that is allowed."""
    made = LvmServer(lab, tmp_path_factory.mktemp("lvm"))
    disk = made.attach_disk(DISK_MIB)
    lab.on_storage("mkfs.ext4", "-q", disk)
    named = {"storage_lvm_disks": [disk]}
    assert "Name the disks" in made.verb("prepare", **POOL).failed
    assert "signatures of ext4" in made.verb("prepare", **named, **POOL).failed
    assert "is in use, at /srv/openqrm" in made.verb("prepare", storage_lvm_disks=["/dev/vdb"], **POOL).failed
    allowed = {**named, **POOL, "storage_lvm_overwrite": True}
    assert made.verb("prepare", check=True, **allowed).changed
    assert [made.verb("prepare", **allowed).changed for _time in range(2)] == [True, False]
    return made


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tar archive of a directory with a file, a link and an attribute."""
    directory = tmp_path_factory.mktemp("archive")
    (directory / "root/etc").mkdir(parents=True)
    (directory / "root/etc/hostname").write_text("golden\n")
    (directory / "root/etc/link").symlink_to("hostname")
    path = directory / "root.tar.zst"
    subprocess.run(["tar", "-C", str(directory / "root"), "--zstd", "-cf", str(path), "."], check=True, timeout=60)
    return str(path)


def read(server: LvmServer, path: str) -> str:
    return server.lab.on_storage("cat", path).strip()


def unfinished(server: LvmServer) -> list[str]:
    return [name for name, tags in server.report("lv_name,lv_tags") if "openqrm.new" in tags]


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_mounted_volumes(kind: str, server: LvmServer, archive: str) -> None:
    golden, web, kept = f"{kind}-golden", f"{kind}-web", f"{kind}-kept"
    volume = FILES | {"name": golden, "size_mib": 400, "archive": archive}
    clone, snapshot = ({"name": name, "source": golden} for name in (web, kept))
    sizes = [{"name": web, "size_mib": 600}]
    outcomes = server.steps(
        [
            server.step("volume_create", volume, check=True),
            server.step("volume_create", volume),
            server.step("volume_create", volume),
            server.step("volume_clone", clone),
            server.step("volume_snapshot", snapshot),
            server.step("volume_clone", clone),
            server.step("volume_snapshot", snapshot, check=True),
            server.step("volume_resize", *sizes),
            server.step("volume_resize", *sizes),
            server.step("volume_list"),
        ],
        {"storage_lvm_filesystem": kind},
    )
    assert [outcome.failed for outcome in outcomes] == [""] * len(outcomes)
    changes = [outcome.changed for outcome in outcomes]
    assert changes == [True, True, False, True, True, False, False, True, False, False]
    listed = {item["name"]: item for item in outcomes[-1].items}
    assert listed[golden]["path"] == f"{MOUNTED}/{golden}"
    assert (listed[golden]["size_mib"], listed[web]["size_mib"]) == (400, 600)
    assert (listed[web]["source"], listed[kept]["read_only"]) == (golden, True)
    assert 0 < outcomes[-1].result["pools"][0]["used_percent"] < 50
    assert [read(server, f"{MOUNTED}/{name}/etc/link") for name in (golden, web, kept)] == ["golden"] * 3
    blocks = server.lab.on_storage("stat", "--file-system", "--format", "%b %S", f"{MOUNTED}/{web}").split()
    assert int(blocks[0]) * int(blocks[1]) > 500 << 20, "the file system has not grown"
    server.lab.on_storage("sh", "-c", f"echo web >{MOUNTED}/{web}/etc/hostname")
    assert read(server, f"{MOUNTED}/{golden}/etc/hostname") == "golden"
    writing = f"if echo x >{MOUNTED}/{kept}/x; then echo written; fi 2>/dev/null"
    assert "written" not in server.lab.on_storage("sh", "-c", writing)
    identities = server.lab.on_storage("sh", "-c", "findmnt -rno UUID --list | grep . | sort | uniq -d")
    assert identities == "", "NFS tells file systems apart by their UUID"


def test_block_volumes_in_use_are_not_removed(server: LvmServer) -> None:
    golden = {"name": "golden", "presents": "block", "size_mib": 300}
    clone = {"name": "web", "source": "golden"}
    made = server.steps(
        [
            server.step("volume_create", golden),
            server.step("volume_clone", clone),
            server.step("volume_snapshot", clone),
        ]
    )
    assert [outcome.changed for outcome in made[:2]] == [True, True]
    assert "is no snapshot" in made[2].failed
    server.lab.on_storage("losetup", "/dev/loop7", f"{GROUP}/web")
    refused = server.verb("volume_remove", {"name": "golden"}, {"name": "web"})
    assert "Volume web is in use: a target" in refused.failed
    server.lab.on_storage("losetup", "--detach", "/dev/loop7")
    outcomes = server.steps([server.step("volume_remove", {"name": "golden"}), server.step("volume_list")])
    assert outcomes[0].changed
    assert {item["name"]: item["source"] for item in outcomes[1].items}["web"] is None, "it outlives its source"


def test_classic_volumes(server: LvmServer, archive: str) -> None:
    volume = FILES | {"name": "classic", "size_mib": 200, "archive": archive}
    clone, snapshot = ({"name": name, "source": "classic"} for name in ("classic-copy", "classic-snap"))
    outcomes = server.steps(
        [
            server.step("volume_create", volume),
            server.step("volume_clone", clone),
            server.step("volume_snapshot", snapshot),
            server.step("volume_snapshot", snapshot),
            server.step("volume_remove", {"name": "classic"}),
            server.step("volume_resize", {"name": "classic", "size_mib": 300}),
            server.step("volume_resize", {"name": "classic-copy", "size_mib": 300}),
        ],
        {"storage_lvm_thin": False},
    )
    assert [outcome.failed for outcome in outcomes[:4]] == [""] * 4
    assert [outcome.changed for outcome in outcomes[:4]] == [True, True, True, False]
    assert "its snapshots classic-snap would go with it" in outcomes[4].failed
    assert "cannot resize a classic volume with snapshots" in outcomes[5].failed
    assert outcomes[6].changed
    names = ("classic", "classic-copy", "classic-snap")
    assert [read(server, f"{MOUNTED}/{name}/etc/hostname") for name in names] == ["golden"] * 3
    assert "vwi" not in "".join(row[1].lower() for row in server.report("lv_name,lv_attr") if row[0] in names)
    assert server.verb("volume_remove", *({"name": name} for name in names)).changed


def test_a_pool_at_its_limit_takes_nothing(server: LvmServer) -> None:
    limit = {"storage_lvm_full_percent": 10}  # metadata of a new pool is full to 10 %
    refused = server.verb("volume_create", {"name": "more", "presents": "block", "size_mib": 10}, **limit)
    assert "% of its metadata, the limit is 10 %; remove volumes or extend the pool" in refused.failed
    assert ["more"] not in server.report("lv_name")


def test_a_killed_run_is_finished_by_the_next(server: LvmServer, tmp_path: Path) -> None:
    content = tmp_path / "content"
    content.mkdir()
    (content / "big").write_bytes(b"x" * (150 << 20))
    archive = tmp_path / "big.tar"
    subprocess.run(["tar", "-C", str(content), "-cf", str(archive), "."], check=True, timeout=60)
    volume = FILES | {"name": "killed", "size_mib": 400, "archive": str(archive)}
    failed: list[str] = []
    thread = threading.Thread(target=lambda: failed.append(server.verb("volume_create", volume).failed))
    thread.start()
    lab = server.lab
    filling = lab.wait(
        "the volume to be filled", lambda: lab.on_storage("sh", "-c", "pgrep -x unshare || true").strip()
    )
    lab.on_storage("sh", "-c", f"kill -KILL $(ps -o ppid= -p {filling}) {filling}")
    thread.join()
    assert failed[0], "it was killed"
    assert unfinished(server) == ["killed"]
    listed, made, again = server.steps(
        [server.step("volume_list"), server.step("volume_create", volume), server.step("volume_create", volume)]
    )
    assert "killed" not in {item["name"] for item in listed.items}
    assert (made.changed, again.changed) == (True, False)
    assert server.lab.on_storage("stat", "--format", "%s", f"{MOUNTED}/killed/big").strip() == str(150 << 20)
    assert not unfinished(server)


def test_all_is_back_after_a_reboot(server: LvmServer) -> None:
    def mounts() -> set[str]:
        return {line for line in server.lab.on_storage("findmnt", "-rno", "TARGET").split() if MOUNTED in line}

    def boot() -> str:
        return server.lab.on_storage("cat", "/proc/sys/kernel/random/boot_id").strip()

    def rebooted() -> bool:
        try:
            return boot() != before
        except AssertionError:
            return False

    before, there, listed = boot(), mounts(), server.verb("volume_list").items
    assert f"{MOUNTED}/ext4-web" in there
    server.lab.on_storage("sh", "-c", "systemctl reboot & sleep 1")
    server.lab.wait("the storage server", rebooted)
    server.lab.wait("the mounts", lambda: mounts() == there)
    outcomes = server.steps([server.step("volume_list"), server.step("prepare")])
    assert [{**item, "used_mib": 0} for item in outcomes[0].items] == [{**item, "used_mib": 0} for item in listed]
    assert not outcomes[1].changed
    volumes = [{"name": item["name"]} for item in listed]
    removed = server.steps(
        [server.step("volume_remove", *volumes), server.step("volume_remove", *volumes), server.step("volume_list")]
    )
    assert [outcome.changed for outcome in removed] == [True, False, False]
    assert removed[2].items == []
    assert mounts() == set()
    assert "lvm" not in server.lab.on_storage("cat", "/etc/fstab")
