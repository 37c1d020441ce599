# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Volumes that are logical volumes of LVM, thin or classic: block devices, or file systems that this server mounts.

A volume that is not whole has the tag NEW until it is: made, filled, mounted. A run that finds it makes it anew. Clones
and snapshots of block volumes appear by one change of LVM's metadata, so they need no tag.
"""

from __future__ import annotations

import contextlib

from ansible_collections.openqrm.datacenter.plugins.module_utils.commands import CommandError, run
from ansible_collections.openqrm.datacenter.plugins.module_utils.lvm import (
    GROWING,
    NEW,
    PRESENTS,
    STILL,
    check_name,
    group_name,
    read_groups,
    run_script,
)
from ansible_collections.openqrm.datacenter.plugins.module_utils.lvm_checks import Checks
from ansible_collections.openqrm.datacenter.plugins.module_utils.lvm_contents import LvmContents
from ansible_collections.openqrm.datacenter.plugins.module_utils.mounts import Mounts, fstab_line
from ansible_collections.openqrm.datacenter.plugins.module_utils.path_volumes import percent
from ansible_collections.openqrm.datacenter.plugins.module_utils.volumes import (
    VOLUME_NAME,
    Backend,
    Demand,
    Found,
    Space,
    VolumeError,
    filling_mib,
)

MOUNT_ROOT = "/srv/openqrm/lvm"
OPTIONS = {
    "thin": {"type": "bool", "default": True},
    "pool": {"type": "str", "default": "openqrm"},
    "filesystem": {"type": "str", "choices": ["ext4", "xfs"], "default": "ext4"},
    "full_percent": {"type": "int", "default": 90},
}
# The metadata is backed up once, at the end: not for each of a thousand clones.
UNBACKED = "-An"


class LvmVolumes(Backend):
    """Back end of logical volumes. ``options``: those of OPTIONS, and ``timeout_s`` that one command may take.

    ``with_unfinished``: whether volumes that a killed run left unfinished count as there, so that they can be removed.
    """

    PRESENTS = ("block", "filesystem")
    SIZED = True

    def __init__(self, options, with_unfinished=False, command=run, root="/"):
        """Keep the options and how commands are run."""
        self._options = options
        self._with_unfinished = with_unfinished
        self._timeout_s = options["timeout_s"]
        self._command = command
        self._contents = LvmContents(options["filesystem"], self._timeout_s, command)
        self._mounts = Mounts(self._timeout_s, command, root)
        self._groups = None

    # What is there

    def path(self, volume):
        """Return the device of a block volume, the mount point of a filesystem volume."""
        check_name(group_name(volume["location"]), volume["name"])
        return path_of(device_of(volume), volume["presents"])

    def volumes(self, location):
        """Return the logical volumes of a group that are, or could be, volumes: no pools, nothing unfinished."""
        return {
            volume.name: Found(
                volume.name,
                path_of(f"{location}/{volume.name}", volume.presents),
                size_mib=volume.finished_mib,
                used_mib=volume.used_mib,
                read_only=not volume.writable,
                presents=volume.presents,
                source=volume.origin or None,
            )
            for volume in self.group(location).volumes.values()
            if self._counts(volume)
        }

    def _counts(self, volume):
        unfinished = NEW in volume.tags and not self._with_unfinished
        return VOLUME_NAME.match(volume.name) and not volume.is_pool and not unfinished

    def group(self, location):
        """Return the volume group of a location. Raises VolumeError unless it is there."""
        name = group_name(location)
        if self._groups is None:
            self._groups = read_groups(self._command)
        if name not in self._groups:
            known = ", ".join(sorted(self._groups)) or "none"
            raise VolumeError(
                f"Location {location}: volume group {name} does not exist on this server; known: {known}. "
                "Run the role's prepare with the disks for it."
            )
        return self._groups[name]

    def pools(self, location):
        """Return what is known of the thin pools of a location, and how full they are."""
        return [
            {
                "location": location,
                "pool": volume.name,
                "size_mib": volume.size_mib,
                "used_percent": volume.data_percent,
                "metadata_percent": volume.metadata_percent,
            }
            for volume in self.group(location).volumes.values()
            if volume.is_pool
        ]

    def space(self, location):
        """Return the Space of the fullest thin pool of the group, of the group itself where it has none."""
        group = self.group(location)
        pools = [volume for volume in group.volumes.values() if volume.is_pool]
        if not pools:
            used_mib = group.size_mib - group.free_mib
            name = f"volume group {group.name}"
            return Space(name, group.size_mib, used_mib, group.free_mib, percent(used_mib, group.size_mib))
        return max((space_of_pool(group, pool) for pool in pools), key=lambda space: space.used_percent)

    def used_by_server(self, location):
        """Return the names of volumes that the server mounts or swaps on for itself: its own root, for example."""
        places = self._mounts.places()
        found = self.group(location).volumes.values()
        return {volume.name for volume in found if not volume.is_own and places.get(volume.device)}

    def size_mib(self, volume):
        """Return the size, rounded up to whole extents."""
        extent = self.group(volume["location"]).extent_mib
        return int(-(-volume["size_mib"] // extent) * extent)

    def check(self, state, volumes):
        """Raise VolumeError unless LVM can do it: names, room, fill of the pool, use by others."""
        checks = Checks(self, self._options, self._contents)
        if state == "present":
            checks.creation(volumes)
            return
        if volumes:
            self._wait_for_udev()
        if state == "absent":
            checks.removal(volumes, self._mounts.places())
        else:
            checks.growth(volumes, self._mounts.places())

    def demand(self, state, volume):
        """Return the Demand of a classic volume, which takes its size at once, or of what fills a thin one."""
        group = self.group(volume["location"])
        if state == "resized":
            found = group.volumes[volume["name"]]
            return None if found.is_thin else demand_of_group(group, self.size_mib(volume) - found.size_mib)
        source = self._source(volume) if volume.get("source") else None
        if source.is_thin if source else self._options["thin"]:
            return self._demand_of_pool(volume, group) if volume.get("archive") else None
        size_mib = source.size_mib if source else self.size_mib(volume)
        # A source in use is copied from a snapshot of it that is as large.
        copies = 2 if source and source.may_change and not volume.get("read_only") else 1
        left_mib = sum(left.size_mib for left in unfinished_of(volume, group) if not left.is_thin)
        return demand_of_group(group, size_mib * copies - left_mib)

    def _demand_of_pool(self, volume, group):
        pool = group.volumes[self._options["pool"]]
        space = space_of_pool(group, pool)
        left_mib = sum(left.used_mib or 0 for left in unfinished_of(volume, group) if left.pool == pool.name)
        return Demand(filling_mib(volume) - left_mib, space.what, space.free_mib, space.what, "extend it (lvextend)")

    def _wait_for_udev(self):
        """Have udev let go of volumes that were written just now: it looks into them, and would seem to use them."""
        with contextlib.suppress(CommandError):  # it is busy for long, or not there: what is open is in use
            self._run("udevadm", "settle", "--timeout=30")
        self._groups = None

    # Making volumes

    def create(self, volumes):
        """Make the volumes, all at once but for those that are filled from archives: each of these is kept."""
        self._discard(volumes)
        filled = [volume for volume in volumes if volume.get("archive")]
        others = [volume for volume in volumes if not volume.get("archive")]
        for batch in [*([others] if others else []), *([volume] for volume in filled)]:
            try:
                self._make(batch)
            except (CommandError, OSError):
                with contextlib.suppress(CommandError, OSError):  # what went wrong first is told
                    self._groups = None
                    self._discard(batch)
                raise

    def _make(self, volumes):
        unfinished = [volume for volume in volumes if self._takes_work(volume)]
        filesystems = [volume for volume in volumes if volume["presents"] == "filesystem"]
        self._script([self._creation(volume) for volume in volumes], volumes)
        for volume in unfinished:
            self._give_content(volume)
        frozen = [
            ["lvchange", UNBACKED, "--yes", "-pr", full_name(volume)]
            for volume in filesystems
            if volume.get("read_only")
        ]
        self._script(frozen, ())
        self._mounts.add([self._fstab_line(volume) for volume in filesystems])
        self._script([["lvchange", UNBACKED, "--deltag", NEW, full_name(volume)] for volume in unfinished], unfinished)

    def _takes_work(self, volume):
        """Return whether a new volume is not whole as soon as LVM has made it."""
        is_copy = volume.get("source") and not volume.get("read_only") and not self._source(volume).is_thin
        return bool(volume["presents"] == "filesystem" or volume.get("archive") or is_copy)

    def _source(self, volume):
        return self.group(volume["location"]).volumes[volume["source"]]

    def _creation(self, volume):
        """Return the command of LVM that makes the volume; it is active at once, and again after each boot."""
        group = group_name(volume["location"])
        tags = ["--addtag", PRESENTS[volume["presents"]]]
        if self._takes_work(volume):
            tags += ["--addtag", NEW]
        command = ["lvcreate", UNBACKED, "--yes", *tags, "--name", volume["name"]]
        if volume.get("source") and (self._source(volume).is_thin or volume.get("read_only")):
            return command + self._snapshot(volume, group)
        size = ["--size", f"{self._source(volume).size_mib if volume.get('source') else self.size_mib(volume)}m"]
        if volume.get("source") or not self._options["thin"]:
            return [*command, *size, "--wipesignatures", "y", group]
        return [*command, "--virtualsize", size[1], "--thinpool", self._options["pool"], group]

    def _snapshot(self, volume, group):
        """Return how a snapshot is made: thin, or with room for all blocks of its origin to change."""
        source = self._source(volume)
        kind = ["--setactivationskip", "n"] if source.is_thin else ["--extents", "100%ORIGIN"]
        is_whole = volume.get("read_only") and not self._takes_work(volume)
        return ["--snapshot", *kind, *(["--permission", "r"] if is_whole else []), f"{group}/{volume['source']}"]

    def _give_content(self, volume):
        device = device_of(volume)
        source = volume.get("source") and self._source(volume)
        if source and not source.is_thin and not volume.get("read_only"):
            self._copy(volume, source)
        if source and volume["presents"] == "filesystem":
            self._contents.give_identity(device)
        if source:
            return
        if volume["presents"] == "filesystem":
            self._contents.make_cloneable(device)
            if volume.get("archive"):
                self._contents.unpack(device, volume["archive"])
        elif volume.get("archive"):
            self._contents.fill(device, volume["archive"])

    def _copy(self, volume, source):
        """Copy a classic volume; one that is in use is copied from a snapshot of it."""
        group = group_name(volume["location"])
        if not source.may_change:
            self._contents.copy(f"/dev/{group}/{source.name}", device_of(volume))
            return
        still = f"{volume['name']}{STILL}"
        size = ["--extents", "100%ORIGIN", "--permission", "r", "--addtag", NEW]
        self._run("lvcreate", UNBACKED, "--yes", "--name", still, "--snapshot", *size, f"{group}/{source.name}")
        try:
            self._contents.copy(f"/dev/{group}/{still}", device_of(volume))
        finally:
            self._run("lvremove", UNBACKED, "--yes", f"{group}/{still}")

    def _fstab_line(self, volume):
        mode = "ro" if volume.get("read_only") else "rw"
        device = device_of(volume)
        return fstab_line(device, self.path(volume), self._contents.kind_of(device), mode)

    def _discard(self, volumes):
        """Remove what a run that did not end has left of the volumes."""
        places = self._mounts.places()
        for volume in volumes:
            for left in unfinished_of(volume, self.group(volume["location"])):
                self._mounts.unmount(places.get(left.device, []))
                self._mounts.drop([path_of(device_of(volume), "filesystem")])
                self._run("lvremove", "--yes", f"{group_name(volume['location'])}/{left.name}")

    # Removing and growing volumes

    def remove(self, volumes):
        """Remove the volumes. All are unmounted before the first one goes: one in use fails, and nothing is lost."""
        paths = [self.path(volume) for volume in volumes if volume["presents"] == "filesystem"]
        places = self._mounts.places()
        mounted = [path for path in paths if any(path in each for each in places.values())]
        lines = self._mounts.lines()
        try:
            self._mounts.unmount(mounted)
        except CommandError as error:
            self._mounts.mount([lines[path] for path in mounted if path in lines])
            raise VolumeError(
                f"Volumes {', '.join(volume['name'] for volume in volumes)}: one is in use, so none was removed; "
                f"revoke its grants and end what uses it. {error.output}"
            ) from error
        self._mounts.drop(paths)
        self._mounts.remove_points(paths)
        self._run("lvremove", "--yes", *self._names_to_remove(volumes))

    def _names_to_remove(self, volumes):
        """Return the names of the volumes, with what copying them has left; classic snapshots before their origin."""
        found = {}
        for volume in volumes:
            there = self.group(volume["location"]).volumes
            for name in (volume["name"], f"{volume['name']}{STILL}"):
                if name in there:
                    found[f"{group_name(volume['location'])}/{name}"] = there[name]
        return sorted(found, key=lambda name: not found[name].is_classic_snapshot)

    def grow(self, volumes):
        """Grow the volumes and the file systems in them. Until both have grown a tag keeps the size from before."""
        lines, tags = [], {}
        for volume in volumes:
            name = full_name(volume)
            found = self.group(volume["location"]).volumes[volume["name"]]
            tags[name] = found.growing or f"{GROWING}{found.size_mib}"
            if not found.growing:
                lines.append(["lvchange", UNBACKED, "--addtag", tags[name], name])
            if not found.active:
                lines.append(["lvchange", UNBACKED, "-ay", "-K", name])
            if found.size_mib < self.size_mib(volume):
                lines.append(["lvextend", UNBACKED, "--size", f"{self.size_mib(volume)}m", name])
        self._script(lines, volumes)
        places = self._mounts.places()
        for volume in volumes:
            found = self.group(volume["location"]).volumes[volume["name"]]
            self._contents.grow_at(device_of(volume), places.get(found.device, []))
        self._script([["lvchange", UNBACKED, "--deltag", tag, name] for name, tag in tags.items()], volumes)

    # Commands

    def _script(self, lines, backed):
        """Run commands of LVM, then back up the metadata of the groups of the volumes ``backed``."""
        groups = sorted({group_name(volume["location"]) for volume in backed})
        if lines:
            run_script([*lines, *(["vgcfgbackup", group] for group in groups)], self._command, self._timeout_s)

    def _run(self, *argv):
        return self._command(list(argv), timeout_s=self._timeout_s)


def space_of_pool(group, pool):
    """Return the Space of a thin pool. Raises VolumeError while it is not active, when nobody knows."""
    if pool.data_percent is None:
        raise VolumeError(f"Thin pool {group.name}/{pool.name} is not active; run the role's prepare.")
    used_mib = round(pool.size_mib * pool.data_percent / 100)
    fullest = round(max(pool.data_percent, pool.metadata_percent or 0.0), 1)
    return Space(f"thin pool {group.name}/{pool.name}", pool.size_mib, used_mib, pool.size_mib - used_mib, fullest)


def unfinished_of(volume, group):
    """Return what a run that did not end has left of a volume, which goes before it is made."""
    there = [group.volumes.get(name) for name in (volume["name"], f"{volume['name']}{STILL}")]
    return [left for left in there if left and NEW in left.tags]


def demand_of_group(group, mib):
    """Return the Demand of ``mib`` of a volume group."""
    what = f"volume group {group.name}"
    return Demand(mib, what, group.free_mib, what, "add disks to it (vgextend)")


def path_of(device, presents):
    """Return where a volume is: the device, or where it is mounted."""
    return device if presents == "block" else f"{MOUNT_ROOT}{device}"


def device_of(volume):
    """Return the device of a volume."""
    return f"/dev/{full_name(volume)}"


def full_name(volume):
    """Return the volume as LVM's commands take it: group/name."""
    return f"{group_name(volume['location'])}/{volume['name']}"
