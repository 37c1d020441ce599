"""Turns: so many plans work on one storage server at the same time, and others wait.

A turn is a note among the objects of a plan (kind TURN, named by the host). It counts while its plan is being applied
by the process that took the turn, that process lives, and the operation is not over: nothing has to be given back, and
a killed process holds no turn. A call takes its turn on all of its hosts or on none of them, so that plans which work
on the same servers never wait for each other. Taking back and reading need no turn.
"""

from __future__ import annotations

from collections.abc import Sequence

from openqrm.config import Config
from openqrm.model import Operation, Storage
from openqrm.planning.owner import lives
from openqrm.planning.rounds import round_of, takes_back
from openqrm.storagesettings import storage_settings
from openqrm.store import Writer
from openqrm.store.schema import TURN

FAMILIES = ("storage_", "deployment_")
READING = ("volume_list", "grants_list", "space")


def take(tx: Writer, config: Config, plan_id: int, seq: int) -> tuple[str, str]:
    """Takes the turn of the operation's call on all of its hosts; what it waits for, and which storage; else empty."""
    operation = tx.operation(plan_id, seq)
    if not _needs_turn(operation):
        return "", ""
    tx.lock("turns")
    plan = tx.plan(plan_id)
    call = [o for o in plan.operations if _call(o) == _call(operation) and o.state == "pending"]
    held = [turn for turn in tx.turns([o.host for o in call]) if _lives(tx, config, *turn[:2])]
    if (plan_id, seq) in {(number, turn_seq) for number, _, _, turn_seq in held}:
        return "", ""
    for host, storages in _by_host(tx, [o.host for o in call]).items():
        others = sorted({number for number, _, place, _ in held if place == host and number != plan_id})
        name, limit = _limit(storages)
        if len(others) >= limit:
            plans = ", ".join(str(number) for number in others)
            return f"waits for storage {name}: {len(others)} of {limit} operations run (plans {plans})", name
    tx.add_objects(plan_id, [{"kind": TURN, "name": o.host, "seq": o.seq, "owner": plan.owner} for o in call])
    return "", ""


def _needs_turn(operation: Operation) -> bool:
    role = operation.role.rpartition(".")[2]
    reads = operation.verb in READING or takes_back(round_of(operation))
    return role.startswith(FAMILIES) and not reads


def _call(operation: Operation) -> tuple[int, str, str]:
    return operation.phase, operation.role, operation.verb


def _lives(tx: Writer, config: Config, plan_id: int, owner: str) -> bool:
    return lives(owner, heard=tx.plan_heard(plan_id), lease_s=config.deadlines.lease_s)


def _by_host(tx: Writer, hosts: Sequence[str]) -> dict[str, list[Storage]]:
    found: dict[str, list[Storage]] = {}
    for storage in tx.storages():
        if storage.host in hosts:
            found.setdefault(storage.host, []).append(storage)
    return found


def _limit(storages: Sequence[Storage]) -> tuple[str, int]:
    """The storage of one host that allows least, and how many operations that is."""
    limits = {s.name: storage_settings(f"Storage {s.name}", s.parameters).concurrent_operations for s in storages}
    name = min(limits, key=lambda each: limits[each])
    return name, limits[name]
