"""Copies of trees, by the very commands that nodes run: all that belongs to files arrives, also by way of NFS."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from tests.support import tree_digest
from tests.unit.boot import shell

PRELUDE = """
mkdir -p "$STATE/space" && mount -t tmpfs space "$STATE/space" && cd "$STATE/space" && mkdir one two three || exit 9
OQ_PROGRESS_S=1
oq_event() { echo "event $*" >&2; }
modprobe() { :; }
oq_is_nfs() { case ${NFS:-} in *"${1##*/}"*) return 0 ;; esac; return 1; }
OQ_LAYERS=$STATE/space/layers; OQ_BOOT=boot; OQ_STEP=transfer
oq_curl() { cat "$STATE/published"; }
oq_pause() { :; }
digest() { "$PYTHON" -c 'import sys; sys.path.insert(0, sys.argv[1]); from tests.support import tree_digest
from pathlib import Path
print(tree_digest.digest(Path(sys.argv[2])))' "$REPOSITORY" "$1"; }
"""
# Owners, hard and symbolic links, holes, devices, pipes, dot files, odd names, ACLs, attributes and capabilities.
TREE = """
fill() (
    cd "$1" && umask 022
    mkdir -p usr/bin var/empty .dot 'odd name' srv && echo x > .dot/.file && echo y > 'odd name/new
line'
    cp /bin/true usr/bin/ping && setfattr -n security.capability -v 0sAQAAAgAgAAAAAAAAAAAAAAAAAAA= usr/bin/ping
    cp /bin/true usr/bin/su && chown 7:8 usr/bin/su && chmod 4755 usr/bin/su && ln usr/bin/su usr/bin/su2
    ln -s ../missing usr/link && chown -h 12:13 usr/link
    truncate -s 20M var/image && echo end >> var/image
    mknod var/null c 1 3 && mkfifo var/pipe
    setfattr -n user.note -v hello srv && setfattr -n user.note -v 'two words' usr/bin/su
    setfacl -m u:1234:rwx,d:g:99:r srv && setfacl -m u:55:r usr/bin/ping
    /usr/bin/touch -d '2001-02-03 04:05:06.789' usr/bin/su
)
fill one
"""


def run(tmp_path: Path, script: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a script in a mount namespace of its own, where one, two and three are directories of a file system."""
    return subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "busybox", "sh", "-c", shell.PRELUDE + PRELUDE + script],
        env={
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "LIBRARY": str(shell.LIBRARY),
            "STATE": str(tmp_path),
            "REPOSITORY": str(Path(__file__).parents[3]),
            "PYTHON": "/usr/bin/python3",
            **variables,
        },
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_everything_arrives_unchanged(tmp_path: Path) -> None:
    script = 'oq_copy_tree "$PWD/one" "$PWD/two" || exit 5; digest one; digest two; getfattr -d -m - two/usr/bin/ping'
    done = run(tmp_path, TREE + script)
    assert done.returncode == 0, done.stdout + done.stderr
    first, second, *rest = done.stdout.splitlines()
    assert first == second
    assert any("security.capability" in line for line in rest)
    assert any("system.posix_acl_access" in line for line in rest)


def test_a_copy_that_was_broken_off_converges(tmp_path: Path) -> None:
    script = """
mkdir -p two/gone/deep && echo half > two/usr && touch two/.openqrm-transfer
oq_copy_tree "$PWD/one" "$PWD/two" && oq_copy_tree "$PWD/one" "$PWD/two" || exit 5
digest one; digest two; ls two/.openqrm-transfer
"""
    done = run(tmp_path, TREE + script)
    first, second, kept = done.stdout.splitlines()
    assert first == second
    assert kept == "two/.openqrm-transfer"


@pytest.mark.parametrize("user", ["", "oq_holds_user_attributes() { return 1; }\n"])
def test_what_nfs_cannot_hold_comes_back_from_a_file(tmp_path: Path, user: str) -> None:
    script = f"""
{user}oq_copy_tree "$PWD/one" "$PWD/two" || exit 5
getfattr -R -d -m - two | grep -c -e security -e posix_acl
stat -c %a two/.openqrm-attributes
{"unset -f oq_holds_user_attributes; oq_holds_user_attributes() { return 0; }" if user else ""}
oq_copy_tree "$PWD/two" "$PWD/three" || exit 6
digest one; digest three; ls three/.openqrm-attributes
"""
    done = run(tmp_path, TREE + script, NFS="two")
    none, mode, first, second = done.stdout.splitlines()
    assert (none, mode) == ("0", "600"), done.stderr
    assert first == second


