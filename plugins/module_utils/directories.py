# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Volumes that are directories below a location of a storage server, on any file system."""

from __future__ import annotations

import contextlib
import os
import time

from ansible_collections.openqrm.datacenter.plugins.module_utils.commands import run
from ansible_collections.openqrm.datacenter.plugins.module_utils.path_volumes import (
    PathBackend,
    check_snapshots,
    existing_location,
    grouped,
    size_of_file_system,
)
from ansible_collections.openqrm.datacenter.plugins.module_utils.project_quotas import ProjectQuotas, check_quotas
from ansible_collections.openqrm.datacenter.plugins.module_utils.volumes import (
    MIB,
    UNPACK,
    VOLUME_NAME,
    Found,
    VolumeError,
)

BLOCK = 512
CLONE = ("cp", "--archive", "--reflink=auto", "--one-file-system", "--no-target-directory")
# Marks the directory of a snapshot.
SNAPSHOT = "trusted.openqrm.snapshot"


class Directories(PathBackend):
    """Clones are copies that share blocks where the file system can; snapshots need one that can. With ``quota``
    ``project`` a volume is a project, whose limit is its size; with ``none`` volumes have no size."""

    NO_SIZE = (
        "a directory has no size of its own, only that of the file system that holds it; "
        "where that can keep project quotas, set storage_directory_quota: project"
    )

    def __init__(self, timeout_s=3600, command=run, quota="none", quotas=None):
        """Keep how commands are run, and what limits volumes."""
        super().__init__(timeout_s, command)
        self._limited = quota == "project"
        self._quotas = quotas or ProjectQuotas()

    def size_mib(self, volume):
        """Return the size as asked for, None where volumes have none."""
        return volume["size_mib"] if self._limited else None

    def volumes(self, location):
        """Return the directories of a location whose names are those of volumes, with the limits of their projects."""
        with os.scandir(existing_location(location)) as entries:
            found = [e for e in entries if VOLUME_NAME.match(e.name) and e.is_dir(follow_symlinks=False)]
        return {entry.name: self._found(entry) for entry in found}

    def _found(self, entry):
        limit_mib, used = self._quotas.of(entry.path) or (None, None)
        return Found(entry.name, entry.path, limit_mib, used, is_snapshot(entry.path), "filesystem")

    def measure(self, found, deadline):
        """Return the volumes with the space that their files occupy, and their limit or the size of the file system.

        What the quotas know needs not be measured.
        """
        return [
            volume._replace(
                size_mib=volume.size_mib or size_of_file_system(volume.path),
                used_mib=used_mib(volume.path, deadline) if volume.used_mib is None else volume.used_mib,
            )
            for volume in found
        ]

    def check(self, state, volumes):
        """Raise VolumeError where something is in the way, a snapshot cannot be made, or a size cannot be kept."""
        super().check(state, volumes)
        check_snapshots(volumes if state == "present" else [])
        if not self._limited or state == "absent":
            return
        for location, group in grouped(volumes):
            check_quotas(self._quotas, location)
            for volume in group if state == "resized" else []:
                if self._quotas.of(self.path(volume)) is None:
                    raise VolumeError(
                        f"Volume {volume['name']} was made without a quota, and what is in it belongs to no project; "
                        "clone it, and resize the clone."
                    )

    def fill(self, volume, new):
        """Make the directory: a clone, filled from an archive, or empty."""
        new.mkdir()
        new.chmod(0o755)
        if self._limited:
            self._quotas.give(new, self._new_size_mib(volume))
        if volume.get("source"):
            self._run(*CLONE, str(self.source_path(volume)), str(new))
            mark(new, volume.get("read_only"))
            return
        if volume.get("archive"):
            self._run(*UNPACK, f"--file={volume['archive']}", f"--directory={new}")

    def _new_size_mib(self, volume):
        """Return the limit of a new volume: as given, of a clone that of its source, None for none."""
        if volume.get("source"):
            quota = self._quotas.of(self.source_path(volume))
            return quota.limit_mib if quota else None
        return volume.get("size_mib")

    def copied_mib(self, source):
        """Return what a copy takes, as the quotas know it, else measured; 0 where that cannot be told in time."""
        quota = self._quotas.of(source)
        if quota:
            return quota.used_mib
        return used_mib(source, time.monotonic() + self._timeout_s) or 0

    def grow(self, volumes):
        """Raise the limits of the volumes."""
        for volume in volumes:
            self._quotas.limit(self.path(volume), volume["size_mib"])

    def delete(self, paths):
        """Delete what is at the paths, and the limits of their projects."""
        for path in paths:
            if path.is_dir() and not path.is_symlink() and self._quotas.of(path):
                self._quotas.limit(path, None)
        super().delete(paths)

    def compare_location(self, path):
        """Return a location as (found, wanted). Raises VolumeError where volumes are to have limits and cannot."""
        if self._limited:
            check_quotas(self._quotas, path)
        return super().compare_location(path)


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
