"""What clones of volumes cost on a lab's storage server: of a large one against a small one, and many in one call."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.benchmarks.measuring import Pair, finish, judge, pairs
from tests.support.roles import Step
from tests.support.storage_server import StorageServer

CLONES = 50
SAME_TIME, BULK = 1.2, 0.25
SMALL, LARGE = {"name": "small", "size_mib": 1 << 10}, {"name": "large", "size_mib": 8 << 10}


def seconds(server: StorageServer, *steps: Step) -> float:
    """What the steps take, by one playbook; each must change something."""
    begun = time.perf_counter()
    outcomes = server.steps(steps)
    taken = time.perf_counter() - begun
    assert all(outcome.changed for outcome in outcomes), [outcome.failed for outcome in outcomes]
    return taken


def clones(source: str, count: int) -> list[dict[str, object]]:
    """That many clones of the source."""
    return [{"name": f"clone{number:02}", "source": source} for number in range(count)]


def cloning(server: StorageServer, source: str, count: int, *, single: bool = False) -> float:
    """What the clones take, in one call or one by one; they are removed again."""
    volumes = clones(source, count)
    calls = [[volume] for volume in volumes] if single else [volumes]
    taken = seconds(server, *(server.step("volume_clone", *call) for call in calls))
    seconds(server, server.step("volume_remove", *volumes))
    print(f"  {count} of {source}, {'one by one' if single else 'in one call'}: {taken:.1f} s", flush=True)
    return taken


def judge_clones(server: StorageServer, device: Callable[[str], str], rounds: int) -> None:
    """Measure on block volumes with data in an eighth, print, and end. `device`: where the volume of a name is."""
    seconds(server, server.step("volume_create", SMALL | {"presents": "block"}, LARGE | {"presents": "block"}))
    for volume in (SMALL, LARGE):
        part = f"{int(str(volume['size_mib'])) // 8}M"
        server.lab.on_storage("sh", "-c", f"head -c {part} /dev/urandom >{device(str(volume['name']))}; sync")
    sizes = pairs(rounds, lambda: cloning(server, "large", 5), lambda: cloning(server, "small", 5))
    bulk = Pair(cloning(server, "large", CLONES), cloning(server, "large", CLONES, single=True))
    met = judge("5 clones of 8 GiB against 5 of 1 GiB", sizes, bar=SAME_TIME)
    finish(met, judge(f"{CLONES} clones in one call against {CLONES} calls", [bulk], bar=BULK))
