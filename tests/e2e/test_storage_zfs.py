"""storage_zfs on the lab's storage server, with a real kernel's OpenZFS: the conformance suite, and what is its own.

That machines boot from it is in test_storage_matrix.py: `-k zfs`.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.conftest import begin, type_of
from tests.conformance.script import Conformance, Target
from tests.conformance.storage_cases import CASES
from tests.support.lab_session import LabSession
from tests.support.zfs_server import DEVICES, DISK_MIB, LOCATION, MOUNTED, ROLE, ZfsServer

pytestmark = pytest.mark.extended


@pytest.fixture(scope="module")
def lab() -> Iterator[LabSession]:
    """A lab without machines, whose storage server has OpenZFS."""
    with LabSession("e2e-zfs") as session:
        session.play_up({"lab_nodes": 0, "lab_storage_zfs": True})
        yield session


@pytest.fixture(scope="module")
def server(lab: LabSession, tmp_path_factory: pytest.TempPathFactory) -> ZfsServer:
    """Its storage server with a pool on a disk of its own, made only when that is allowed."""
    made = ZfsServer(lab, tmp_path_factory.mktemp("zfs"))
    disk = made.attach_disk(DISK_MIB)
    lab.on_storage("mkfs.ext4", "-q", disk)
    named = {"storage_zfs_disks": [disk]}
    allowed = {**named, "storage_zfs_overwrite": True}
    assert "Name the disks" in made.verb("prepare").failed
    assert "signatures of ext4" in made.verb("prepare", **named).failed
    assert "is in use, at /srv/openqrm" in made.verb("prepare", storage_zfs_disks=["/dev/vdb"]).failed
    assert made.verb("prepare", check=True, **allowed).changed
    assert [made.verb("prepare", **allowed).changed for _time in range(2)] == [True, False]
    other = ZfsServer(lab, tmp_path_factory.mktemp("other"))
    other.location = "other/openqrm"
    assert "is in use, by the kernel (a pool of ZFS" in other.verb("prepare", **allowed).failed
    return made


@pytest.fixture(scope="module", params=["filesystem", "block"])
def conformance(
    request: pytest.FixtureRequest, server: ZfsServer, tmp_path_factory: pytest.TempPathFactory
) -> Conformance:
    """The suite, for each kind of volume."""
    directory = tmp_path_factory.mktemp("conformance")
    target = Target(type_of(ROLE), LOCATION, request.param, server.host)
    return Conformance(lambda: begin(target, directory, CASES), server.host, directory)


@pytest.mark.parametrize("case", list(CASES))
def test_it_keeps_the_promises_of_its_family(conformance: Conformance, case: str) -> None:
    conformance.verify(case)


def test_what_the_suite_made_is_gone(server: ZfsServer) -> None:
    assert server.report("all", "name") == [[LOCATION]]


@pytest.mark.parametrize("presents", ["filesystem", "block"])
def test_a_golden_image_goes_before_its_clones(server: ZfsServer, presents: str) -> None:
    golden = {"name": "golden", "presents": presents, "size_mib": 64}
    places = {"filesystem": "{mounted}/{name}/x", "block": "{devices}/{name}"}

    def place(name: str) -> str:
        return places[presents].format(mounted=MOUNTED, devices=DEVICES, name=name)

    def text(name: str) -> str:
        return server.lab.on_storage("head", "-c", "3", place(name))

    assert server.verb("volume_create", golden).changed
    server.lab.on_storage("sh", "-c", f"printf one >{place('golden')}; sync")
    early = [{"name": name, "source": "golden"} for name in ("a", "b")]
    assert server.verb("volume_clone", *early).changed
    server.lab.on_storage("sh", "-c", f"printf two >{place('golden')}; sync")
    outcomes = server.steps(
        [
            server.step("volume_clone", {"name": "c", "source": "golden"}),
            server.step("volume_list"),
        ]
    )
    assert {item["name"]: item["source"] for item in outcomes[1].items} == {
        "golden": None, "a": "golden", "b": "golden", "c": "golden",
    }  # fmt: skip
    server.lab.on_storage("zfs", "snapshot", f"{LOCATION}/golden@daily")
    removed, again, listed = server.steps(
        [
            server.step("volume_remove", {"name": "golden"}),
            server.step("volume_remove", {"name": "golden"}),
            server.step("volume_list"),
        ]
    )
    assert (removed.changed, again.changed) == (True, False)
    assert {item["name"]: item["source"] for item in listed.items} == {"a": None, "b": None, "c": None}
    assert [text(name) for name in ("a", "b", "c")] == ["one", "one", "two"]
    assert "golden" not in server.lab.on_storage("ls", MOUNTED)
    assert len(server.report("snapshot", "name")) == 1, "what the clones share, and no more"
    assert server.verb("volume_remove", *({"name": name} for name in ("c", "a", "b"))).changed
    assert server.report("all", "name") == [[LOCATION]], "no snapshot is left of it"


def test_a_block_volume_that_is_served_is_not_removed(server: ZfsServer) -> None:
    volumes = [{"name": name, "presents": "block", "size_mib": 64} for name in ("one", "two")]
    assert server.verb("volume_create", *volumes).changed
    server.lab.on_storage("losetup", "/dev/loop7", f"{DEVICES}/two")
    refused = server.verb("volume_remove", {"name": "one"}, {"name": "two"})
    assert "Volume two is in use by a loop device" in refused.failed
    server.lab.on_storage("losetup", "--detach", "/dev/loop7")
    assert len(server.report("volume", "name")) == 2
    assert server.verb("volume_remove", {"name": "one"}, {"name": "two"}).changed


def test_a_mounted_volume_in_use_keeps_all(server: ZfsServer) -> None:
    assert server.verb("volume_create", {"name": "one"}, {"name": "two"}).changed
    server.lab.on_storage(
        "sh", "-c", f"cd {MOUNTED}/two && (sleep 600 </dev/null >/dev/null 2>&1 & echo $! >/run/user)"
    )
    refused = server.verb("volume_remove", {"name": "one"}, {"name": "two"})
    assert "one is in use, so none was removed" in refused.failed
    assert {row[1] for row in server.report("filesystem", "name,mounted") if row[0] != LOCATION} == {"yes"}
    server.lab.on_storage("sh", "-c", "kill $(cat /run/user)")
    assert server.verb("volume_remove", {"name": "one"}, {"name": "two"}).changed


def test_the_file_system_in_a_block_volume_grows(server: ZfsServer, tmp_path: Path) -> None:
    (tmp_path / "content").mkdir()
    (tmp_path / "content/name").write_text("golden\n")
    archive = tmp_path / "a.tar"
    subprocess.run(["tar", "-C", str(tmp_path / "content"), "-cf", str(archive), "."], check=True, timeout=60)
    volume = {"name": "disk", "presents": "block", "size_mib": 100, "archive": str(archive)}
    outcomes = server.steps(
        [
            server.step("volume_create", volume),
            server.step("volume_resize", {"name": "disk", "size_mib": 300}),
            server.step("volume_resize", {"name": "disk", "size_mib": 300}),
        ]
    )
    assert [outcome.failed for outcome in outcomes] == [""] * 3
    assert [outcome.changed for outcome in outcomes] == [True, True, False]
    look = f"mount -o ro {DEVICES}/disk /mnt && cat /mnt/name && df --output=size -BM /mnt | tail -1; umount /mnt"
    name, size = server.lab.on_storage("sh", "-c", look).split()
    assert name == "golden"
    assert int(size.rstrip("M")) > 250
    assert server.verb("volume_remove", {"name": "disk"}).changed


def test_a_full_location_takes_nothing(server: ZfsServer) -> None:
    assert server.verb("volume_create", {"name": "big"}).changed
    server.lab.on_storage("dd", "if=/dev/urandom", f"of={MOUNTED}/big/x", "bs=1M", "count=30", "conv=fsync")
    server.lab.on_storage("zfs", "set", "quota=32M", LOCATION)  # not before: ZFS takes its time near a quota
    refused = server.verb("volume_create", {"name": "more"})
    assert "dataset tank/openqrm of " in refused.failed
    assert "the limit is 90 %" in refused.failed
    space = server.verb("space").items[0]
    assert (space["what"], space["used_percent"] > 90) == (f"dataset {LOCATION}", True)
    server.lab.on_storage("zfs", "set", "quota=none", LOCATION)
    assert server.verb("volume_remove", {"name": "big"}).changed


def test_a_killed_run_is_finished_by_the_next(server: ZfsServer, tmp_path: Path) -> None:
    (tmp_path / "content").mkdir()
    (tmp_path / "content/big").write_bytes(b"x" * (150 << 20))
    archive = tmp_path / "big.tar"
    subprocess.run(["tar", "-C", str(tmp_path / "content"), "-cf", str(archive), "."], check=True, timeout=60)
    volume = {"name": "killed", "archive": str(archive)}
    failed: list[str] = []
    thread = threading.Thread(target=lambda: failed.append(server.verb("volume_create", volume).failed))
    thread.start()
    lab = server.lab
    filling = lab.wait("the volume to be filled", lambda: lab.on_storage("sh", "-c", "pgrep -x tar || true").strip())
    lab.on_storage("sh", "-c", f"kill -KILL $(ps -o ppid= -p {filling}) {filling}")
    thread.join()
    assert failed[0], "it was killed"
    assert ["tank/openqrm/killed", "yes"] in server.report("filesystem", "name,openqrm:new")
    listed, made, again = server.steps(
        [server.step("volume_list"), server.step("volume_create", volume), server.step("volume_create", volume)]
    )
    assert listed.items == []
    assert (made.changed, again.changed) == (True, False)
    assert lab.on_storage("stat", "--format", "%s", f"{MOUNTED}/killed/big").strip() == str(150 << 20)
    assert server.verb("volume_remove", {"name": "killed"}).changed


def test_all_is_back_after_a_reboot(server: ZfsServer) -> None:
    def boot() -> str:
        return server.lab.on_storage("cat", "/proc/sys/kernel/random/boot_id").strip()

    def rebooted() -> bool:
        try:
            return boot() != before
        except AssertionError:
            return False

    golden = {"name": "golden", "size_mib": 64}
    server.steps(
        [
            server.step("volume_create", golden, {"name": "disk", "presents": "block", "size_mib": 64}),
            server.step("volume_snapshot", {"name": "kept", "source": "golden"}),
        ]
    )
    before, listed = boot(), server.verb("volume_list").items
    assert len(listed) == 3
    server.lab.on_storage("sh", "-c", "systemctl reboot & sleep 1")
    server.lab.wait("the storage server", rebooted)
    outcomes = server.steps([server.step("volume_list"), server.step("prepare")])
    assert outcomes[0].items == listed
    assert not outcomes[1].changed, "volumes were not mounted"
    server.lab.on_storage("test", "-b", f"{DEVICES}/disk")
    assert server.verb("volume_remove", *({"name": item["name"]} for item in listed)).changed
    assert server.report("all", "name") == [[LOCATION]]
