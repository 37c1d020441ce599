"""Roots in memory, with real mounts in a namespace of the test: filled at each boot, bounded, never the image."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.unit.boot import shell
from tests.unit.boot.test_layers import HOOK, content
from tests.unit.boot.test_layers import state as state  # the image

SETTINGS = """
OQ_PROGRESS_S=1; OQM_MEMORY=true; OQM_ARCHIVE=''; OQM_ARCHIVE_FORMAT=''
OQM_PARAMETERS="export OPENQRM_PARAM_SOURCE=$STATE/image"
oq_run_hook() {
    (
        eval "${2:-exit 7}"
        echo "asked for $4" && mount --bind "$OPENQRM_PARAM_SOURCE" "$3" && mount -o "remount,bind,$4" "$3"
    )
}
oq_pause() { :; }
oq_fetch_blob() { mkdir -p "${2%/*}" && cp "$STATE/published" "$2"; }
"""


def boot(state: Path, script: str, size_mib: int = 8, **variables: str) -> subprocess.CompletedProcess[str]:
    """Do what an initramfs does with such a root, then run `script`; all mounts end with it."""
    assert shutil.which("unshare"), "install util-linux"
    given = f"OQM_MEMORY_MIB={size_mib}\n" + "".join(f"{name}='{value}'\n" for name, value in variables.items())
    steps = "oq_mount_root && oq_fstab && oq_system_files || exit 5\n"
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LIBRARY": str(shell.LIBRARY), "STATE": str(state)}
    words = [shell.PRELUDE, HOOK, SETTINGS, given, steps, script]
    return subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "busybox", "sh", "-c", "".join(words)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_root_is_a_copy_that_is_gone_at_the_next_boot(state: Path) -> None:
    before = content(state / "image")
    script = """
cat "$NEWROOT/var/log/old" "$NEWROOT/etc/hostname" "$NEWROOT/etc/fstab"; [ ! -e "$NEWROOT/var/log/mine" ] && echo fresh
echo mine > "$NEWROOT/var/log/mine"; grep -c layers/source /proc/mounts; wc -c < "$NEWROOT/etc/machine-id"
awk -v root="$NEWROOT" '$2 == root { print $3, $4 }' /proc/mounts
"""
    for _ in range(2):
        done = boot(state, script)
        assert done.returncode == 0, done.stdout + done.stderr
        asked, old, name, head, line, fresh, mounts, machine_id, root = done.stdout.splitlines()
        assert (asked, old, name, fresh) == ("asked for ro", "from the image", "web-1", "fresh")
        assert head.startswith("#")
        assert line == "/dev/x /x ext4 ro 0 0"
        assert (mounts, machine_id) == ("0", "33")
        assert root.startswith("tmpfs rw")
        assert "size=8192k" in root
    assert content(state / "image") == before


def test_a_root_that_does_not_fit_fails(state: Path) -> None:
    (state / "image/big").write_bytes(bytes(range(256)) * 8192)
    done = boot(state, "", size_mib=1)
    assert done.returncode == 5
    assert "No space left on device" in done.stderr
    assert "the root of at most 1 MiB could not be filled" in done.stdout


def test_memory_that_does_not_suffice_is_said_before_anything_is_mounted(state: Path) -> None:
    done = boot(state, "", size_mib=1 << 30)
    assert done.returncode == 5
    assert f"the root may take {1 << 30} MiB of memory, and this machine has" in done.stdout
    assert "asked for" not in done.stdout


@pytest.mark.parametrize("size_mib", [0, 8])
def test_a_root_is_filled_from_an_archive(state: Path, size_mib: int) -> None:
    archive = state / "published"
    subprocess.run(["mksquashfs", state / "image", archive, "-quiet"], check=True, capture_output=True)
    script = (
        'cat "$NEWROOT/var/log/old"; awk -v root="$NEWROOT" \'$2 == root { print $3 }\' /proc/mounts; ls "$OQ/blobs"'
    )
    done = boot(state, script, size_mib, OQM_ARCHIVE="a" * 64, OQM_ARCHIVE_FORMAT="squashfs")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines() == ["from the image", "tmpfs"]


def test_what_was_mounted_goes_again(state: Path) -> None:
    script = 'swapoff() { :; }; oq_unmount_root; grep -c " $STATE/" /proc/mounts; ls -A "$NEWROOT"'
    assert boot(state, script).stdout.splitlines() == ["asked for ro", "0"]
