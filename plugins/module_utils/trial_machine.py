# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A virtual machine that is started to see whether it boots, and ended as soon as that is known."""

from __future__ import annotations

import os
import re
import select
import subprocess
import time

BOOTED = re.compile(rb"VFS: (Unable|Cannot)|Kernel panic")


def trial_command(vmlinuz):
    """Return the command that boots the kernel under KVM until it misses a root file system."""
    argv = ["qemu-system-x86_64", "-accel", "kvm", "-cpu", "host", "-m", "256", "-nodefaults", "-no-user-config"]
    argv += ["-display", "none", "-no-reboot", "-serial", "stdio", "-kernel", vmlinuz]
    return [*argv, "-append", "console=ttyS0 panic=-1"]


def watch(process, timeout_s):
    """Return whether the console of ``process`` shows a booted kernel within the time."""
    deadline, seen = time.monotonic() + timeout_s, b""
    while time.monotonic() < deadline:
        ready, _writable, _failed = select.select([process.stdout], [], [], deadline - time.monotonic())
        block = os.read(process.stdout.fileno(), 65536) if ready else b""
        seen += block
        if BOOTED.search(seen) or not block:
            break
    return bool(BOOTED.search(seen))


def boots(argv, timeout_s):
    """Return whether the machine that ``argv`` starts boots its kernel within the time; it is ended in any case."""
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        return watch(process, timeout_s)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
