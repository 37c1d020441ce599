# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Volumes that are entries of a directory, their location: directories, subvolumes, files.

A volume appears and disappears by one rename. What a killed run leaves has a name that starts with a dot, which no
volume has: ``.new.<volume>`` is made anew by the next run that wants the volume, ``.trash.*`` is cleared away.
"""

from __future__ import annotations

import fcntl
import os
import secrets

from ansible_collections.openqrm.datacenter.plugins.module_utils.commands import CommandError, run
from ansible_collections.openqrm.datacenter.plugins.module_utils.differences import Differences
from ansible_collections.openqrm.datacenter.plugins.module_utils.files import sync_directory
from ansible_collections.openqrm.datacenter.plugins.module_utils.volumes import (
    MIB,
    Backend,
    Demand,
    Space,
    VolumeError,
    filling_mib,
    location_path,
)

NEW, TRASH = ".new.", ".trash."
# Makes a file share the blocks of another. Source: ioctl_ficlone(2), linux/fs.h.
FICLONE = 0x40049409


class PathBackend(Backend):
    """Back end of such volumes; commands run for at most ``timeout_s`` each."""

    SUFFIX = ""

    def __init__(self, timeout_s=3600, command=run):
        """Keep how commands are run."""
        self._timeout_s = timeout_s
        self._command = command

    def fill(self, volume, new):
        """Make the volume under the path ``new``."""
        raise NotImplementedError

    def delete(self, paths):
        """Delete what is at the paths, with all that is in it; nothing may be there."""
        there = [str(path) for path in paths if os.path.lexists(path)]
        if there:
            self._run("rm", "--recursive", "--force", "--one-file-system", "--", *there)

    def path(self, volume):
        """Return the volume's path, directly below its location."""
        return location_path(volume["location"]) / f"{volume['name']}{self.SUFFIX}"

    def source_path(self, volume):
        """Return the path of the volume's source."""
        return self.path(dict(volume, name=volume["source"]))

    def space(self, location):
        """Return the Space of the file system that holds the location."""
        return space_of_file_system(existing_location(location))

    def demand(self, state, volume):
        """Return the Demand of a new volume that is filled, or copied where blocks cannot be shared."""
        if state != "present":
            return None
        path = self.path(volume)
        if volume.get("archive"):
            mib = filling_mib(volume)
        elif volume.get("source") and not self.shares(path.parent):
            mib = self.copied_mib(self.source_path(volume))
        else:
            return None
        space = self.space(volume["location"])
        mib -= self.left_mib(path.with_name(NEW + volume["name"]))
        remedy = "give the file system more room"
        return Demand(mib, path.parent.stat().st_dev, space.free_mib, space.what, remedy)

    def shares(self, location):
        """Return whether clones share their blocks with their source."""
        return shares_blocks(location)

    def copied_mib(self, source):
        """Return what a copy of the volume at the path ``source`` takes."""
        raise NotImplementedError

    def left_mib(self, new):
        """Return what a run that was killed has left at the path ``new``, which is deleted first."""
        return self.copied_mib(new) if os.path.lexists(new) else 0

    def _run(self, *argv):
        """Return what a command prints."""
        return self._command(list(argv), timeout_s=self._timeout_s)

    def check(self, state, volumes):
        """Raise VolumeError where something else is in the place of a new volume."""
        for volume in volumes if state == "present" else []:
            path = self.path(volume)
            if os.path.lexists(path):
                raise VolumeError(f"Volume {volume['name']}: {path} exists and is no volume; move it away.")

    def create(self, volumes):
        """Make the volumes: those of one location are filled, written to disk together, and renamed."""
        for location, group in grouped(volumes):
            staged = {self.path(volume): self.path(volume).with_name(NEW + volume["name"]) for volume in group}
            self.delete(list(staged.values()))
            try:
                for volume in group:
                    self.fill(volume, staged[self.path(volume)])
                self._run("sync", "--file-system", str(location))
                for path, new in staged.items():
                    new.rename(path)
            except (CommandError, OSError):
                self.delete(list(staged.values()))
                raise
            sync_directory(location)

    def remove(self, volumes):
        """Remove the volumes: they are gone by name at once, then what they held is deleted."""
        for location, group in grouped(volumes):
            trash = []
            for path in map(self.path, group):
                trash.append(path.with_name(f"{TRASH}{path.name}.{secrets.token_hex(4)}"))
                path.rename(trash[-1])
            sync_directory(location)
            self.delete(trash)

    def compare_location(self, path):
        """Return a location as (found, wanted); None: it does not exist. Raises VolumeError where it cannot be one."""
        return path.is_dir() or None, True

    def prepare(self, path):
        """Make the location, a directory that exists, as wanted: delete what removals that were killed have left."""
        self.delete(sorted(path.glob(f"{TRASH}*")))


