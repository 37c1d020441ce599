# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Volumes that are datasets of ZFS directly below a location: file systems that this server mounts, or block devices.

A volume has the property NEW until it is whole. A run that finds it makes the volume anew. Clones, of which snapshots
are the read-only ones, are made of a snapshot of their source that ZFS removes with the last of them (deferred
destruction). A source that is removed before its clones hands that snapshot to one of them (promotion).
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from pathlib import Path

from ansible_collections.openqrm.datacenter.plugins.module_utils.block_volumes import Contents, users
from ansible_collections.openqrm.datacenter.plugins.module_utils.commands import CommandError, run
from ansible_collections.openqrm.datacenter.plugins.module_utils.mounts import Mounts
from ansible_collections.openqrm.datacenter.plugins.module_utils.path_volumes import percent
from ansible_collections.openqrm.datacenter.plugins.module_utils.volumes import (
    MIB,
    UNPACK,
    VOLUME_NAME,
    Backend,
    Demand,
    Found,
    Space,
    VolumeError,
    filling_mib,
)
from ansible_collections.openqrm.datacenter.plugins.module_utils.zfs import (
    MOUNT_ROOT,
    NEW,
    SNAPSHOT,
    SOURCE,
    check_location,
    full_name,
    locked,
    mib,
    path_of,
    pool_of,
    read_datasets,
    read_pools,
    read_room,
    read_snapshots,
)

OPTIONS = {
    "filesystem": {"type": "str", "choices": ["ext4", "xfs"], "default": "ext4"},
    "full_percent": {"type": "int", "default": 90},
}
WORKING = ("ONLINE", "DEGRADED")
DEVICE_S = 60


