# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Building what is kept: once, whole or not at all, and with nothing left of a build that was killed."""

from __future__ import annotations

import fcntl
import os
import shutil
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def workspace(target):
    """Give a new directory beside the path ``target`` to build it in; None where another process has built it by now.

    The caller moves what it built to ``target``; the directory is gone afterwards. Two that build the same wait for
    each other, and what a killed build has left is removed first.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.with_name(f".{target.name}.lock").open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.exists():
            yield None
            return
        directory = target.with_name(f".{target.name}.new")
        if directory.exists():
            shutil.rmtree(directory)
        directory.mkdir(mode=0o755)
        try:
            yield directory
        finally:
            shutil.rmtree(directory, ignore_errors=True)


def contained(argv):
    """Return the command ``argv`` so that its processes and mounts end with it, and it ends with this process.

    A bootstrap mounts proc, sys and devices into its tree, and leaves them there when it is killed. Where this process
    is not root, mmdebstrap makes namespaces of its own.
    """
    if os.geteuid() != 0:
        return list(argv)
    ends_with_parent = ["setpriv", "--pdeathsig", "KILL"]
    return [*ends_with_parent, "unshare", "--pid", "--fork", "--kill-child", "--mount-proc", *argv]
