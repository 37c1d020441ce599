# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Volumes that are btrfs subvolumes below a location; their size is the limit of their quota group."""

from __future__ import annotations

import fcntl
import os
import struct
import time
from collections import namedtuple

from ansible_collections.openqrm.datacenter.plugins.module_utils.commands import CommandError, run
from ansible_collections.openqrm.datacenter.plugins.module_utils.directories import used_mib
from ansible_collections.openqrm.datacenter.plugins.module_utils.path_volumes import (
    PathBackend,
    existing_location,
    grouped,
    size_of_file_system,
)
from ansible_collections.openqrm.datacenter.plugins.module_utils.volumes import (
    MIB,
    UNPACK,
    VOLUME_NAME,
    Found,
    VolumeError,
    location_path,
)

# Source: linux/btrfs.h, BTRFS_IOC_GET_SUBVOL_INFO and btrfs_ioctl_get_subvol_info_args.
GET_SUBVOL_INFO = 0x81F8943C
SUBVOL_INFO = struct.Struct("=Q256x3QQ16s16s16x32x64x64x")
READ_ONLY = 1
# The inode of a subvolume's top directory. Source: linux/btrfs_tree.h, BTRFS_FIRST_FREE_OBJECTID.
TOP_INODE = 256
QUOTA_MODES = {"full": (), "simple": ("--simple",)}

Subvolume = namedtuple("Subvolume", "number read_only uuid parent_uuid")


def read_subvolume(path):
    """Return the Subvolume that ``path`` is in, None where it is not on btrfs or gone."""
    answer = bytearray(SUBVOL_INFO.size)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.ioctl(descriptor, GET_SUBVOL_INFO, answer)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    number, _parent, _directory, _generation, flags, uuid, parent_uuid = SUBVOL_INFO.unpack(answer)
    return Subvolume(number, bool(flags & READ_ONLY), uuid, parent_uuid)


def is_subvolume(path):
    """Return whether ``path`` is the top directory of a subvolume."""
    try:
        return os.lstat(path).st_ino == TOP_INODE and read_subvolume(path) is not None
    except OSError:
        return False


