# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Volumes that are directories below a location of a storage server, on any file system."""

from __future__ import annotations

import contextlib
import os
import time

from ansible_collections.openqrm.datacenter.plugins.module_utils.path_volumes import (
    PathBackend,
    check_snapshots,
    existing_location,
    size_of_file_system,
)
from ansible_collections.openqrm.datacenter.plugins.module_utils.volumes import MIB, UNPACK, VOLUME_NAME, Found

BLOCK = 512
CLONE = ("cp", "--archive", "--reflink=auto", "--one-file-system", "--no-target-directory")
# Marks the directory of a snapshot.
SNAPSHOT = "trusted.openqrm.snapshot"


class Directories(PathBackend):
    """Clones are copies that share blocks where the file system can; snapshots need one that can."""

    NO_SIZE = "a directory has no size of its own, only that of the file system that holds it"

    def size_mib(self, _volume):
        """Return None: directories have no size of their own."""

    def volumes(self, location):
        """Return the directories of a location whose names are those of volumes."""
        with os.scandir(existing_location(location)) as entries:
            found = [e for e in entries if VOLUME_NAME.match(e.name) and e.is_dir(follow_symlinks=False)]
        return {e.name: Found(e.name, e.path, read_only=is_snapshot(e.path), presents="filesystem") for e in found}

    def measure(self, found, deadline):
        """Return the volumes with the space that their files occupy, and the size of the file system."""
        return [
            volume._replace(size_mib=size_of_file_system(volume.path), used_mib=used_mib(volume.path, deadline))
            for volume in found
        ]

    def check(self, state, volumes):
        """Raise VolumeError where something is in the way, or a snapshot cannot be made."""
        super().check(state, volumes)
        check_snapshots(volumes if state == "present" else [])

    def fill(self, volume, new):
        """Make the directory: a clone, filled from an archive, or empty."""
        if volume.get("source"):
            self._run(*CLONE, str(self.source_path(volume)), str(new))
            mark(new, volume.get("read_only"))
            return
        new.mkdir()
        new.chmod(0o755)
        if volume.get("archive"):
            self._run(*UNPACK, f"--file={volume['archive']}", f"--directory={new}")


def is_snapshot(path):
    """Return whether the directory is marked as a snapshot."""
    try:
        return bool(os.getxattr(path, SNAPSHOT, follow_symlinks=False))
    except OSError:
        return False


def mark(path, snapshot):
    """Mark the new copy ``path`` as a snapshot, or as none, whatever its source was."""
    if snapshot:
        os.setxattr(path, SNAPSHOT, b"1")
        return
    with contextlib.suppress(OSError):
        os.removexattr(path, SNAPSHOT)


def used_mib(path, deadline):
    """Return the space in MiB, rounded up, that the files below ``path`` occupy, on its file system; blocks that clones
    share count in each. None when it cannot be told by ``deadline``, or the volume was removed meanwhile."""
    if time.monotonic() >= deadline:
        return None
    try:
        top = os.lstat(path)
        blocks, linked = top.st_blocks, set()
        for status in statuses(path, top.st_dev, deadline):
            if status.st_nlink > 1:
                if status.st_ino in linked:
                    continue
                linked.add(status.st_ino)
            blocks += status.st_blocks
    except (OSError, TimeoutError):
        return None
    return -(-blocks * BLOCK // MIB)


def statuses(path, device, deadline):
    """Yield the status of everything below ``path`` on ``device``. Raises TimeoutError at ``deadline``."""
    pending = [path]
    while pending:
        if time.monotonic() >= deadline:
            raise TimeoutError(path)
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                status = entry.stat(follow_symlinks=False)
                if status.st_dev != device:
                    continue
                yield status
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
