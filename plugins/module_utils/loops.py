# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Loop devices: files as block devices with blocks of 512 bytes, as disks have them."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

SET_FILE, CLEAR_FILE, GET_FREE = 0x4C00, 0x4C01, 0x4C82  # Source: linux/loop.h
ATTEMPTS = 20


class Loops:
    """The loop devices of this machine."""

    def all(self):
        """Return device -> file of those that are in use."""
        found = {}
        for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
            try:
                found[f"/dev/{backing.parts[-3]}"] = backing.read_text(encoding="utf-8").rstrip("\n")
            except OSError:
                continue  # It was detached meanwhile.
        return found

    def attach(self, path):
        """Return a new device for the file."""
        file = os.open(path, os.O_RDWR)
        try:
            for _attempt in range(ATTEMPTS):
                control = os.open("/dev/loop-control", os.O_RDWR)
                try:
                    device = f"/dev/loop{fcntl.ioctl(control, GET_FREE)}"
                finally:
                    os.close(control)
                if self._set(device, file):
                    return device
            raise OSError(errno.EBUSY, "somebody else takes every free loop device", path)
        finally:
            os.close(file)

    def detach(self, device):
        """Let go of the device's file, at the latest when nobody has the device open any more."""
        descriptor = os.open(device, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, CLEAR_FILE)
        finally:
            os.close(descriptor)

    def _set(self, device, file):
        """Whether the device took the file; not so where somebody else was quicker."""
        descriptor = os.open(device, os.O_RDWR)
        try:
            fcntl.ioctl(descriptor, SET_FILE, file)
        except OSError as error:
            if error.errno == errno.EBUSY:
                return False
            raise
        finally:
            os.close(descriptor)
        return True