class ZfsVolumes(Backend):
    """Back end of datasets. ``options``: those of OPTIONS, and ``timeout_s`` that one command may take.

    ``with_unfinished``: whether volumes that a killed run left unfinished count as there, so that they can be removed.
    """

    PRESENTS = ("filesystem", "block")

    def __init__(self, options, with_unfinished=False, command=run, root="/"):
        """Keep the options and how commands are run."""
        self._options = options
        self._with_unfinished = with_unfinished
        self._timeout_s = options["timeout_s"]
        self._command = command
        self._root = root
        self._contents = Contents(options["filesystem"], self._timeout_s, command)
        self._mounts = Mounts(self._timeout_s, command, root)
        self._locations = {}  # location -> name -> Dataset

    # What is there

    def path(self, volume):
        """Return the device of a block volume, the mount point of a filesystem volume."""
        return path_of(full_name(volume), volume["presents"])

    def volumes(self, location):
        """Return the datasets directly below a location that are volumes: in their place, nothing unfinished."""
        there = [each for each in self.datasets(location).values() if self._counts(location, each)]
        names = {each.guid: leaf(each.name) for each in there}
        return {
            leaf(each.name): Found(
                leaf(each.name),
                path_of(each.name, each.presents),
                size_mib=mib(each.size),
                used_mib=mib(each.used),
                read_only=each.read_only,
                presents=each.presents,
                source=names.get(each.source),
            )
            for each in there
        }

    def measure(self, found, _deadline):
        """Return the volumes; the size of those without a limit is what they have and could get."""
        return [each if each.size_mib else each._replace(size_mib=self._room_of(each)) for each in found]

    def _room_of(self, found):
        location, _slash, _name = str(found.path)[len(MOUNT_ROOT) + 1 :].rpartition("/")
        dataset = self.datasets(location)[f"{location}/{found.name}"]
        return mib(dataset.referenced + dataset.available)

    def _counts(self, location, dataset):
        above, _slash, name = dataset.name.rpartition("/")
        in_place = dataset.is_block or (dataset.can_mount and dataset.mountpoint == path_of(dataset.name, "filesystem"))
        unfinished = dataset.is_new and not self._with_unfinished
        return above == location and VOLUME_NAME.match(name) and in_place and not unfinished

    def datasets(self, location):
        """Return name -> Dataset of the location and all below it. Raises VolumeError unless it was prepared."""
        if check_location(location) not in self._locations:
            found = read_datasets(location, self._command)
            if found[location].mountpoint != f"{MOUNT_ROOT}/{location}":
                raise VolumeError(
                    f"Location {location}: the dataset has the mountpoint {found[location].mountpoint or 'none'}, not "
                    f"{MOUNT_ROOT}/{location}; run the role's prepare."
                )
            self._locations[location] = found
        return self._locations[location]

    def pools(self, location):
        """Return what is known of the location's pool, in a list: how full it is, and its health."""
        name = pool_of(check_location(location))
        used, available = read_room(location, self._command)[name]
        return [
            {
                "location": location,
                "pool": name,
                "size_mib": (used + available) // MIB,
                "used_percent": percent(used, used + available),
                "health": read_pools(self._command).get(name),
            }
        ]

    def space(self, location):
        """Return the Space of the pool, or of the location where a quota leaves it less. Raises VolumeError where the
        pool does not work."""
        pool = pool_of(check_location(location))
        health = read_pools(self._command).get(pool)
        if health not in WORKING:
            raise VolumeError(f"Pool {pool} is {health.lower() if health else 'not imported'}; see zpool status.")
        return max(self._spaces(location, health), key=lambda space: space.used_percent)

    def _spaces(self, location, health="ONLINE"):
        note = "" if health == "ONLINE" else f", {health.lower()}"
        spaces = []
        for name, (used, available) in read_room(location, self._command).items():
            what = f"dataset {name}{note}" if "/" in name else f"pool {name}{note}"
            sizes = [(used + available) // MIB, used // MIB, available // MIB]
            spaces.append(Space(what, *sizes, percent(used, used + available)))
        return spaces

    # What keeps it from being done

    def is_filled(self, volume):
        """Return whether the file system in a block volume uses all of it."""
        return volume["presents"] != "block" or self._contents.is_filled(self.path(volume), volume["size_mib"])

    def check(self, state, volumes):
        """Raise VolumeError unless ZFS can do it: names, room, fill of the pool, use by others."""
        blocks = [volume for volume in volumes if volume["presents"] == "block"]
        if state == "absent":
            self._check_removal(volumes, blocks)
            return
        for volume in volumes:
            check_new = self._check_new if state == "present" else self._check_growth
            check_new(volume)
        for location in {volume["location"]: None for volume in volumes}:
            self._check_fill(location)
        if state == "resized" and blocks:
            self._settle()
            self._contents.check_growable([(volume["name"], self.path(volume)) for volume in blocks])

    def _check_new(self, volume):
        there = self.datasets(volume["location"]).get(full_name(volume))
        if there and not there.is_new:
            raise VolumeError(
                f"Volume {volume['name']}: there is a dataset {there.name}, mounted at "
                f"{there.mountpoint or 'no path'}, that is no volume; use another name."
            )
        if volume["presents"] == "block" and not volume.get("source"):
            if volume.get("size_mib") is None:
                raise VolumeError(f"Volume {volume['name']}: size_mib is missing; a new block volume needs a size.")
            self._contents.check_new(volume)

    def _check_growth(self, volume):
        found = self._found(volume)
        if volume["presents"] == "filesystem" and volume["size_mib"] * MIB < found.referenced:
            raise VolumeError(
                f"Volume {volume['name']} holds {mib(found.referenced)} MiB; its size cannot be "
                f"{volume['size_mib']} MiB."
            )

    def _check_fill(self, location):
        limit = self._options["full_percent"]
        for space in self._spaces(location):
            if space.used_percent >= limit:
                raise VolumeError(
                    f"Location {location}: {space.what} of {space.total_mib} MiB is full to {space.used_percent} %, "
                    f"the limit is {limit} %; remove volumes, or add disks to the pool (zpool add) or raise the quota."
                )

    def demand(self, state, volume):
        """Return the Demand of what fills a new volume; nothing else takes room at once."""
        if state != "present" or not volume.get("archive"):
            return None
        location = volume["location"]
        left = self.datasets(location).get(full_name(volume))
        needed_mib = filling_mib(volume) - (mib(left.used) if left else 0)
        space = min(self._spaces(location), key=lambda each: each.free_mib)
        return Demand(needed_mib, location, space.free_mib, space.what, "add disks (zpool add) or raise the quota")

    def _check_removal(self, volumes, blocks):
        """Check that nothing uses the volumes but the mounts at their own paths, and nothing else is lost with them."""
        for volume in volumes:
            name = full_name(volume)
            nested = [each for each in self.datasets(volume["location"]) if each.startswith(f"{name}/")]
            if nested:
                raise VolumeError(
                    f"Volume {volume['name']}: datasets below it, {', '.join(nested[:5])}, would go with it; remove "
                    "them first."
                )
        for snapshot in read_snapshots([full_name(volume) for volume in volumes], command=self._command):
            if snapshot.holds:
                raise VolumeError(
                    f"Volume {leaf(snapshot.dataset)}: its snapshot {snapshot.name} is held; release it (zfs holds)."
                )
        if blocks:
            self._settle()
        used, places = users([self.path(volume) for volume in blocks]), self._mounts.places()
        for volume in blocks:
            path = self.path(volume)
            who = used.get(path) or next((f"this server, at {at}" for at in places.get(device_number(path), [])), "")
            if who:
                raise VolumeError(f"Volume {volume['name']} is in use by {who}; end that, then remove it.")

    def _settle(self):
        """Have udev let go of volumes that were written just now: it looks into them, and would seem to use them."""
        with contextlib.suppress(CommandError):  # it is busy for long, or not there: what is open is in use
            self._run("udevadm", "settle", "--timeout=30")

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
                    self._locations = {}
                    self._discard(batch)
                raise

    def _make(self, volumes):
        self._clone([volume for volume in volumes if volume.get("source")])
        for volume in volumes:
            if not volume.get("source"):
                self._run("zfs", "create", *new_options(volume), full_name(volume))
        self._wait_for_devices([self.path(volume) for volume in volumes if volume["presents"] == "block"])
        for volume in volumes:
            if volume.get("archive"):
                self._fill(volume)
        self._run("zfs", "inherit", NEW, *map(full_name, volumes))

    def _clone(self, volumes):
        """Clone volumes: one snapshot of each source serves all of its clones."""
        token, pools = f"{SNAPSHOT}{secrets.token_hex(6)}", {}
        for volume in volumes:
            pools.setdefault(pool_of(volume["location"]), []).append(volume)
        for group in pools.values():
            sources = sorted({source_name(volume) for volume in group})
            with locked(self._root):
                try:
                    self._run("zfs", "snapshot", *(f"{source}@{token}" for source in sources))
                    for volume in group:
                        source = self.datasets(volume["location"])[source_name(volume)]
                        self._run(
                            "zfs", "clone", *clone_options(volume, source), f"{source.name}@{token}", full_name(volume)
                        )
                finally:
                    release(sources, command=self._command)

    def _fill(self, volume):
        if volume["presents"] == "block":
            self._contents.fill(self.path(volume), volume["archive"])
        else:
            self._run(*UNPACK, f"--file={volume['archive']}", f"--directory={self.path(volume)}")

    def _wait_for_devices(self, paths):
        """Wait until udev has made the devices. Raises CommandError where that takes too long."""
        if paths:
            self._settle()
        deadline = time.monotonic() + DEVICE_S
        for path in paths:
            while not Path(path).exists():
                if time.monotonic() > deadline:
                    raise CommandError(["udevadm", "settle"], None, f"{path} did not appear within {DEVICE_S} s")
                time.sleep(0.1)

    def _discard(self, volumes):
        """Remove what a run that did not end has left of the volumes."""
        for volume in volumes:
            left = self.datasets(volume["location"]).get(full_name(volume))
            if left and left.is_new:
                with locked(self._root):
                    self._destroy([left.name])

    # Removing and growing volumes

    def remove(self, volumes):
        """Remove the volumes. All are unmounted before the first one goes: one in use fails, and nothing is lost."""
        mounted = {
            full_name(volume): self.path(volume)
            for volume in volumes
            if volume["presents"] == "filesystem" and self._found(volume).mounted
        }
        try:
            self._mounts.unmount(list(mounted.values()))
        except CommandError as error:
            self._mount_again(mounted)
            raise VolumeError(
                f"Volumes {', '.join(volume['name'] for volume in volumes)}: one is in use, so none was removed; "
                f"revoke its grants and end what uses it. {error.output}"
            ) from error
        with locked(self._root):
            self._destroy(sorted(map(full_name, volumes), key=self._generation, reverse=True))
        self._mounts.remove_points([self.path(volume) for volume in volumes if volume["presents"] == "filesystem"])

    def _mount_again(self, mounted):
        there = {path for paths in self._mounts.places().values() for path in paths}
        for name, path in mounted.items():
            if path not in there:
                self._run("zfs", "mount", name)

    def _generation(self, name):
        """Return of how many clones of clones the dataset is one, so that clones can go before their sources."""
        found = self.datasets(name.rpartition("/")[0])
        count = 0
        while name in found and found[name].origin:
            name = found[name].origin.partition("@")[0]
            count += 1
        return count

    def _destroy(self, names):
        """Destroy datasets with their snapshots, in order."""
        known, gone = None, set()
        for name in names:
            if known is None:  # at first, and where a promotion has moved some
                known = read_snapshots([each for each in names if each not in gone], command=self._command)
            promoted = self._destroy_one(name, [without(each, gone) for each in known if each.dataset == name])
            gone.add(name)
            if promoted:
                known = None

    def _destroy_one(self, name, snapshots):
        """Destroy a dataset. Snapshots that have clones go to the clone of the newest one; return whether some did."""
        spare = [snapshot.name for snapshot in snapshots if not snapshot.clones and not snapshot.deferred]
        if spare:
            self._run("zfs", "destroy", f"{name}@{','.join(spare)}")
        cloned = [snapshot for snapshot in snapshots if snapshot.clones]
        if cloned:
            self._run("zfs", "promote", cloned[-1].clones[0])
        self._run("zfs", "destroy", name)
        return bool(cloned)

    def grow(self, volumes):
        """Grow the volumes and the file systems in them."""
        for volume in volumes:
            size = volume["size_mib"] * MIB
            if volume["presents"] == "filesystem":
                self._run("zfs", "set", f"refquota={size}", full_name(volume))
                continue
            self._run("zfs", "set", f"volsize={size}", full_name(volume))
            self._contents.grow(self.path(volume))

    def _found(self, volume):
        return self.datasets(volume["location"])[full_name(volume)]

    def _run(self, *argv):
        return self._command(list(argv), timeout_s=self._timeout_s)


def release(datasets, recursive=False, command=run):
    """Have the snapshots of which clones were made go with the last clone: at once, where there is none."""
    names = {}
    for snapshot in read_snapshots(datasets, recursive, command=command):
        if snapshot.name.startswith(SNAPSHOT) and not snapshot.deferred:
            names.setdefault(snapshot.dataset, []).append(snapshot.name)
    for dataset, found in names.items():
        command(["zfs", "destroy", "-d", f"{dataset}@{','.join(found)}"], timeout_s=600)


def without(snapshot, gone):
    """Return the Snapshot without clones that are gone. A deferred one has gone with the last of them."""
    return snapshot._replace(clones=tuple(each for each in snapshot.clones if each not in gone))


def new_options(volume):
    """Return the options with which an empty volume is made. What a block volume does not hold takes no room."""
    size_mib = volume.get("size_mib")
    if volume["presents"] == "block":
        return ["-o", f"{NEW}=yes", "-s", "-V", f"{size_mib * MIB}"]
    return ["-o", f"{NEW}=yes", *(["-o", f"refquota={size_mib * MIB}"] if size_mib else [])]


def clone_options(volume, source):
    """Return the options with which a clone of the Dataset ``source`` is made; it has the size of that."""
    options = ["-o", f"{NEW}=yes", "-o", f"{SOURCE}={source.guid}"]
    if volume.get("read_only"):
        options += ["-o", "readonly=on"]
    if not source.is_block and source.size:
        options += ["-o", f"refquota={source.size}"]
    return options


def source_name(volume):
    """Return the dataset of a volume's source."""
    return full_name(dict(volume, name=volume["source"]))


def leaf(dataset):
    """Return the last part of a dataset's name."""
    return dataset.rpartition("/")[2]


def device_number(path):
    """Return major:minor of a device, empty where it is gone."""
    try:
        number = Path(path).stat().st_rdev
    except OSError:
        return ""
    return f"{os.major(number)}:{os.minor(number)}"
