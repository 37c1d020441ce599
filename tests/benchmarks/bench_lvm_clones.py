"""Thin clones of LVM on the lab's storage server: of a large volume against a small one, and many in one call.

Run: PYTHONPATH=. python tests/benchmarks/bench_lvm_clones.py [ROUNDS]. Needs root: it builds a lab without machines,
gives its storage server a disk, and removes the lab. Both golden volumes are block volumes with data in an eighth. The
single calls are 50 runs of the role by one playbook, so that they share its start and its connection with the one call.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks.measuring import Pair, finish, judge, pairs
from tests.support.lab_session import LabSession
from tests.support.lvm_server import DISK_MIB, POOL, LvmServer
from tests.support.roles import Step

NAME = "bench-lvm"
CLONES = 50
SAME_TIME, BULK = 1.2, 0.25
SMALL, LARGE = {"name": "small", "size_mib": 1 << 10}, {"name": "large", "size_mib": 8 << 10}


def seconds(server: LvmServer, *steps: Step) -> float:
    """What the steps take, by one playbook; each must change something."""
    begun = time.perf_counter()
    outcomes = server.steps(steps)
    taken = time.perf_counter() - begun
    assert all(outcome.changed for outcome in outcomes), [outcome.failed for outcome in outcomes]
    return taken


def clones(source: str, count: int) -> list[dict[str, object]]:
    """That many clones of the source."""
    return [{"name": f"clone{number:02}", "source": source} for number in range(count)]


def cloning(server: LvmServer, source: str, count: int, *, single: bool = False) -> float:
    """What the clones take, in one call or one by one; they are removed again."""
    volumes = clones(source, count)
    calls = [[volume] for volume in volumes] if single else [volumes]
    taken = seconds(server, *(server.step("volume_clone", *call) for call in calls))
    seconds(server, server.step("volume_remove", *volumes))
    print(f"  {count} of {source}, {'one by one' if single else 'in one call'}: {taken:.1f} s", flush=True)
    return taken


def main() -> None:
    """Measure and print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    with LabSession(NAME) as lab, tempfile.TemporaryDirectory() as directory:
        lab.up(nodes=0)
        server = LvmServer(lab, Path(directory))
        disk = server.attach_disk(DISK_MIB)
        assert server.verb("prepare", storage_lvm_disks=[disk], **POOL).changed
        seconds(server, server.step("volume_create", SMALL | {"presents": "block"}, LARGE | {"presents": "block"}))
        for volume in (SMALL, LARGE):
            part = f"{int(str(volume['size_mib'])) // 8}M"
            lab.on_storage("sh", "-c", f"head -c {part} /dev/urandom >/dev/vg0/{volume['name']}; sync")
        sizes = pairs(rounds, lambda: cloning(server, "large", 5), lambda: cloning(server, "small", 5))
        bulk = Pair(cloning(server, "large", CLONES), cloning(server, "large", CLONES, single=True))
    met = judge("5 clones of 8 GiB against 5 of 1 GiB", sizes, bar=SAME_TIME)
    finish(met, judge(f"{CLONES} clones in one call against {CLONES} calls", [bulk], bar=BULK))


if __name__ == "__main__":
    main()
