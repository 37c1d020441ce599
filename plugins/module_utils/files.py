# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are whole or not there: atomic writes, synced to disk."""

from __future__ import annotations

import hashlib
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

# Files that are written side by side.
WRITERS = 16


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
    temporary = _staged(path, text, mode)
    try:
        temporary.replace(path)
    except BaseException:
        temporary.unlink()
        raise
    if sync:
        sync_directory(directory)


def write_all_atomic(texts, mode=0o644):
    """Give each file of ``texts`` (path -> text) its content, as ``write_atomic`` does; directories are not synced.

    All are on disk under temporary names before the first one takes its place; they do so in their order. They are
    written side by side, because a file system syncs many files in little more time than one.
    """
    staged = {}
    try:
        with ThreadPoolExecutor(WRITERS) as pool:
            writing = {path: pool.submit(_staged, path, text, mode) for path, text in texts.items()}
        for path, future in writing.items():
            if future.exception() is None:
                staged[path] = future.result()
        for future in writing.values():
            future.result()  # raises what went wrong
        for path in texts:
            staged[path].replace(path)
            del staged[path]
    finally:
        for temporary in staged.values():
            temporary.unlink()


def _staged(path, text, mode):
    """Return the path of a temporary file beside ``path`` that has the content, on disk."""
    descriptor, name = tempfile.mkstemp(prefix=".", suffix="~", dir=Path(path).parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fchmod(stream.fileno(), mode)
            os.fsync(stream.fileno())
    except OSError as error:
        temporary.unlink()
        raise OSError(error.errno, error.strerror, str(path)) from error
    except BaseException:
        temporary.unlink()
        raise
    return temporary


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
