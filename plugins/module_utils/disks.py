# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks that are given to volume groups and pools: looked at before, as what is on them is lost."""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path

from ansible_collections.openqrm.datacenter.plugins.module_utils.commands import run
from ansible_collections.openqrm.datacenter.plugins.module_utils.mounts import Mounts
from ansible_collections.openqrm.datacenter.plugins.module_utils.volumes import MIB, VolumeError


class Disks:
    """The disks of this server."""

    def __init__(self, command=run, root="/"):
        """Keep how commands are run, and below which directory the files of the kernel are."""
        self._command = command
        self._root = Path(root)

    def check(self, label, path, overwrite, may_have_data=False):
        """Raise VolumeError unless the disk can be given to ``label``: unused, and empty or to be overwritten.

        ``label``: what is made of it, as "Volume group vg0". ``may_have_data``: whether what is on it is known, and
        nobody's.
        """
        number = device_number(label, path)
        who = self._user(number) or kernel_user(path)
        if who:
            raise VolumeError(f"{label}: disk {path} is in use, {who}; name another disk.")
        content = "" if may_have_data else self._content(path)
        if content and not overwrite:
            raise VolumeError(
                f"{label}: disk {path} is not empty, it has {content}; name another disk, or allow that "
                "what is on it is destroyed (overwrite)."
            )

    def wipe(self, path):
        """Remove the signatures of what is on the disk."""
        self._command(["wipefs", "--all", "--force", path])

    def _user(self, number):
        """Return who uses the block device or a partition of it, empty if nobody does."""
        directory = self._root / f"sys/dev/block/{number}"
        parts = [directory, *(entry.parent for entry in directory.glob("*/partition"))]
        places = Mounts(root=str(self._root)).places()
        for part in parts:
            holders = [entry.name for entry in part.glob("holders/*")]
            if holders:
                return f"by {', '.join(sorted(holders))}"
            mounted = places.get((part / "dev").read_text(encoding="ascii").strip())
            if mounted:
                return f"at {mounted[0]}"
        return ""

    def _content(self, path):
        """Return what the disk holds, empty if nothing."""
        found = json.loads(self._command(["wipefs", "--json", path]) or "{}").get("signatures", [])
        if found:
            return f"signatures of {', '.join(sorted({signature['type'] for signature in found}))}"
        with Path(path).open("rb") as stream:
            start = stream.read(MIB)
        return "data at its start" if any(start) else ""


def kernel_user(path):
    """Return who uses the disk or a partition of it that the kernel does not name, as a pool of ZFS; else empty.

    Source: open(2), O_EXCL without O_CREAT on a block device.
    """
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_EXCL))
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        return "by the kernel (a pool of ZFS, for example)"
    return ""


def device_number(label, path):
    """Return major:minor of a disk. Raises VolumeError unless it is a block device."""
    try:
        status = Path(path).stat()
    except OSError as error:
        raise VolumeError(f"{label}: disk {path} cannot be read: {error.strerror}.") from error
    if not stat.S_ISBLK(status.st_mode):
        raise VolumeError(f"{label}: {path} is not a block device.")
    return f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
