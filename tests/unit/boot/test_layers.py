"""Roots on a shared image, with real mounts in a namespace of the test: overlay, private directories, excludes."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.unit.boot import shell

# Stands for a deployment's hook: the "volume" is a directory that is bound, read-only where that is asked for.
HOOK = """
oq_run_hook() {
    (
        eval "$2"
        mount --bind "$OPENQRM_PARAM_SOURCE" "$3" && mount -o "remount,bind,$4" "$3"
    )
}
hostname() { :; }
modprobe() { :; }
OQM_METHOD=test; OQM_HOSTNAME=web-1; OQM_APPLIANCE=web; OQM_MEMBER=1; OQM_HOSTS=''; OQM_FSTAB='/dev/x /x ext4 ro 0 0'
OQM_OVERLAY_MIB=4
OQM_PARAMETERS="export OPENQRM_PARAM_SOURCE=$STATE/image"
OQM_PRIVATE_PARAMETERS="export OPENQRM_PARAM_SOURCE=$STATE/private"
OQ_BUNDLE=$STATE/bundle; OQ_LAYERS=$STATE/layers; OQ_CA=$STATE/ca
blkid() { :; }
mount -t tmpfs layers "$STATE/layers" || exit 9
"""


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """An image with a system's files, an empty private volume, and where they are mounted."""
    image = tmp_path / "image"
    for directory in ("sbin", "etc", "var/log", "var/lib/app/common", "proc", "sys", "dev", "run", "tmp"):
        (image / directory).mkdir(parents=True)
    (image / "sbin/init").touch(mode=0o755)
    (image / "etc/machine-id").write_text("image's own\n")
    (image / "etc/hostname").write_text("golden\n")
    (image / "var/log/old").write_text("from the image\n")
    (image / "var/lib/app/data").write_text("from the image\n")
    (image / "var/lib/app/common/list").write_text("one\n")
    (image / "var/lib/app").chmod(0o711)
    (image / "var/spool").symlink_to("/var/log")
    for directory in ("private", "layers", "root", "bundle/etc"):
        (tmp_path / directory).mkdir(parents=True)
    (tmp_path / "bundle/etc/resolv.conf").write_text("nameserver 10.0.0.1\n")
    (tmp_path / "ca").write_text("certificate\n")
    return tmp_path


def content(root: Path) -> dict[str, str]:
    """All files and links below a directory, with modes."""
    return {
        str(path.relative_to(root)): f"{path.lstat().st_mode:o} {path.read_text() if path.is_file() else ''}"
        for path in sorted(root.rglob("*"))
    }


def boot(state: Path, mode: str, script: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Do what an initramfs does with this root mode, then run `script`; all mounts end with it."""
    assert shutil.which("unshare"), "install util-linux"
    settings = {"OQM_PRIVATE_DIRECTORIES": "", "OQM_PRIVATE_EXCLUDES": ""} | variables
    given = "".join(f"{name}='{value}'\n" for name, value in settings.items())
    steps = f"{given}OQM_ROOT_MODE={mode}\noq_mount_root && oq_private && oq_fstab && oq_system_files || exit 5\n"
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LIBRARY": str(shell.LIBRARY), "STATE": str(state)}
    prelude = shell.PRELUDE.replace("OQM_ROOT_MODE=read-write", "")
    return subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "busybox", "sh", "-c", prelude + HOOK + steps + script],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_changes_over_a_shared_image_are_in_memory(state: Path) -> None:
    before = content(state / "image")
    script = """
echo mine > "$NEWROOT/var/log/new" && rm "$NEWROOT/var/log/old" && ls "$NEWROOT/var/log"
cat "$NEWROOT/etc/hostname" "$NEWROOT/etc/machine-id"; tail -n 1 "$NEWROOT/etc/fstab"; wc -l < "$NEWROOT/etc/fstab"
stat -c %a "$NEWROOT"; echo x > "$OQ_LAYERS/image/x" || echo read-only
dd if=/dev/zero of="$NEWROOT/big" bs=1M count=8 2> /dev/null || echo full
"""
    done = boot(state, "overlay", script)
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert lines[:2] == ["new", "web-1"]
    assert len(lines[2]) == 32 and int(lines[2], 16)
    assert lines[3:] == ["/dev/x /x ext4 ro 0 0", "2", "755", "read-only", "full"]
    assert content(state / "image") == before


def test_a_machine_id_is_of_the_member_and_stays(state: Path) -> None:
    script = 'cat "$NEWROOT/etc/machine-id"; OQM_MEMBER=2; oq_machine_id; cat "$NEWROOT/etc/machine-id"'
    first, second = (boot(state, "overlay", script).stdout for _ in range(2))
    assert first == second
    one, other = first.split()
    assert one != other


def test_private_directories_persist_and_excludes_are_common(state: Path) -> None:
    before = content(state / "image")
    private = {
        "OQM_PRIVATE_DIRECTORIES": "/var/lib/app\n/var/log\n/srv/new",
        "OQM_PRIVATE_EXCLUDES": "/var/lib/app/common",
    }
    script = """
echo mine >> "$NEWROOT/var/lib/app/data"; echo x > "$NEWROOT/srv/new/file"; echo x > "$NEWROOT/elsewhere"
echo x > "$NEWROOT/var/lib/app/common/list" || echo read-only
stat -c %a "$NEWROOT/var/lib/app"
"""
    done = boot(state, "private", script, **private)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines() == ["read-only", "711"]
    (state / "image/var/lib/app/common/list").write_text("two\n")
    (state / "image/var/log/old").write_text("changed\n")
    script = """
cat "$NEWROOT/var/lib/app/data" "$NEWROOT/srv/new/file" "$NEWROOT/var/lib/app/common/list" "$NEWROOT/var/log/old"
[ -e "$NEWROOT/elsewhere" ] || echo forgotten
"""
    again = boot(state, "private", script, **private)
    assert again.stdout.splitlines() == ["from the image", "mine", "x", "two", "from the image", "forgotten"]
    (state / "image/var/lib/app/common/list").write_text("one\n")
    (state / "image/var/log/old").write_text("from the image\n")
    assert content(state / "image") == before


def test_a_copy_that_was_killed_is_made_again(state: Path) -> None:
    (state / "private/.new").mkdir()
    (state / "private/.new/half").touch()
    done = boot(state, "private", 'ls "$NEWROOT/var/log"; ls -A "$STATE/private"', OQM_PRIVATE_DIRECTORIES="/var/log")
    assert done.stdout.splitlines() == ["old", "var"]


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"OQM_PRIVATE_DIRECTORIES": "/var/spool"}, "/var/spool leads through a symbolic link"),
        (
            {"OQM_PRIVATE_DIRECTORIES": "/var/log", "OQM_PRIVATE_EXCLUDES": "/var/log/none"},
            "the exclude /var/log/none is neither a directory nor a file",
        ),
    ],
)
def test_what_the_image_does_not_have_is_said(state: Path, variables: dict[str, str], words: str) -> None:
    done = boot(state, "private", "", **variables)
    assert done.returncode == 5
    assert words in done.stdout
    assert not (state / "private/var/spool").exists()


def test_all_layers_are_unmounted_again(state: Path) -> None:
    script = 'oq_unmount_root; grep -c " $STATE/" /proc/mounts; ls -A "$NEWROOT"'
    done = boot(
        state,
        "private",
        script.replace("oq_unmount_root", "swapoff() { :; }; oq_unmount_root"),
        OQM_PRIVATE_DIRECTORIES="/var/log",
    )
    assert done.stdout.splitlines() == ["0"], done.stdout + done.stderr
