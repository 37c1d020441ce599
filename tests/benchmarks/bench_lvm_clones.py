"""Thin clones of LVM on the lab's storage server: of a large volume against a small one, and many in one call.

Run: PYTHONPATH=. python tests/benchmarks/bench_lvm_clones.py [ROUNDS]. Needs root: it builds a lab without machines,
gives its storage server a disk, and removes the lab. Both golden volumes are block volumes with data in an eighth. The
single calls are 50 runs of the role by one playbook, so that they share its start and its connection with the one call.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.benchmarks.cloning import judge_clones
from tests.support.lab_session import LabSession
from tests.support.lvm_server import DISK_MIB, GROUP, POOL, LvmServer

NAME = "bench-lvm"


def main() -> None:
    """Measure and print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    with LabSession(NAME) as lab, tempfile.TemporaryDirectory() as directory:
        lab.up(nodes=0)
        server = LvmServer(lab, Path(directory))
        disk = server.attach_disk(DISK_MIB)
        assert server.verb("prepare", storage_lvm_disks=[disk], **POOL).changed
        judge_clones(server, lambda name: f"{GROUP}/{name}", rounds)


if __name__ == "__main__":
    main()
