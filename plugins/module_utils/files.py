# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are whole or not there: atomic writes, synced to disk."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path


def sync_directory(path):
    """Write the entries of the directory ``path`` to disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_text(path):
    """Return the text of the file ``path``, or None when it does not exist."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def write_atomic(path, text, mode=0o644, sync=True):
    """Give the file ``path`` the content ``text``: readers see the old or the new content, never a part.

    The temporary file's name starts with a dot, which daemons that watch a directory pass over.
    ``sync=False`` leaves the directory unsynced, for callers that write many files and sync once.
    """
    directory = Path(path).parent
    descriptor, temporary = tempfile.mkstemp(prefix=".", suffix="~", dir=directory)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fchmod(stream.fileno(), mode)
            os.fsync(stream.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink()
        raise
    if sync:
        sync_directory(directory)


def file_digest(path):
    """Return the SHA-256 of the file ``path`` in hexadecimal digits, or None when it does not exist."""
    digest = hashlib.sha256()
    try:
        with Path(path).open("rb") as stream:
            for block in iter(lambda: stream.read(1 << 20), b""):
                digest.update(block)
    except FileNotFoundError:
        return None
    return digest.hexdigest()
