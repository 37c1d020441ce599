# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Root file systems as tar archives: packed so that the back ends' unpacking gives the same files again."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

from ansible_collections.openqrm.datacenter.plugins.module_utils.commands import run
from ansible_collections.openqrm.datacenter.plugins.module_utils.files import sync_directory

PACK = (
    *("tar", "--create", "--zstd", "--numeric-owner", "--one-file-system", "--sparse", "--sort=name"),
    *("--xattrs", "--xattrs-include=*", "--acls"),
    # What depends on when it is packed is left out: the same files are the same archive.
    "--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime",
)

BLOCK, MIB = 512, 1 << 20


def unpacked_mib(archive, timeout_s, command=run):
    """Return the MiB, rounded up, that a tar archive has when it is not compressed: what its files take, without their
    holes. All of it is read. Raises CommandError where it is none."""
    # Of each member the number of its first block is told, and last where the archive ends.
    members = command(["tar", "--list", "--block-number", f"--file={archive}"], timeout_s=timeout_s)
    number = re.match(r"\d+", members.rpartition("block ")[2])
    return -(-int(number[0]) * BLOCK // MIB) if number else 0


def pack(directory, archive, timeout_s, members=(".",)):
    """Pack members of a directory as the file ``archive``, which appears whole or not at all. Raises CommandError."""
    descriptor, name = tempfile.mkstemp(prefix=".pack-", dir=archive.parent)
    new = Path(name)
    try:
        run([*PACK, f"--file={new}", f"--directory={directory}", "--", *members], timeout_s=timeout_s)
        os.fsync(descriptor)
        new.replace(archive)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    sync_directory(archive.parent)
