# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that nothing refers to any more: found in their directories by what they are called, and removed.

A place is a dict: ``path`` of a directory, ``names`` and ``unfinished`` (patterns of whole names: of what is kept
there, and of what making it leaves when it is killed), ``keep`` (names in use), ``mentioned_in`` (directory with text
files that name what is in use; None: none) and ``smallest_mib`` (smaller files stay). What fits no pattern is never
touched.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
import stat
from pathlib import Path

MIB = 1 << 20
DIGEST = re.compile(rb"[0-9a-f]{64}")
# Text files are smaller.
LARGEST_TEXT = 4 * MIB
LOCK, TRASH = ".lock", ".trash."
UNUSED, UNFINISHED = "unused", "unfinished"


def find_unused(place, older_than_s, now):
    """Return what may go from a place: dicts of ``path``, ``what`` (unused, unfinished), ``size_mib``, ``age_s``."""
    directory = Path(place["path"])
    if not directory.is_dir():
        return []
    found = [item for entry in sorted(directory.iterdir()) if (item := look(entry, place, now))]
    old = [item for item in found if item["age_s"] >= older_than_s]
    if not old or not place["mentioned_in"]:
        return old
    mentioned = mentions(Path(place["mentioned_in"]), directory)
    return [item for item in old if Path(item["path"]).name not in mentioned]


def look(path, place, now):
    """Return what is said of an entry that may go, None of another one and of one that is gone."""
    if re.fullmatch(place["names"], path.name):
        what = UNUSED
    elif re.fullmatch(place["unfinished"], path.name) and not path.name.endswith(LOCK):
        what = UNFINISHED
    else:
        return None
    try:
        size, used = measure(path)
    except OSError:
        return None
    is_small = what == UNUSED and size < place["smallest_mib"] * MIB
    if path.name in place["keep"] or is_small or (what == UNFINISHED and is_held(path)):
        return None
    return {"path": str(path), "what": what, "size_mib": -(-size // MIB), "age_s": max(0, int(now - used))}


def measure(path):
    """Return the bytes below a path, and when anything there was last read or written."""
    size = used = 0
    for each in [path, *(path.rglob("*") if path.is_dir() and not path.is_symlink() else [])]:
        status = each.lstat()
        is_file = stat.S_ISREG(status.st_mode)
        size += status.st_size if is_file else 0
        # A directory is read by whoever looks for something in it.
        used = max(used, status.st_mtime, status.st_atime if is_file else 0)
    return size, used


def is_held(path):
    """Return whether a process makes what is to be there: it holds the file or directory, or the lock beside it."""
    for each in (path, path.with_suffix(LOCK)):
        try:
            descriptor = os.open(each, os.O_RDONLY | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(descriptor)
    return False


def mentions(root, without):
    """Return the digests that files below ``root`` name, but for those in the directory ``without``."""
    found = set()
    for directory, names, files in os.walk(root):
        names[:] = [name for name in names if Path(directory, name) != without]
        for name in files:
            path = Path(directory, name)
            if not path.is_symlink() and path.stat().st_size <= LARGEST_TEXT:
                found.update(DIGEST.findall(path.read_bytes()))
    return {digest.decode() for digest in found}


def remove(path):
    """Remove a file or a directory, which is gone by its name at once."""
    path = Path(path)
    if path.is_dir() and not path.is_symlink():
        trash = path.with_name(f"{TRASH}{secrets.token_hex(4)}")
        path.rename(trash)
        shutil.rmtree(trash)
    else:
        path.unlink(missing_ok=True)
