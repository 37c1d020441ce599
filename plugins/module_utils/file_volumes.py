# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Block volumes that are sparse raw files below a location of a storage server; a snapshot has a read-only mode."""

from __future__ import annotations

import os

from ansible_collections.openqrm.datacenter.plugins.module_utils.block_volumes import Contents, users
from ansible_collections.openqrm.datacenter.plugins.module_utils.commands import run
from ansible_collections.openqrm.datacenter.plugins.module_utils.path_volumes import (
    PathBackend,
    existing_location,
    grouped,
    share_blocks,
    shares_blocks,
)
from ansible_collections.openqrm.datacenter.plugins.module_utils.volumes import MIB, VOLUME_NAME, Found, VolumeError

BLOCK = 512
WRITABLE, SNAPSHOT = 0o600, 0o400


class Files(PathBackend):
    """Clones share blocks where the file system can and are sparse copies where it cannot; so are snapshots."""

    PRESENTS = ("block",)
    SIZED = True
    SUFFIX = ".raw"

    def __init__(self, filesystem="ext4", timeout_s=3600, command=run):
        """Keep the ``filesystem`` that archives go into, and how commands are run."""
        super().__init__(timeout_s, command)
        self._contents = Contents(filesystem, timeout_s, command)

    def volumes(self, location):
        """Return the files of a location whose names are those of volumes."""
        found = {}
        with os.scandir(existing_location(location)) as entries:
            for entry in entries:
                name = entry.name[: -len(self.SUFFIX)]
                if (
                    VOLUME_NAME.match(name)
                    and entry.name.endswith(self.SUFFIX)
                    and entry.is_file(follow_symlinks=False)
                ):
                    found[name] = found_file(name, entry)
        return found

    def is_filled(self, volume):
        """Return whether the file system in the volume uses all of it."""
        return self._contents.is_filled(self.path(volume), volume["size_mib"])

    def check(self, state, volumes):
        """Raise VolumeError where something is in the way, or others use what is to be removed, grown or copied."""
        super().check(state, volumes)
        paths = [(volume["name"], self.path(volume)) for volume in volumes]
        if state == "resized":
            self._contents.check_growable(paths)
        elif state == "absent":
            check_unused(paths)
        else:
            self._check_new(volumes)

    def _check_new(self, volumes):
        for volume in volumes:
            if not volume.get("source"):
                self._contents.check_new(volume)
        for location, group in grouped([volume for volume in volumes if volume.get("read_only")]):
            if not shares_blocks(location):  # what is copied while it is written is torn
                check_unused([(volume["source"], self.source_path(volume)) for volume in group])

    def fill(self, volume, new):
        """Make the file: a clone, filled from an archive, or of zeros."""
        new.touch(mode=WRITABLE)
        if volume.get("source"):
            source = self.source_path(volume)
            if not share_blocks(source, new):
                self._run("cp", "--reflink=never", "--sparse=always", "--", str(source), str(new))
        else:
            os.truncate(new, volume["size_mib"] * MIB)
            if volume.get("archive"):
                self._contents.fill(new, volume["archive"])
        new.chmod(SNAPSHOT if volume.get("read_only") else WRITABLE)

    def copied_mib(self, source):
        """Return what a copy takes, which has the holes of its source."""
        return -(-source.stat().st_blocks * BLOCK // MIB)

    def grow(self, volumes):
        """Grow the files and the file systems in them."""
        for location, group in grouped(volumes):
            for volume in group:
                os.truncate(self.path(volume), volume["size_mib"] * MIB)
                self._contents.grow(self.path(volume))
            self._run("sync", "--file-system", str(location))


def check_unused(volumes):
    """Raise VolumeError where a volume, (name, path), is in use."""
    used = users([path for _name, path in volumes])
    for name, path in volumes:
        if str(path) in used:
            raise VolumeError(f"Volume {name} is in use by {used[str(path)]}; stop and revoke what uses it first.")


def found_file(name, entry):
    """Return the Found of a directory entry."""
    status = entry.stat(follow_symlinks=False)
    return Found(
        name,
        entry.path,
        size_mib=-(-status.st_size // MIB),
        used_mib=-(-status.st_blocks * BLOCK // MIB),
        read_only=not status.st_mode & 0o200,
        presents="block",
    )
