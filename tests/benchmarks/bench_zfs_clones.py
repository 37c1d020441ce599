"""Clones of ZFS on the lab's storage server: of a large volume against a small one, and many in one call.

Run: PYTHONPATH=. python tests/benchmarks/bench_zfs_clones.py [ROUNDS]. Needs root: it builds a lab without machines,
gives its storage server, which has OpenZFS, a disk, and removes the lab. Volumes and calls as in bench_lvm_clones.py.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.benchmarks.cloning import judge_clones
from tests.support.lab_session import LabSession
from tests.support.zfs_server import DEVICES, DISK_MIB, ZfsServer

NAME = "bench-zfs"


def main() -> None:
    """Measure and print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    with LabSession(NAME) as lab, tempfile.TemporaryDirectory() as directory:
        lab.play_up({"lab_nodes": 0, "lab_storage_zfs": True})
        server = ZfsServer(lab, Path(directory))
        assert server.verb("prepare", storage_zfs_disks=[server.attach_disk(DISK_MIB)]).changed
        judge_clones(server, lambda name: f"{DEVICES}/{name}", rounds)


if __name__ == "__main__":
    main()
