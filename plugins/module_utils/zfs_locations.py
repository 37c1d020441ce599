# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pools of ZFS and the datasets in them that hold volumes: made on disks that are named, and on nothing else."""

from __future__ import annotations

import re

from ansible_collections.openqrm.datacenter.plugins.module_utils.commands import CommandError, run
from ansible_collections.openqrm.datacenter.plugins.module_utils.differences import Differences
from ansible_collections.openqrm.datacenter.plugins.module_utils.disks import Disks
from ansible_collections.openqrm.datacenter.plugins.module_utils.volumes import VolumeError
from ansible_collections.openqrm.datacenter.plugins.module_utils.zfs import (
    GONE,
    MOUNT_ROOT,
    TABLE,
    check_location,
    locked,
    path_of,
    pool_of,
    read_datasets,
    read_pools,
    rows,
)
from ansible_collections.openqrm.datacenter.plugins.module_utils.zfs_volumes import release

LAYOUTS = {"stripe": 1, "mirror": 2, "raidz1": 2, "raidz2": 3, "raidz3": 4}  # and the disks that it needs at least
OPTIONS = {
    "disks": {"type": "list", "elements": "path", "default": []},
    "layout": {"type": "str", "choices": list(LAYOUTS), "default": "stripe"},
    "overwrite": {"type": "bool", "default": False},
    "timeout_s": {"type": "int", "default": 600},
}
# The pool's own dataset is not mounted. Blocks of 4 KiB suit all disks; what compresses badly costs next to nothing.
POOL_OPTIONS = ("-o", "ashift=12", "-O", "mountpoint=none", "-O", "compression=lz4")
# What the volumes of a location inherit. Devices and programs in them are not for this server; ACLs and other extended
# attributes are those of Linux.
PROPERTIES = {"canmount": "off", "acltype": "posix", "xattr": "sa", "devices": "off", "setuid": "off"}
# Names that pools cannot have. Source: zpoolconcepts(7), zpool-create(8).
RESERVED = re.compile(r"(mirror|raidz|draid|spare|log\Z|c[0-9])")
IMPORTABLE = re.compile(r"^ +pool: (\S+)$", re.MULTILINE)


def properties(location):
    """Return the properties of a location's dataset."""
    return dict(PROPERTIES, mountpoint=f"{MOUNT_ROOT}/{location}")


class Locations:
    """Makes locations; ``options``: those of OPTIONS."""

    def __init__(self, options, command=run, root="/"):
        """Keep the options and how commands are run."""
        self._options = options
        self._command = command
        self._root = root
        self._disks = Disks(command, root)

    def ensure(self, locations, check_mode):
        """Make what is missing: the pool, the dataset, its properties and mounts; return the module's result.

        Raises VolumeError before anything is touched.
        """
        paths = [check_location(item["location"]) for item in locations]
        pools = read_pools(self._command)
        missing = sorted({pool_of(path) for path in paths} - set(pools))
        importable = self._importable() if missing else []
        self._check([pool for pool in missing if pool not in importable], pools)
        differences, items = Differences(), []
        for path in paths:
            before = self._state(path, pools)
            changed = differences.note(path, before, self._wanted(path, before))
            items.append({"name": path, "location": path, "changed": changed})
        if not check_mode:
            for pool in missing:
                self._make_pool(pool, pool in importable)
            for path in paths:
                self._prepare(path)
        return differences.result(items)

    def _importable(self):
        """Return the pools that are on disks of this server and are not imported."""
        return IMPORTABLE.findall(self._run("zpool", "import"))

    def _check(self, missing, pools):
        """Raise VolumeError unless the missing pools can be made."""
        disks, layout = self._options["disks"], self._options["layout"]
        if missing and not disks:
            raise VolumeError(
                f"Pool {missing[0]} does not exist on this server; known: {', '.join(sorted(pools)) or 'none'}. "
                "Name the disks to make it on."
            )
        if len(missing) > 1:
            raise VolumeError(f"Pools {', '.join(missing)} do not exist; disks can be named for one at a time.")
        for name in missing:
            if RESERVED.match(name):
                raise VolumeError(f"Pool {name}: ZFS keeps that name for itself; use another one.")
            if len(disks) < LAYOUTS[layout]:
                raise VolumeError(f"Pool {name}: {layout} needs {LAYOUTS[layout]} disks; {len(disks)} are named.")
            for disk in disks:
                self._disks.check(f"Pool {name}", disk, self._options["overwrite"])

    def _state(self, location, pools):
        """Return what of a location matters here, None where there is no pool or no dataset."""
        if pool_of(location) not in pools:
            return None
        wanted = properties(location)
        try:
            line = self._run(*TABLE, "-t", "filesystem", "-o", ",".join(wanted), location)
        except CommandError as error:
            if any(words in error.output for words in GONE):
                return None
            raise
        (found,) = rows(line, list(wanted))
        self._check_dataset(location, found)
        return dict(found, unmounted=self._unmounted(location))

    def _check_dataset(self, location, found):
        """Raise VolumeError where the dataset is mounted elsewhere: what uses it would lose it."""
        wanted = properties(location)["mountpoint"]
        if found["canmount"] != "off" and found["mountpoint"] not in (wanted, "none", "legacy"):
            raise VolumeError(
                f"Location {location}: the dataset is there and is mounted at {found['mountpoint']}; name one that "
                f"does not exist yet, or, if nothing uses it: zfs set canmount=off mountpoint={wanted} {location}"
            )

    def _wanted(self, location, before):
        wanted = dict(properties(location), unmounted=[])
        return before if before == wanted else wanted

    def _unmounted(self, location):
        """Return the volumes of the location that are to be mounted and are not."""
        return sorted(
            each.name
            for each in read_datasets(location, self._command).values()
            if each.can_mount
            and not each.mounted
            and not each.is_new
            and each.mountpoint == path_of(each.name, "filesystem")
        )

    def _make_pool(self, name, is_there):
        if is_there:
            self._run("zpool", "import", "-N", name)
            return
        disks, layout = self._options["disks"], self._options["layout"]
        for disk in disks if self._options["overwrite"] else []:
            self._disks.wipe(disk)
        force = ["-f"] if self._options["overwrite"] else []
        self._run("zpool", "create", *force, *POOL_OPTIONS, name, *([] if layout == "stripe" else [layout]), *disks)

    def _prepare(self, location):
        """Make the dataset as wanted, mount its volumes, and remove what clones that were killed have left."""
        wanted = [f"{name}={value}" for name, value in properties(location).items()]
        found = self._state(location, read_pools(self._command))
        if found is None:
            self._run("zfs", "create", "-p", *(word for each in wanted for word in ("-o", each)), location)
            return
        if any(found[name] != value for name, value in properties(location).items()):
            self._run("zfs", "set", *wanted, location)
        for name in self._unmounted(location):
            self._run("zfs", "mount", name)
        with locked(self._root):
            release([location], recursive=True, command=self._command)

    def _run(self, *argv):
        return self._command(list(argv), timeout_s=self._options["timeout_s"])
