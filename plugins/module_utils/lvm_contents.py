# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is inside logical volumes: file systems with an identity of their own, which this server may have mounted."""

from __future__ import annotations

from ansible_collections.openqrm.datacenter.plugins.module_utils.block_volumes import (
    MAKE,
    MOUNT_POINT,
    Contents,
    read_file_system,
)
from ansible_collections.openqrm.datacenter.plugins.module_utils.commands import CommandError
from ansible_collections.openqrm.datacenter.plugins.module_utils.volumes import UNPACK, VolumeError

# With it a new UUID is one block written, however large the file system is. Source: ext4(5), metadata_csum_seed.
CLONEABLE = {"ext4": ("-O", "metadata_csum_seed"), "xfs": ()}


class LvmContents(Contents):
    """Makes, fills, identifies, copies and grows what is on logical volumes."""

    def make_cloneable(self, device):
        """Make an empty file system whose clones get their identity at once."""
        self._run(*MAKE[self._kind], *CLONEABLE[self._kind], device)

    def unpack(self, device, archive):
        """Unpack the archive into the file system on the device."""
        self._mounted(device, self.kind_of(device), *UNPACK, f"--file={archive}", f"--directory={MOUNT_POINT}")

    def kind_of(self, device):
        """Return the kind of the file system on the device. Raises CommandError where there is none that is known."""
        inside = read_file_system(device)
        if inside is None:
            raise CommandError(["mount", device], None, "it has no ext4 or XFS file system")
        return inside.kind

    def give_identity(self, device):
        """Give the clone of a file system a UUID of its own: NFS tells file systems apart by it, XFS demands it."""
        kind = self.kind_of(device)
        if kind == "xfs" or read_file_system(device).dirty:
            self._mounted(device, kind, "true")  # replays the journal; XFS has one wherever its origin was mounted
        if kind == "ext4":
            self._run("tune2fs", "-U", "random", device)
            return
        answer = self._run("xfs_admin", "-U", "generate", device)
        if "new UUID" not in answer:  # xfs_admin ends with status 0 whatever happened
            raise CommandError(["xfs_admin", "-U", "generate", device], None, answer)

    def copy(self, source, device):
        """Copy the device ``source`` to the device, block by block, and to its disk."""
        options = ["bs=4M", "iflag=fullblock", "oflag=direct", "conv=fsync", "status=none"]
        self._run("dd", f"if={source}", f"of={device}", *options)

    def check_growable_at(self, name, device, places):
        """Raise VolumeError where others than this server's mounts, ``places``, use the file system of a volume."""
        if "swap" in places:
            raise VolumeError(f"Volume {name} is swap space of this server; it is not resized.")
        if not places:
            self.check_growable([(name, device)])

    def grow_at(self, device, places):
        """Have the file system on the device use all of it, also while this server has it mounted."""
        inside = read_file_system(device)
        if not places or inside is None:
            self.grow(device)
        elif inside.kind == "xfs":
            self._run("xfs_growfs", places[0])
        else:
            self._run("resize2fs", device)
