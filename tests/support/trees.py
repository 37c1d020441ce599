"""Trees of files with all that a copy of a root file system has to keep, and OCI images that are made of them."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

MIB = 1 << 20


def described(root: Path) -> dict[str, tuple[object, ...]]:
    """What is below `root` and `root` itself, by path: kind and mode, owner, device, content, who shares its inode,
    extended attributes (ACLs and capabilities are among them), time of modification, whether it has holes."""
    paths = [root, *sorted(root.rglob("*"))]
    first: dict[int, str] = {}
    found = {}
    for path in paths:
        state, name = path.lstat(), str(path.relative_to(root))
        is_file = stat.S_ISREG(state.st_mode)
        attributes = {
            key: os.getxattr(path, key, follow_symlinks=False) for key in os.listxattr(path, follow_symlinks=False)
        }
        found[name] = (
            oct(state.st_mode),
            (state.st_uid, state.st_gid),
            state.st_rdev if stat.S_ISCHR(state.st_mode) or stat.S_ISBLK(state.st_mode) else 0,
            str(path.readlink())
            if path.is_symlink()
            else hashlib.sha256(path.read_bytes()).hexdigest()
            if is_file
            else "",
            first.setdefault(state.st_ino, name) if state.st_nlink > 1 and is_file else name,
            attributes,
            0 if stat.S_ISDIR(state.st_mode) else int(state.st_mtime),
            is_file and state.st_blocks * 512 < state.st_size,
        )
    return found


def make_root(root: Path) -> Path:
    """A small root file system with everything that is easily lost in a copy; its path."""
    for name in ("etc", "usr/bin", "var/spool/at", "home/anna", "srv", "tmp", "proc", "dev"):
        (root / name).mkdir(parents=True)
    root.chmod(0o755)
    (root / "etc/hostname").write_text("source\n")
    (root / "home/anna/.profile").write_text("dot file\n")
    (root / "home/anna/ a name\twith blanks").write_text("odd\n")
    os.link(root / "etc/hostname", root / "srv/hard link")
    (root / "sbin").symlink_to("usr/bin")
    (root / "usr/bin/su").write_text("#!/bin/sh\n")
    (root / "usr/bin/su").chmod(0o4755)
    (root / "usr/bin/ping").write_bytes(b"\x7fELF")
    subprocess.run(["setcap", "cap_net_raw+ep", str(root / "usr/bin/ping")], check=True, timeout=60)
    (root / "srv/acl").write_text("acl\n")
    subprocess.run(["setfacl", "-m", "u:1234:rw", str(root / "srv/acl")], check=True, timeout=60)
    subprocess.run(["setfacl", "-d", "-m", "g:2345:rx", str(root / "srv")], check=True, timeout=60)
    (root / "srv/attribute").write_text("x\n")
    os.setxattr(root / "srv/attribute", "user.origin", b"here")
    os.chown(root / "home/anna", 1000, 1001)
    os.chown(root / "home/anna/.profile", 1000, 1001)
    (root / "var/spool/at").chmod(0o1770)
    os.mkfifo(root / "var/spool/at/fifo")
    with (root / "srv/sparse").open("wb") as stream:
        stream.write(b"begin")
        stream.truncate(8 * MIB)
    return root


def make_layout(directory: Path, *changes: Callable[[Path], object], tag: str = "stable") -> Path:
    """An OCI image layout whose image has a layer for each of the changes that are made to its root; its path."""
    layout = directory / "layout"

    def umoci(*words: str) -> None:
        subprocess.run(["umoci", *words], check=True, timeout=120, capture_output=True)

    if not layout.exists():
        umoci("init", "--layout", str(layout))
    umoci("new", "--image", f"{layout}:{tag}")
    for change in changes:
        bundle = directory / "bundle"
        umoci("unpack", "--image", f"{layout}:{tag}", str(bundle))
        change(bundle / "rootfs")
        umoci("repack", "--image", f"{layout}:{tag}", str(bundle))
        shutil.rmtree(bundle)
    return layout