def grouped(volumes):
    """Return (path of a location, its volumes) for all locations of the volumes."""
    groups = {}
    for volume in volumes:
        groups.setdefault(location_path(volume["location"]), []).append(volume)
    return groups.items()


def existing_location(location):
    """Return the path of a location. Raises VolumeError unless it is there."""
    path = location_path(location)
    if not path.is_dir():
        raise VolumeError(f"Location {location} does not exist on this server; run the role's prepare.")
    return path


def size_of_file_system(path):
    """Return the size in MiB of the file system that holds ``path``."""
    space = os.statvfs(path)
    return space.f_blocks * space.f_frsize // MIB


def space_of_file_system(path):
    """Return the Space of the file system that holds ``path``, as df(1) counts: what only root may use is not free."""
    space = os.statvfs(path)
    used, free = space.f_blocks - space.f_bfree, space.f_bavail
    blocks_percent = percent(used, used + free)
    inodes_percent = percent(space.f_files - space.f_ffree, space.f_files)
    sizes = [count * space.f_frsize // MIB for count in (space.f_blocks, used, free)]
    return Space(f"the file system of {path}", *sizes, max(blocks_percent, inodes_percent))


def percent(part, whole):
    """Return the part in percent of the whole, 0 where that is nothing."""
    return round(100 * part / whole, 1) if whole else 0.0


def share_blocks(source, target):
    """Make the new file ``target`` share the blocks of the file ``source``; return whether the file system can."""
    with source.open("rb") as read, target.open("wb") as written:
        try:
            fcntl.ioctl(written, FICLONE, read.fileno())
        except OSError:
            return False
    return True


def shares_blocks(location):
    """Return whether the file system of ``location`` can share blocks between files (reflink); it is not changed."""
    try:
        first, second = (os.open(location, os.O_TMPFILE | os.O_RDWR, 0o600) for _each in range(2))
    except OSError:
        return False
    try:
        fcntl.ioctl(second, FICLONE, first)
    except OSError:
        return False
    finally:
        os.close(first)
        os.close(second)
    return True


def check_snapshots(volumes):
    """Raise VolumeError where a snapshot is wanted and the file system cannot share blocks."""
    for location, group in grouped([volume for volume in volumes if volume.get("read_only")]):
        if not shares_blocks(location):
            raise VolumeError(
                f"Volume {group[0]['name']}: the file system of {location} cannot share blocks, so it has no "
                "snapshots; clone the volume, or keep the location on XFS with reflink or on btrfs."
            )


def ensure_locations(backend, locations, check_mode):
    """Prepare the locations (dicts with ``location``); return the module's result."""
    paths = [location_path(item["location"]) for item in locations]
    differences = Differences()
    items = [
        {
            "name": str(path),
            "location": str(path),
            "changed": differences.note(str(path), *backend.compare_location(path)),
        }
        for path in paths
    ]
    for path in [] if check_mode else paths:
        path.mkdir(mode=0o755, parents=True, exist_ok=True)
        backend.prepare(path)
    return differences.result(items)
