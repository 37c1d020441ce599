"""Transfers as nodes carry them out, between directories and disks: once, to the end, never over data."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.boot.test_copy import TREE, run

SETTINGS = """
OQ_LIBRARY=$LIBRARY; OQ_STEP=transfer; OQM_TRANSFER=12; OQM_TRANSFER_S=60; OQM_TRANSFER_NAME=other
OQM_TRANSFER_DIRECTION=${DIRECTION:-install}; OQM_TRANSFER_OVERWRITE=${OVERWRITE:-false}
OQM_TRANSFER_DEVICE=${DEVICE:-}; OQM_TRANSFER_ARCHIVE=''; OQM_TRANSFER_FORMAT=''
OQM_TRANSFER_HOOK=x; OQM_TRANSFER_PARAMETERS=''
NEWROOT=$PWD/two; mount --bind two two
oq_fetch_blob() { :; }
oq_run_hook() { echo "mounted $4"; mount --bind "$STATE/space/one" "$3" && mount -o "remount,bind,$4" "$3"; }
"""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[str]:
    """An empty disk of 64 MiB."""
    path = tmp_path / "disk"
    with path.open("wb") as stream:
        stream.truncate(64 << 20)
    done = subprocess.run(["losetup", "--find", "--show", path], check=True, capture_output=True, text=True)
    yield done.stdout.strip()
    subprocess.run(["losetup", "--detach", done.stdout.strip()], check=True)


def test_an_image_is_installed_once(tmp_path: Path) -> None:
    script = """
oq_transfer || exit 5
digest one; digest two; cat two/.openqrm-transfer; grep -c layers/transfer /proc/mounts
echo new > two/mine; oq_transfer || exit 6; cat two/mine
"""
    done = run(tmp_path, TREE + SETTINGS + script)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "mounted ro"
    assert lines[1] == lines[2]
    assert lines[3:] == ["12 done", "0", "new"]
    assert "event info transfer copied: install other" in done.stderr


def test_a_root_with_data_is_not_installed_into_unless_that_is_asked_for(tmp_path: Path) -> None:
    script = 'mkdir -p two/etc && echo x > two/etc/passwd; oq_transfer || echo "refused"; cat two/etc/passwd'
    done = run(tmp_path, TREE + SETTINGS + script)
    assert "start the appliance with --overwrite" in done.stdout
    assert done.stdout.splitlines()[-2:] == ["refused", "x"]
    done = run(tmp_path, TREE + SETTINGS + "mkdir two/etc; oq_transfer; digest one; digest two", OVERWRITE="true")
    first, second = done.stdout.splitlines()[-2:]
    assert first == second


def test_what_was_broken_off_goes_on(tmp_path: Path) -> None:
    script = (
        'echo "12 filling" > two/.openqrm-transfer; echo half > two/usr; oq_transfer || exit 5; digest one; digest two'
    )
    done = run(tmp_path, TREE + SETTINGS + script)
    assert done.returncode == 0, done.stdout + done.stderr
    first, second = done.stdout.splitlines()[-2:]
    assert first == second
    other = 'echo "11 filling" > two/.openqrm-transfer; echo half > two/usr; oq_transfer || echo refused'
    assert run(tmp_path, TREE + SETTINGS + other).stdout.splitlines()[-1] == "refused"


def test_a_root_is_saved_to_an_image(tmp_path: Path) -> None:
    script = """
rm -rf one/.[!.]* one/* && fill two || exit 4
oq_transfer || exit 5; digest one; digest two; cat one/.openqrm-transfer
rm one/.openqrm-transfer; oq_transfer || echo refused
"""
    done = run(tmp_path, TREE + SETTINGS + script, DIRECTION="save")
    lines = done.stdout.splitlines()
    assert lines[0] == "mounted rw"
    assert lines[1] == lines[2], done.stdout + done.stderr
    assert lines[3] == "12 done"
    assert lines[-1] == "refused"


def test_a_copy_that_fails_fails_the_transfer_and_leaves_its_mark(tmp_path: Path) -> None:
    script = """
umount two; mount -t tmpfs -o size=1m small two; dd if=/dev/urandom of=one/big bs=1M count=2 2> /dev/null
oq_transfer || echo failed; cat two/.openqrm-transfer
"""
    done = run(tmp_path, TREE + SETTINGS + script)
    assert "the copy ended with status 11 of rsync" in done.stdout
    assert done.stdout.splitlines()[-2:] == ["failed", "12 filling"]


def test_a_disk_gets_a_file_system_only_where_nothing_is_lost(tmp_path: Path, disk: str) -> None:
    """Empty: made and filled. Filled by the same transfer: left. By another: refused, or with overwrite made anew."""
    save = "fill two; oq_transfer || echo refused; "
    look = (
        'mkdir -p look && mount "$DEVICE" look && digest look && cat look/.openqrm-transfer && umount look; digest two'
    )
    for before, overwrite in (("", "false"), ("OQM_TRANSFER=13; ", "true")):
        done = run(tmp_path, TREE + SETTINGS + before + save + look, DIRECTION="save", DEVICE=disk, OVERWRITE=overwrite)
        first, mark, second = done.stdout.splitlines()[-3:]
        assert first == second, done.stdout + done.stderr
        assert mark == f"{13 if before else 12} done"
    done = run(tmp_path, TREE + SETTINGS + save + look, DIRECTION="save", DEVICE=disk)
    assert "holds data (ext4 ): start the appliance with --overwrite" in done.stdout
    assert "13 done" in done.stdout


def test_a_disk_is_installed_from_and_not_changed(tmp_path: Path, disk: str) -> None:
    subprocess.run(["mkfs.ext4", "-q", disk], check=True)
    before = (tmp_path / "disk").read_bytes()
    script = "oq_transfer || exit 5; ls -A two; cat two/.openqrm-transfer"
    done = run(tmp_path, TREE + SETTINGS + script, DEVICE=disk)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "12 done"
    assert (tmp_path / "disk").read_bytes() == before


@pytest.mark.parametrize(
    ("direction", "words"), [("install", "has no file system"), ("sideways", "are not known to this initramfs")]
)
def test_what_cannot_be_is_said(tmp_path: Path, disk: str, direction: str, words: str) -> None:
    done = run(tmp_path, TREE + SETTINGS + "oq_transfer || echo failed", DIRECTION=direction, DEVICE=disk)
    assert words in done.stdout
    assert done.stdout.splitlines()[-1] == "failed"