class Btrfs(PathBackend):
    """Clones and snapshots are snapshots of the subvolume, writable or not: they take no time, whatever its size."""

    NO_SIZE = (
        "the file system of its location has no quotas, so volumes have no size; "
        "turn them on by the role's prepare with storage_btrfs_quota: full or simple"
    )

    def __init__(self, timeout_s=3600, command=run, quota="none"):
        """Keep how commands are run, and the ``quota`` that locations get: full, simple, or none to leave it."""
        super().__init__(timeout_s, command)
        self._quota = quota
        self._quota_groups = {}  # of each location that was read

    def volumes(self, location):
        """Return the subvolumes of a location whose names are those of volumes."""
        path = existing_location(location)
        check_btrfs(path)
        groups = self._quota_groups[path] = self.quota_groups(path)
        with os.scandir(path) as entries:
            tops = [entry for entry in entries if VOLUME_NAME.match(entry.name) and is_subvolume(entry.path)]
        known = {entry.name: subvolume for entry in tops if (subvolume := read_subvolume(entry.path))}
        names = {subvolume.uuid: name for name, subvolume in known.items()}
        found = {}
        for name, subvolume in known.items():
            used, limit = (groups or {}).get(subvolume.number, (None, None))
            source = names.get(subvolume.parent_uuid)
            found[name] = Found(name, path / name, mib(limit), mib(used), subvolume.read_only, "filesystem", source)
        return found

    def measure(self, found, _deadline):
        """Return the volumes; the size of those without a limit is that of the file system."""
        return [each if each.size_mib else each._replace(size_mib=size_of_file_system(each.path)) for each in found]

    def size_mib(self, volume):
        """Return the size as asked for, None where there are no quotas."""
        return None if self._quota_groups[location_path(volume["location"])] is None else volume["size_mib"]

    def quota_groups(self, path):
        """Return what the subvolumes of a file system use and may use in bytes (None: no limit), by number; None where
        it has no quotas."""
        try:
            lines = self._run("btrfs", "qgroup", "show", "-r", "--raw", str(path)).splitlines()
        except CommandError as error:
            if "quota" in error.output and "not enabled" in error.output:
                return None
            raise
        groups = {}
        for fields in map(str.split, lines):
            if fields and fields[0].startswith("0/"):
                groups[int(fields[0][2:])] = (int(fields[1]), None if fields[3] == "none" else int(fields[3]))
        return groups

    def fill(self, volume, new):
        """Make the subvolume: a snapshot of its source, filled from an archive, or empty."""
        if volume.get("source"):
            source = self.source_path(volume)
            options = ["-r"] if volume.get("read_only") else []
            self._run("btrfs", "subvolume", "snapshot", *options, str(source), str(new))
            limit = (self._quota_groups[new.parent] or {}).get(read_subvolume(source).number, (None, None))[1]
            self._limit(new, limit)
            return
        self._run("btrfs", "subvolume", "create", str(new))
        new.chmod(0o755)
        if volume.get("size_mib") and self.size_mib(volume):
            self._limit(new, volume["size_mib"] * MIB)
        if volume.get("archive"):
            self._run(*UNPACK, f"--file={volume['archive']}", f"--directory={new}")

    def shares(self, _location):
        """Return that clones share their blocks: they are snapshots."""
        return True

    def copied_mib(self, source):
        """Return what the files of a subvolume occupy; 0 where that cannot be told in time."""
        return used_mib(source, time.monotonic() + self._timeout_s) or 0

    def grow(self, volumes):
        """Raise the limits of the volumes."""
        for volume in volumes:
            self._limit(self.path(volume), volume["size_mib"] * MIB)
        for location, _group in grouped(volumes):
            self._run("sync", "--file-system", str(location))

    def _limit(self, path, limit):
        if limit is not None:
            self._run("btrfs", "qgroup", "limit", str(limit), str(path))

    def delete(self, paths):
        """Delete the subvolumes, with those that were made in them; nothing may be there."""
        there = [path for path in paths if is_subvolume(path)]
        if there:
            self._delete_nested(there)
            self._run("btrfs", "subvolume", "delete", "--commit-after", *map(str, there))
        super().delete([path for path in paths if path not in there])

    def _delete_nested(self, paths):
        """Delete the subvolumes below others, the deepest first."""
        below = {}
        for line in self._run("btrfs", "subvolume", "list", "-p", str(paths[0].parent)).splitlines():
            fields = line.split()
            below.setdefault(int(fields[fields.index("parent") + 1]), []).append(int(fields[1]))
        numbers = [read_subvolume(path).number for path in paths]
        nested = [number for parent in numbers for number in below.get(parent, ())]
        for number in nested:  # grows while it is read
            nested.extend(below.get(number, ()))
        for number in reversed(nested):
            self._run("btrfs", "subvolume", "delete", "--subvolid", str(number), str(paths[0]))

    def compare_location(self, path):
        """Return a location as (found, wanted). Raises VolumeError unless it is, or can be made, on btrfs."""
        quotas = self.quota_groups(check_btrfs(path)) is not None
        return ({"quotas": quotas} if path.is_dir() else None), {"quotas": quotas or self._quota != "none"}

    def prepare(self, path):
        """Clear leftovers, and turn quotas on where they are wanted and off."""
        super().prepare(path)
        if self.quota_groups(path) is not None:
            self._run("btrfs", "qgroup", "clear-stale", str(path))
        elif self._quota != "none":
            self._run("btrfs", "quota", "enable", *QUOTA_MODES[self._quota], str(path))


def mib(size):
    """Return a size in MiB, rounded up; None for None."""
    return None if size is None else -(-size // MIB)


def check_btrfs(path):
    """Return ``path``, or the directory above it that exists. Raises VolumeError unless that is on btrfs."""
    there = next(each for each in (path, *path.parents) if each.exists())
    if read_subvolume(there) is None:
        raise VolumeError(
            f"Location {path} is not on btrfs; make a btrfs file system and mount it there, "
            "or keep the volumes on storage type directory."
        )
    return there
