"""The operations of a plan while it is applied: handed out, done, tried again, journalled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from openqrm.datacenter import Datacenter
from openqrm.errors import DeadlineError, OpenqrmError
from openqrm.model import Operation
from openqrm.planning import nodes
from openqrm.planning.rounds import ALL, FAILURE, FOR, concerns, member_of, round_of, takes_back, trouble
from openqrm.store import Reader, Writer

# How often an operation on a host is tried before it counts as failed.
ATTEMPTS = 3
# After these of a power driver a machine boots, or will, and registers anew.
POWER_BOOTS = ("on", "reset", "off")
Items = tuple[Mapping[str, object], ...]


def begin(tx: Writer, plan_id: int, seq: int) -> tuple[Operation, Items]:
    """The operation and the items to hand to its verb now; no items: there is nothing to do.

    Items for members that an earlier operation of this round failed for are left out; taking back leaves nothing out.
    So are items whose `unless` condition holds.
    """
    plan = tx.plan(plan_id)
    operation = next(operation for operation in plan.operations if operation.seq == seq)
    number = round_of(operation)
    failed = {} if takes_back(number) else trouble(plan, number, before=operation.phase)
    wanted = [item for item in operation.items if not concerns(failed, member_of(item))]
    if not wanted or (failed and all(member_of(item) == ALL for item in wanted) and _has_members(operation)):
        return operation, ()
    items = _needed(tx, wanted)
    tx.set_operation(plan_id, seq, "pending" if items else "done", attempts=operation.attempts + 1)
    return operation, items


def perform(
    center: Datacenter, plan_id: int, operation: Operation, items: Sequence[Mapping[str, object]], actor: str
) -> str:
    """Does an operation of the controller itself and journals it; returns what failed, empty if nothing did."""
    if operation.verb.startswith("wait_"):
        return _wait(center, plan_id, operation, items, actor)

    def tell() -> None:
        with center.store.write(actor, f"node {operation.verb}") as tx:
            nodes.tell(tx, operation.verb, items)
            tx.set_operation(plan_id, operation.seq, "done")

    center.store.again(tell)
    return ""


def _wait(
    center: Datacenter, plan_id: int, operation: Operation, items: Sequence[Mapping[str, object]], actor: str
) -> str:
    error, missing = "", {}
    try:
        nodes.wait(center.store, operation.verb, items, actor)
    except DeadlineError as failure:
        error, missing = str(failure), dict(failure.missing)
    except OpenqrmError as failure:
        error = str(failure)
    late = [(item, missing[name]) for item in operation.items if (name := str(item["resource"])) in missing]
    state = "done" if not error or 0 < len(late) < len(items) else "failed"

    def journal() -> None:
        with center.store.write(actor, f"node {operation.verb}") as tx:
            tx.add_objects(plan_id, [_failure(operation, item, reason) for item, reason in late])
            tx.set_operation(plan_id, operation.seq, state, message=error)

    center.store.again(journal)
    return error


def _failure(operation: Operation, item: Mapping[str, object], reason: str) -> Mapping[str, object]:
    why = f"{item['resource']}: {operation.verb}: {reason}"
    row = {"kind": FAILURE, "name": member_of(item), "seq": operation.seq, "why": why, "verb": operation.verb}
    return row | {"resource": item["resource"], "reason": reason}


def end(
    tx: Writer,
    plan_id: int,
    seq: int,
    error: str,
    *,
    result: Mapping[str, object] | None = None,
    final: bool = False,
) -> tuple[str, bool]:
    """Journals the operation's outcome (`error` empty: done). Returns its verb, and whether to try it again.

    `result` is what the verb returned; a revoke that left sessions open has failed. A failure counts after ATTEMPTS
    tries, or at once where it is `final`.
    """
    operation = tx.operation(plan_id, seq)
    error = error or _sessions_left(operation.verb, result or {})
    again = bool(error) and not final and operation.attempts < ATTEMPTS
    tx.set_operation(plan_id, seq, "pending" if again else "failed" if error else "done", message=error)
    if operation.role.rpartition(".")[2].startswith("power_") and operation.verb in POWER_BOOTS:
        tx.expect_boot([str(item["name"]) for item in operation.items])
    return operation.verb, again


def _sessions_left(verb: str, result: Mapping[str, object]) -> str:
    """What is wrong with the result of a revoke that left sessions of a client open; empty if nothing is."""
    items = result.get("items")
    rows = items if verb == "revoke" and isinstance(items, list) else []
    left = [row for row in rows if isinstance(row, Mapping) and int(str(row.get("sessions") or 0)) > 0]
    if not left:
        return ""
    return f"{left[0].get('path')}: {left[0].get('sessions')} sessions of {left[0].get('client')} are left"


def _has_members(operation: Operation) -> bool:
    return any(member_of(item) != ALL for item in operation.items)


def _needed(tx: Reader, items: Sequence[Mapping[str, object]]) -> Items:
    names = [str(c["resource"]) for i in items if isinstance(c := i.get("unless"), Mapping)]
    resources = {resource.name: resource for resource in tx.resources(names)} if names else {}
    left = []
    for item in items:
        condition = item.get("unless")
        if isinstance(condition, Mapping):
            resource = resources[str(condition["resource"])]
            if not nodes.reached(str(condition["verb"]), condition, resource):
                continue
        left.append({key: value for key, value in item.items() if key not in ("unless", FOR)})
    return tuple(left)
