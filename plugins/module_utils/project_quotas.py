# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Limits of directories by project quotas, which XFS and ext4 have: what is in a directory belongs to its project.

The kernel is asked itself (quotactl_fd(2), Linux 5.14): its interface is the same for both file systems, and a storage
server needs no programs for it.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import secrets
import struct
from collections import namedtuple
from pathlib import Path

from ansible_collections.openqrm.datacenter.plugins.module_utils.volumes import MIB, VolumeError

# Source: linux/fs.h, struct fsxattr: xflags, extsize, nextents, projid, cowextsize.
FSXATTR = struct.Struct("=5I8x")
FS_IOC_FSGETXATTR, FS_IOC_FSSETXATTR = 0x801C581F, 0x401C5820
FS_XFLAG_PROJINHERIT = 0x200
# Source: linux/dqblk_xfs.h, fs_disk_quota: version, flags, fieldmask, id, limits and counts of blocks and inodes.
DISK_QUOTA = struct.Struct("=bbHI6Q56x")
VERSION, PROJECT_QUOTA, BLOCK_LIMITS = 1, 2, 1 << 2 | 1 << 3
BASIC_BLOCK = 512
PRJQUOTA, Q_XGETQUOTA, Q_XSETQLIM = 2, (ord("X") << 8) + 3, (ord("X") << 8) + 4
SYS_QUOTACTL_FD = 443
# Projects that people number by hand are below.
FIRST_PROJECT, PROJECTS = 1 << 20, 1 << 30

Quota = namedtuple("Quota", "limit_mib used_mib")
Quota.__doc__ = """Of a project, in MiB rounded up; ``limit_mib`` None: none."""


class ProjectQuotas:
    """The project quotas of file systems. ``call(descriptor, command, project, answer)`` asks the kernel."""

    def __init__(self, call=None):
        """Keep how the kernel is asked."""
        self._call = call or quotactl

    def are_on(self, path):
        """Return whether the file system of ``path`` keeps project quotas."""
        try:
            self._read(path, 0)
        except OSError:
            return False
        return True

    def of(self, path):
        """Return the Quota of the directory's project, None where it has no project or the file system no quotas."""
        try:
            project = project_of(path)
            return self._read(path, project) if project else None
        except OSError:
            return None

    def give(self, path, size_mib):
        """Make the new, empty directory the top of a project of its own with this limit; None: without a limit."""
        for _attempt in range(100):
            project = FIRST_PROJECT + secrets.randbelow(PROJECTS)
            if self._read(path, project) == Quota(None, 0):
                break
        set_project(path, project)
        self.limit(path, size_mib)

    def limit(self, path, size_mib):
        """Give the directory's project this limit; None takes it away."""
        blocks = (size_mib or 0) * MIB // BASIC_BLOCK
        project = project_of(path)
        record = DISK_QUOTA.pack(VERSION, PROJECT_QUOTA, BLOCK_LIMITS, project, blocks, blocks, 0, 0, 0, 0)
        self._ask(path, Q_XSETQLIM, project, bytearray(record))

    def _read(self, path, project):
        record = bytearray(DISK_QUOTA.size)
        try:
            self._ask(path, Q_XGETQUOTA, project, record)
        except FileNotFoundError:  # nothing belongs to it yet
            return Quota(None, 0)
        fields = DISK_QUOTA.unpack(record)
        limit, used = (-(-blocks * BASIC_BLOCK // MIB) for blocks in (fields[4], fields[8]))
        return Quota(limit or None, used)

    def _ask(self, path, command, project, record):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            self._call(descriptor, command << 8 | PRJQUOTA, project, record)
        finally:
            os.close(descriptor)


def quotactl(descriptor, command, project, record):
    """Ask the kernel; ``record`` is read, or filled. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = (ctypes.c_char * len(record)).from_buffer(record)
    if libc.syscall(SYS_QUOTACTL_FD, descriptor, ctypes.c_uint(command), ctypes.c_uint(project), buffer) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def project_of(path):
    """Return the number of the directory's project, 0 where it has none. Raises OSError."""
    return _attributes(path)[3]


def set_project(path, project):
    """Put the directory, and what is made in it from now on, into a project. Raises OSError."""
    attributes = list(_attributes(path))
    attributes[0] |= FS_XFLAG_PROJINHERIT
    attributes[3] = project
    _ioctl(path, FS_IOC_FSSETXATTR, bytearray(FSXATTR.pack(*attributes)))


def _attributes(path):
    return FSXATTR.unpack(_ioctl(path, FS_IOC_FSGETXATTR, bytearray(FSXATTR.size)))


def _ioctl(path, request, record):
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.ioctl(descriptor, request, record)
    finally:
        os.close(descriptor)
    return record


def check_quotas(quotas, path):
    """Raise VolumeError, which names the file system, unless that of ``path`` keeps project quotas."""
    there = next(each for each in (path, *path.parents) if each.is_dir())
    if quotas.are_on(there):
        return
    kind, mount = file_system_of(there)
    how = {
        "xfs": f"mount {mount} with the option prjquota (a remount does not turn it on)",
        "ext4": f"run tune2fs -O project -Q prjquota on its device, and mount {mount} with the option prjquota",
    }.get(kind, "keep the volumes on XFS or ext4, or on storage type btrfs")
    raise VolumeError(f"Location {path} is on {kind} at {mount}, which keeps no project quotas; {how}.")


def file_system_of(path, mountinfo="/proc/self/mountinfo"):
    """Return the type and the mount point of the file system that holds ``path``."""
    number = Path(path).stat().st_dev
    device = f"{os.major(number)}:{os.minor(number)}"
    for line in reversed(Path(mountinfo).read_text(encoding="utf-8", errors="replace").splitlines()):
        words = line.split()
        if words[2] == device:
            return words[words.index("-") + 1], words[4]
    return "an unknown file system", str(path)
