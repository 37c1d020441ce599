# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files in a volume: a directory as it is, a block device or file mounted for this process alone."""

from __future__ import annotations

import ctypes
import os
from contextlib import contextmanager
from pathlib import Path

from ansible_collections.openqrm.datacenter.plugins.module_utils.block_volumes import read_file_system, users
from ansible_collections.openqrm.datacenter.plugins.module_utils.commands import run
from ansible_collections.openqrm.datacenter.plugins.module_utils.volumes import VolumeError

CLONE_NEWNS = 0x00020000
MOUNT_POINT = "/run/openqrm/contents"
# Reads an ext4 or XFS file system as it is, without its journal.
READ_ONLY = {"ext4": ["ro", "noload"], "xfs": ["ro", "norecovery", "nouuid"]}
READ_WRITE = {"ext4": ["rw"], "xfs": ["rw", "nouuid"]}


@contextmanager
def files_of(name, path, presents, read_only, command=run):
    """Give the directory with the files of the volume ``name`` at ``path``; ``presents``: filesystem or block.

    A block device is mounted in a mount namespace of this process, so that nothing stays mounted when it is killed.
    Raises VolumeError where there are none, or where a device that is to be written is in use.
    """
    place = Path(path)
    if presents == "filesystem":
        if not place.is_dir():
            raise VolumeError(f"Volume {name}: there is no directory {path} on this server.")
        yield place
        return
    if not place.exists():
        raise VolumeError(f"Volume {name}: there is no {path} on this server.")
    who = users([path]).get(str(path))
    if who:
        raise VolumeError(f"Volume {name} is in use by {who}; stop what uses it.")
    inside = read_file_system(path)
    if inside is None:
        raise VolumeError(f"Volume {name}: there is neither ext4 nor XFS on {path}.")
    own_mounts(command)
    options = ["nosuid", "nodev", *(READ_ONLY if read_only else READ_WRITE)[inside.kind]]
    loop = ["loop"] if place.is_file() else []
    Path(MOUNT_POINT).mkdir(mode=0o700, parents=True, exist_ok=True)
    command(["mount", "-t", inside.kind, "-o", ",".join(options + loop), "--", path, MOUNT_POINT], timeout_s=120)
    try:
        yield Path(MOUNT_POINT)
    finally:
        command(["umount", "--", MOUNT_POINT], timeout_s=600)


def own_mounts(command=run):
    """Have this process, and those that it starts, mount for themselves. Raises OSError, CommandError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS):
        number = ctypes.get_errno()
        raise OSError(number, f"unshare: {os.strerror(number)}")
    command(["mount", "--make-rprivate", "/"])
