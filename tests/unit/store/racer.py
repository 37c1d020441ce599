"""One of many processes that want a resource at the same time."""

from __future__ import annotations

import multiprocessing.queues
import multiprocessing.synchronize
from typing import TypeAlias

from openqrm.errors import ConflictError
from openqrm.model import Requirements
from openqrm.store import Store, open_store

Results: TypeAlias = "multiprocessing.queues.Queue[tuple[int, str, int]]"


def race(url: str, number: int, locked: bool, barrier: multiprocessing.synchronize.Barrier, results: Results) -> None:
    """Takes one idle resource if there is one; reports (number, the resource or nothing, how often it was refused)."""
    store = open_store(url, timeout_s=120)
    refused = 0
    barrier.wait()
    while True:
        try:
            results.put((number, take(store, number, locked), refused))
            break
        except ConflictError:
            refused += 1
    store.close()


def take(store: Store, number: int, locked: bool) -> str:
    """Chooses and reserves in one transaction; without the lock, only the database keeps the racers apart."""
    with store.write(f"racer {number}", "race") as writer:
        if locked:
            writer.lock("plans")
        found = writer.candidates(Requirements(), limit=1)
        if not found:
            return ""
        writer.assign([("web01", number, found[0].name, "golden", 1)])
        writer.set_state("resource", [found[0].name], "reserved")
        return found[0].name