def test_memory_of_older_kernels_goes_without_user_attributes(tmp_path: Path) -> None:
    script = """
oq_holds_user_attributes() { return 1; }
oq_copy_tree "$PWD/one" "$PWD/two" || exit 5
getfattr -R -d -m - two | grep -c -e user; getcap two/usr/bin/ping; getfacl -c -p two/srv | head -2
"""
    done = run(tmp_path, TREE + script)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines() == ["0", "two/usr/bin/ping cap_net_raw=ep", "user::rwx", "user:1234:rwx"]


def test_a_copy_that_fails_says_so(tmp_path: Path) -> None:
    script = TREE + "mount -t tmpfs -o size=1m small two; dd if=/dev/urandom of=one/big bs=1M count=2 2> /dev/null\n"
    done = run(tmp_path, script + 'oq_copy_tree "$PWD/one" "$PWD/two" || echo "failed $?"')
    assert "No space left on device" in done.stderr
    assert "the copy ended with status 11 of rsync" in done.stdout
    assert "failed 11" in done.stdout


def test_progress_is_told_in_events(tmp_path: Path) -> None:
    script = """
OQ_PROGRESS_S=0.2
printf '\\r  1,000  10%%  1.0MB/s 0:00:10\\r  5,000  50%%  1.0MB/s' > "$OQ/copy.progress"
oq_report_progress & sleep 0.5; kill $!
"""
    done = run(tmp_path, script)
    assert "event info transfer 50% of the data, 5,000 bytes are copied" in done.stderr


@pytest.mark.parametrize("kind", ["tar.zst", "squashfs"])
def test_archives_are_unpacked_with_all_they_have(tmp_path: Path, kind: str) -> None:
    pack = {
        "tar.zst": "tar -c --acls --xattrs '--xattrs-include=*' --sparse -C one . | zstd -q",
        "squashfs": 'mksquashfs one "$STATE/file" -quiet > /dev/null; cat "$STATE/file"',
    }[kind]
    # squashfs holds no ACLs; tar has whole seconds where the format is not told otherwise.
    strip = "setfacl -R -b one; find one -exec /usr/bin/touch -h -d 2001-02-03 {} +; " if kind == "squashfs" else ""
    path = "PATH=/usr/bin:/usr/sbin "
    script = f"""
find one -exec /usr/bin/touch -h -d 2001-02-03 {{}} +; {strip}
{path} bash -c {pack!r} > "$STATE/published" || exit 4
oq_fetch_blob() {{ mkdir -p "${{2%/*}}" && cp "$STATE/published" "$2"; }}
oq_unpack "$(sha256sum < "$STATE/published" | cut -d ' ' -f 1)" {kind} "$PWD/two" || exit 5
digest one; digest two
"""
    done = run(tmp_path, TREE + script)
    assert done.returncode == 0, done.stdout + done.stderr
    first, second = done.stdout.splitlines()
    assert first == second


def test_an_archive_with_another_digest_leaves_nothing(tmp_path: Path) -> None:
    wrong = hashlib.sha256(b"other").hexdigest()
    script = f"""
/usr/bin/tar -c -C one . | zstd -q > "$STATE/published"
oq_unpack {wrong} tar.zst "$PWD/two" || echo refused; ls -A two
head -c 1000 "$STATE/published" > "$STATE/cut"; mv "$STATE/cut" "$STATE/published"
oq_unpack {wrong} tar.zst "$PWD/two" || echo refused; ls -A two
oq_unpack {wrong} zip "$PWD/two"
"""
    lines = run(tmp_path, TREE + script).stdout.splitlines()
    assert sum("has the digest" in line for line in lines) >= 3
    assert lines.count("refused") == 2
    assert lines[-1] == "archives of format 'zip' are not known to this initramfs"
    assert not any(line in ("usr", "var", "srv") for line in lines)


def test_the_digest_of_a_tree_sees_each_difference(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("x")
    one, two = tmp_path / "one", tmp_path / "two"
    subprocess.run(["touch", "-r", one / "file", two / "file"], check=True)
    assert tree_digest.digest(one) == tree_digest.digest(two)
    (two / "file").chmod(0o600)
    assert tree_digest.digest(one) != tree_digest.digest(two)
