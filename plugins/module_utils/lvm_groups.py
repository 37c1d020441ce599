# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Volume groups and their thin pools: made on disks that are named, and on nothing else."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.openqrm.datacenter.plugins.module_utils.commands import run
from ansible_collections.openqrm.datacenter.plugins.module_utils.differences import Differences
from ansible_collections.openqrm.datacenter.plugins.module_utils.disks import Disks, device_number
from ansible_collections.openqrm.datacenter.plugins.module_utils.lvm import (
    REPORT,
    group_name,
    parse_report,
    spare_disks,
)
from ansible_collections.openqrm.datacenter.plugins.module_utils.lvm_volumes import MOUNT_ROOT
from ansible_collections.openqrm.datacenter.plugins.module_utils.mounts import Mounts
from ansible_collections.openqrm.datacenter.plugins.module_utils.volumes import VolumeError

# Holds a group's metadata twice, as each change writes all of it anew: room for some 30,000 volumes.
METADATA_AREA = "32m"
OPTIONS = {
    "disks": {"type": "list", "elements": "path", "default": []},
    "overwrite": {"type": "bool", "default": False},
    "thin": {"type": "bool", "default": True},
    "pool": {"type": "str", "default": "openqrm"},
    "pool_size_mib": {"type": "int", "default": 0},
    "pool_percent": {"type": "int", "default": 0},
}


class Groups:
    """Makes the groups of locations; ``options``: those of OPTIONS."""

    def __init__(self, options, command=run, root="/"):
        """Keep the options and how commands are run."""
        self._options = options
        self._command = command
        self._disks = Disks(command, root)
        self._mounts = Mounts(command=command, root=root)

    def ensure(self, locations, check_mode):
        """Make what is missing: the group, its pool, what runs of it; return the module's result.

        Raises VolumeError before anything is touched.
        """
        paths = [item["location"] for item in locations]
        report = self._command(list(REPORT), timeout_s=120)
        groups = parse_report(report)
        self._check([group_name(path) for path in paths], groups, spare_disks(report))
        differences, items = Differences(), []
        for path in paths:
            before = self._state(groups.get(group_name(path)))
            changed = differences.note(path, before, self._wanted(before))
            items.append({"name": path, "location": path, "changed": changed})
        for item in [] if check_mode else items:
            name = group_name(item["location"])
            if item["changed"]:
                self._make(name, groups.get(name))
        return differences.result(items)

    def _check(self, names, groups, spare):
        missing = [name for name in names if name not in groups]
        if missing and not self._options["disks"]:
            raise VolumeError(
                f"Volume group {missing[0]} does not exist on this server; known: "
                f"{', '.join(sorted(groups)) or 'none'}. Name the disks to make it on."
            )
        if len(missing) > 1:
            raise VolumeError(f"Volume groups {', '.join(missing)} do not exist; disks can be named for one at a time.")
        for name in missing:
            for disk in self._options["disks"]:
                self._check_disk(name, disk, groups, spare)
        if self._options["thin"]:
            for name in names:
                self._check_pool(name, groups.get(name))

    def _check_disk(self, name, disk, groups, spare):
        label = f"Volume group {name}"
        number = device_number(label, disk)

        def holds(disks):
            return number in [device_number(label, each) for each in disks if Path(each).exists()]

        for group in groups.values():
            if holds(group.disks):
                raise VolumeError(f"{label}: disk {disk} belongs to volume group {group.name}; name another.")
        # A physical volume of no group: a run that was killed has left it.
        self._disks.check(label, disk, self._options["overwrite"], may_have_data=holds(spare))

    def _check_pool(self, name, group):
        there = group.volumes.get(self._options["pool"]) if group else None
        label = f"Thin pool {name}/{self._options['pool']}"
        if there and not there.is_pool:
            raise VolumeError(f"{label}: {there.name} is a volume; choose another name for the pool.")
        size_mib, percent = self._options["pool_size_mib"], self._options["pool_percent"]
        if there:
            return
        if bool(size_mib) == bool(percent):
            raise VolumeError(
                f"{label} does not exist; say how large it is to be, by pool_size_mib or by pool_percent of what is "
                "free, or choose classic volumes."
            )
        if group and size_mib > group.free_mib:
            raise VolumeError(f"{label}: {size_mib} MiB are asked for, {group.free_mib} MiB are free.")

    def _state(self, group):
        """Return what of a group matters here, None where it does not exist."""
        if group is None:
            return None
        pool = group.volumes.get(self._options["pool"])
        idle = sorted(volume.name for volume in group.volumes.values() if volume.is_own and not volume.active)
        unmounted = sorted(self._unmounted(group.name))
        state = {"inactive": idle, "unmounted": unmounted}
        return dict(state, pool=bool(pool and pool.active)) if self._options["thin"] else state

    def _wanted(self, before):
        state = {"inactive": [], "unmounted": []}
        wanted = dict(state, pool=True) if self._options["thin"] else state
        return before if before == wanted else wanted

    def _unmounted(self, name):
        """Return mount point -> line of fstab for volumes of the group that are not mounted."""
        mounted = {path for paths in self._mounts.places().values() for path in paths}
        below = f"{MOUNT_ROOT}/dev/{name}/"
        return {
            path: line for path, line in self._mounts.lines().items() if path.startswith(below) and path not in mounted
        }

    def _make(self, name, group):
        if group is None:
            for disk in self._options["disks"] if self._options["overwrite"] else []:
                self._disks.wipe(disk)
            self._run("vgcreate", "--yes", "--metadatasize", METADATA_AREA, name, *self._options["disks"])
        pool = self._options["pool"]
        if self._options["thin"] and (group is None or pool not in group.volumes):
            size = ["--size", f"{self._options['pool_size_mib']}m"]
            if self._options["pool_percent"]:
                size = ["--extents", f"{self._options['pool_percent']}%FREE"]
            self._run("lvcreate", "--yes", "--type", "thin-pool", "--name", pool, *size, name)
        if group is None:
            return
        idle = [each.name for each in group.volumes.values() if not each.active and (each.is_own or each.name == pool)]
        if idle:
            self._run("lvchange", "-ay", "-K", *(f"{name}/{volume}" for volume in sorted(idle)))
        self._mounts.mount(list(self._unmounted(name).values()))

    def _run(self, *argv):
        self._command(list(argv), timeout_s=600)
