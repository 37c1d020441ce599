# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What keeps logical volumes from being made, removed or grown: looked at before anything is touched."""

from __future__ import annotations

from ansible_collections.openqrm.datacenter.plugins.module_utils.block_volumes import SMALLEST_MIB
from ansible_collections.openqrm.datacenter.plugins.module_utils.lvm import NEW
from ansible_collections.openqrm.datacenter.plugins.module_utils.volumes import VolumeError


class Checks:
    """Raises VolumeError for what cannot be; ``backend`` says what is there."""

    def __init__(self, backend, options, contents):
        """Keep the back end, its options (thin, pool, filesystem, full_percent) and what looks into volumes."""
        self._backend = backend
        self._options = options
        self._contents = contents

    def creation(self, volumes):
        """Check that the new volumes have their names, a pool with room and what they are made of."""
        for volume in volumes:
            group = self._backend.group(volume["location"])
            self._check_free_name(volume, group)
            source = group.volumes[volume["source"]] if volume.get("source") else None
            if source is None:
                self._check_smallest(volume)
            if source.is_thin if source else self._options["thin"]:
                self._check_pool(volume, group, source.pool if source else self._options["pool"])
                continue
            self._check_classic(volume, source)

    def removal(self, volumes, places):
        """Check that nothing uses the volumes but the mounts at their own paths, and nothing is lost with them."""
        listed = {(volume["location"], volume["name"]) for volume in volumes}
        for volume in volumes:
            group = self._backend.group(volume["location"])
            found = group.volumes[volume["name"]]
            self._check_unused(volume, found, places.get(found.device, []))
            lost = [
                other.name
                for other in group.volumes.values()
                if other.is_classic_snapshot
                and other.origin == found.name
                and NEW not in other.tags  # a run that was killed has left it
                and (volume["location"], other.name) not in listed
            ]
            if lost:
                raise VolumeError(
                    f"Volume {found.name}: its snapshots {', '.join(sorted(lost))} would go with it; remove them first."
                )

    def growth(self, volumes, places):
        """Check that the volumes can grow: a pool with room, and a file system that nothing else uses."""
        for volume in volumes:
            group = self._backend.group(volume["location"])
            found = group.volumes[volume["name"]]
            if found.active:
                device = f"/dev/{group.name}/{found.name}"
                self._contents.check_growable_at(found.name, device, places.get(found.device, []))
            if found.is_thin:
                self._check_pool(volume, group, found.pool)
                continue
            snapshots = [each.name for each in group.volumes.values() if each.origin == found.name]
            if snapshots:
                raise VolumeError(
                    f"Volume {found.name}: LVM cannot resize a classic volume with snapshots; remove "
                    f"{', '.join(sorted(snapshots))} first."
                )

    def _check_free_name(self, volume, group):
        there = group.volumes.get(volume["name"])
        if there and NEW not in there.tags:
            kind = "thin pool" if there.is_pool else "logical volume"
            raise VolumeError(f"Volume {volume['name']}: {group.name} has a {kind} of that name; use another name.")

    def _check_smallest(self, volume):
        smallest = SMALLEST_MIB[self._options["filesystem"]]
        if volume["presents"] == "filesystem" and volume["size_mib"] < smallest:
            raise VolumeError(
                f"Volume {volume['name']}: {volume['size_mib']} MiB is too small for {self._options['filesystem']}; "
                f"give {smallest} MiB."
            )
        self._contents.check_new(volume)

    def _check_pool(self, volume, group, name):
        """Raise VolumeError unless the pool is there and less full than the threshold."""
        pool = group.volumes.get(name)
        if pool is None or not pool.is_pool:
            raise VolumeError(
                f"Volume {volume['name']}: {group.name} has no thin pool {name}; run the role's prepare with a "
                "size for it, or choose classic volumes."
            )
        if pool.data_percent is None:
            raise VolumeError(
                f"Volume {volume['name']}: thin pool {group.name}/{name} is not active; run the role's prepare."
            )
        limit = self._options["full_percent"]
        if max(pool.data_percent, pool.metadata_percent or 0.0) >= limit:
            raise VolumeError(
                f"Volume {volume['name']}: thin pool {group.name}/{name} of {pool.size_mib} MiB is full to "
                f"{pool.data_percent:.1f} % of its data and {pool.metadata_percent or 0.0:.1f} % of its metadata, the "
                f"limit is {limit} %; remove volumes or extend the pool (lvextend; --poolmetadatasize for metadata)."
            )

    def _check_classic(self, volume, source):
        if source and volume.get("read_only") and source.is_classic_snapshot:
            raise VolumeError(
                f"Volume {volume['name']}: {source.name} is a classic snapshot, of which LVM makes no other; clone it."
            )

    def _check_unused(self, volume, found, mounted):
        """Raise VolumeError where the volume is mounted elsewhere, or open and not mounted."""
        own = str(self._backend.path(volume))
        others = [path for path in mounted if path != own]
        if others:
            raise VolumeError(
                f"Volume {found.name} is in use by this server: {', '.join(others)}; end that, then remove it."
            )
        if found.is_open and not mounted:
            raise VolumeError(
                f"Volume {found.name} is in use: a target (iSCSI, NVMe, AoE) or a program of this server has it open; "
                "revoke its grants, then remove it."
            )
