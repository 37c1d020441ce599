"""One of many processes that work on storage servers, each when it is its turn."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO

from openqrm.config import Config
from openqrm.model import Operation, Plan
from openqrm.planning import turns
from openqrm.planning.owner import owner_of
from openqrm.store import Store, open_store

HOSTS = ("san1", "san2")
CLONE = Operation(1, 1, "san1", "openqrm.datacenter.storage_fake", "volume_clone", "storage_volumes", ({"name": "a"},))
WORK_S, POLL_S = 0.3, 0.05


@dataclass(frozen=True)
class Taker:
    """What the process is told: how many plans it makes, whether it dies amid the first, where it writes down what
    it does: `time +1 host` and `time -1 host`."""

    url: str
    seed: int
    plans: int
    dies: bool
    log: str


def add_plan(store: Store, hosts: Sequence[str], owner: str, operation: Operation = CLONE) -> Plan:
    """A plan that is applied by the owner, with one call on these hosts."""
    calls = tuple(replace(operation, seq=seq, host=host) for seq, host in enumerate(hosts, 1))
    with store.write("tester", "plan") as tx:
        return tx.add_plan(Plan(0, "image_create", "applying", "", calls, owner=owner))


def work(taker: Taker) -> None:
    """Makes plans, waits for the turn of each operation, works, and ends it."""
    store, chance = open_store(taker.url, timeout_s=120), random.Random(taker.seed)  # noqa: S311
    with Path(taker.log).open("a", encoding="ascii") as log:
        for _ in range(taker.plans):
            hosts = chance.sample(HOSTS, chance.randint(1, len(HOSTS)))
            plan = add_plan(store, hosts, owner_of())
            for operation in plan.operations:
                _await_turn(store, plan, operation.seq)
            _say(log, 1, hosts)
            time.sleep(chance.random() * WORK_S)
            if taker.dies:
                _say(log, -1, hosts)
                os.kill(os.getpid(), signal.SIGKILL)
            _say(log, -1, hosts)
            with store.write("taker", "end") as tx:
                for operation in plan.operations:
                    tx.set_operation(plan.id, operation.seq, "done")
    store.close()


def _await_turn(store: Store, plan: Plan, seq: int) -> None:
    def take() -> str:
        with store.write("taker", "turn") as tx:
            return turns.take(tx, Config(), plan.id, seq)[0]

    while store.again(take):
        time.sleep(POLL_S)


def _say(log: TextIO, change: int, hosts: Sequence[str]) -> None:
    for host in hosts:
        log.write(f"{time.monotonic()} {change:+} {host}\n")
    log.flush()
