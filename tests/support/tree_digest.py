"""What a tree of files is, for the comparison of a copy with its source: run as a program, it prints that as JSON."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import sys
from pathlib import Path
from typing import Any

# Marks of transfers, which are not part of a system.
LEFT_OUT = (".openqrm-transfer", ".openqrm-attributes", "lost+found")


def entries(root: Path) -> dict[str, dict[str, Any]]:
    """All that is below the root: path -> what belongs to it. Hard links name the first path of theirs."""
    first: dict[tuple[int, int], str] = {}
    found = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if name not in LEFT_OUT:
            found[name] = _entry(path, name, first)
    return found


def _entry(path: Path, name: str, first: dict[tuple[int, int], str]) -> dict[str, Any]:
    status = path.lstat()
    is_file = stat.S_ISREG(status.st_mode)
    entry: dict[str, Any] = {
        "mode": f"{status.st_mode:o}",
        "owner": [status.st_uid, status.st_gid],
        "attributes": {
            key: os.getxattr(path, key, follow_symlinks=False).hex()
            for key in sorted(os.listxattr(path, follow_symlinks=False))
        },
        "link": first.setdefault((status.st_dev, status.st_ino), name) if status.st_nlink > 1 and is_file else "",
        "modified": status.st_mtime_ns,
    }
    if path.is_symlink():
        entry["target"] = str(path.readlink())
    elif is_file:
        entry["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
        entry["has_holes"] = status.st_blocks * 512 < status.st_size // 2
    elif stat.S_ISBLK(status.st_mode) or stat.S_ISCHR(status.st_mode):
        entry["device"] = status.st_rdev
    return entry


def digest(root: Path) -> str:
    """The SHA-256 of all of it."""
    return hashlib.sha256(json.dumps(entries(root), sort_keys=True).encode()).hexdigest()


if __name__ == "__main__":
    print(json.dumps(entries(Path(sys.argv[1])), indent=1, sort_keys=True))
