# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is inside block volumes, which are devices or files: file systems that are made, filled and grown.

A volume is mounted by a command in a mount namespace of its own, which ends with the command: whatever happens, nothing
stays mounted. Clones have the UUID of their source.
"""

from __future__ import annotations

import os
import struct
from collections import namedtuple
from pathlib import Path

from ansible_collections.openqrm.datacenter.plugins.module_utils.commands import CommandError, run
from ansible_collections.openqrm.datacenter.plugins.module_utils.volumes import MIB, UNPACK, VolumeError

MAKE = {
    "ext4": ("mkfs.ext4", "-q", "-F", "-m", "0", "-E", "root_owner=0:0"),
    "xfs": ("mkfs.xfs", "-q", "-f"),
}
# What the programs refuse to go below.
SMALLEST_MIB = {"ext4": 2, "xfs": 300}
MOUNT_POINT = "/run/openqrm/volume"
# Mounts $3 at $0 for the command that follows. The shell is the first process of its PID namespace: all end with it.
MOUNTED = 'mount -t "$1" -o "$2" -- "$3" "$0" || exit; shift 3; "$@"; status=$?; umount -- "$0" || exit; exit $status'
UNSHARE = ("unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child")
# Resizing leaves out a last part that is too small to be of use.
UNUSED_MIB = 16
# Files of the kernel that name what it serves or has attached.
KERNEL_USERS = {
    "an iSCSI target": "sys/kernel/config/target/core/*/*/udev_path",
    "an NVMe target": "sys/kernel/config/nvmet/subsystems/*/namespaces/*/device_path",
    "a loop device": "sys/block/loop*/loop/backing_file",
}

FileSystem = namedtuple("FileSystem", "kind size_mib dirty")
FileSystem.__doc__ = """What a superblock says: ``kind`` (ext4 stands for ext2 and ext3 too; xfs), ``size_mib``, and
``dirty``: whether it is mounted somewhere or was not unmounted cleanly, as far as it can be told (ext4)."""


def read_file_system(path):
    """Return the FileSystem at the start of the device or file ``path``; None where there is no ext2-4 or XFS.

    Source: https://docs.kernel.org/filesystems/ext4/super.html; XFS Algorithms and Data Structures, Superblocks.
    """
    with Path(path).open("rb") as stream:
        start = stream.read(2048)
    if start[:4] == b"XFSB":
        block, blocks = struct.unpack_from(">IQ", start, 4)
        return FileSystem("xfs", block * blocks // MIB, False)
    if start[1080:1082] != b"\x53\xef":
        return None
    (low,) = struct.unpack_from("<I", start, 1024 + 0x4)
    (log_block,) = struct.unpack_from("<I", start, 1024 + 0x18)
    (incompatible,) = struct.unpack_from("<I", start, 1024 + 0x60)
    (high,) = struct.unpack_from("<I", start, 1024 + 0x150)
    blocks = low | (high << 32 if incompatible & 0x80 else 0)
    return FileSystem("ext4", (blocks << (10 + log_block)) // MIB, bool(incompatible & 0x4))


class Contents:
    """Makes, fills and grows file systems; ``kind``: ext4 or xfs, ``timeout_s``: what one command may take."""

    def __init__(self, kind="ext4", timeout_s=3600, command=run):
        """Keep how it is done."""
        self._kind = kind
        self._timeout_s = timeout_s
        self._command = command

    def _run(self, *argv):
        return self._command(list(argv), timeout_s=self._timeout_s)

    def check_new(self, volume):
        """Raise VolumeError where the volume is too small for the file system that its archive goes into."""
        smallest = SMALLEST_MIB[self._kind]
        if volume.get("archive") and volume["size_mib"] < smallest:
            raise VolumeError(
                f"Volume {volume['name']}: {volume['size_mib']} MiB is too small for {self._kind}; give {smallest} MiB."
            )

    def make(self, path):
        """Make an empty file system on the device or file ``path``."""
        self._run(*MAKE[self._kind], str(path))

    def fill(self, path, archive):
        """Make a file system on the device or file ``path`` and unpack the archive into it."""
        self.make(path)
        self._mounted(path, self._kind, *UNPACK, f"--file={archive}", f"--directory={MOUNT_POINT}")

    def check_growable(self, volumes):
        """Raise VolumeError where a volume, (name, path), has a file system that is in use: others write to it."""
        used = users([path for _name, path in volumes])
        for name, path in volumes:
            inside = read_file_system(path)
            if inside is None:
                continue
            who = used.get(str(path)) or ("a file system that was not unmounted" if inside.dirty else None)
            if who:
                raise VolumeError(f"Volume {name} is in use by {who}; stop and revoke what uses it, then resize it.")

    def is_filled(self, path, size_mib):
        """Return whether the file system on ``path``, if any, uses the ``size_mib`` MiB of it."""
        inside = read_file_system(path)
        return inside is None or size_mib - inside.size_mib < UNUSED_MIB

    def grow(self, path):
        """Have the file system on ``path`` use all of it; does nothing where there is none that can grow."""
        inside = read_file_system(path)
        if inside is None:
            return
        if inside.kind == "xfs":
            self._mounted(path, "xfs", "xfs_growfs", MOUNT_POINT)
            return
        try:
            self._run("e2fsck", "-f", "-p", str(path))
        except CommandError as error:
            if error.code != 1:  # 1: errors were corrected
                raise
        self._run("resize2fs", str(path))

    def _mounted(self, path, kind, *argv):
        """Run a command while ``path`` is mounted at MOUNT_POINT, for that command alone."""
        Path(MOUNT_POINT).mkdir(mode=0o700, parents=True, exist_ok=True)
        options = ["nosuid", "nodev", "noexec", *(["loop"] if Path(path).is_file() else [])]
        if kind == "xfs":
            options.append("nouuid")  # a clone has the UUID of its source, which may be mounted
        self._run(*UNSHARE, "sh", "-c", MOUNTED, MOUNT_POINT, kind, ",".join(options), str(path), *argv)


def users(paths, root="/"):
    """Return who uses the devices or files, by path: processes that have them open, targets and loop devices."""
    wanted, used = {os.path.realpath(path): str(path) for path in paths}, {}
    for who, pattern in KERNEL_USERS.items():
        for file in Path(root).glob(pattern):
            name = text_of(file)
            if name and os.path.realpath(name) in wanted:
                used[wanted[os.path.realpath(name)]] = who
    for link in Path(root).glob("proc/[0-9]*/fd/*"):
        target = target_of(link)
        if target in wanted:
            used.setdefault(wanted[target], f"process {link.parts[-3]}")
    return used


def text_of(path):
    """Return the stripped text of a file of the kernel, empty when it is gone."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def target_of(link):
    """Return where a link points, empty when it is gone."""
    try:
        return str(link.readlink())
    except OSError:
        return ""
