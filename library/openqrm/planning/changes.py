"""The life of a plan: prepared in one transaction, applied as a journal, then committed, or undone and closed."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from openqrm.boot.manifest import sha256
from openqrm.datacenter import Datacenter
from openqrm.errors import ApplyError, ConflictError, OpenqrmError, StateError
from openqrm.model import Operation, Plan
from openqrm.planning import nodes, verbs
from openqrm.planning.context import Context
from openqrm.planning.operations import group
from openqrm.planning.owner import lives
from openqrm.store import Reader, Writer

# Undo operations run in phases above this one.
UNDO_PHASE = 100


@dataclass(frozen=True)
class Prepared:
    """A plan to apply. `plan` 0: there is nothing to do. `unchanged`: object -> why it is left.

    `segments`: what the plays do, in order: `hosts`, and `calls` that all of these hosts carry out, at the same time:
    `role`, `verb`, `result` (the fact that the role sets), `seqs` (host -> seq).
    """

    plan: int
    segments: Sequence[Mapping[str, object]] = ()
    unchanged: Mapping[str, str] = field(default_factory=dict)
    lines: Sequence[str] = ()
    resumed: bool = False


class _RolledBackError(Exception):
    """Carries a result out of a transaction that must leave nothing behind."""

    def __init__(self, result: Prepared) -> None:
        super().__init__()
        self.result = result


def prepare(
    center: Datacenter, verb: str, arguments: Mapping[str, object], *, owner: str, actor: str, check: bool = False
) -> Prepared:
    """Plans the change and journals it, or in check mode computes the same and leaves nothing behind.

    A plan for the same objects whose owner died is taken up again. Raises: OpenqrmError.
    """
    change = verbs.get(verb)
    try:
        with center.store.write(actor, f"plan {verb}") as tx:
            tx.lock("assign")
            result = _prepare(Context(tx, center.config, center.types), change, arguments, owner)
            if check:
                raise _RolledBackError(result)
            return result
    except _RolledBackError as rolled_back:
        return rolled_back.result


def adopt(center: Datacenter, plan_id: int, *, owner: str, actor: str) -> Prepared:
    """The plan that was prepared before the run, from now on applied by `owner`. Raises: NotFoundError, StateError."""
    with center.store.write(actor, f"plan {plan_id}") as tx:
        plan = tx.plan(plan_id)
        if plan.state != "applying":
            raise StateError(f"Plan {plan_id} is {plan.state}.", remedy="Make a new one: run the command again.")
        tx.set_plan(plan_id, "applying", owner=owner)
        return _resumed(plan, verbs.Selection(()))


def _prepare(context: Context, change: verbs.Verb, arguments: Mapping[str, object], owner: str) -> Prepared:
    tx = context.tx
    wanted = change.select(context, arguments)
    for plan in tx.open_plans([(change.kind, name) for name in wanted.names]):
        if lives(plan.owner):
            raise ConflictError(
                f"{change.kind.capitalize()} {_names(plan)}: plan {plan.id} ({plan.verb}) is applied by {plan.owner}.",
                remedy=f"Wait for it, or see `openqrm operation show {plan.id}`.",
            )
        if plan.verb == change.name and set(wanted.names) <= set(_names(plan).split(", ")):
            tx.set_plan(plan.id, "applying", owner=owner)
            return _resumed(plan, wanted)
        tx.set_plan(plan.id, "cancelled", message=f"replaced by {change.name}")
    if not wanted.names:
        return Prepared(0, unchanged=wanted.unchanged)
    draft = tx.add_plan(Plan(0, change.name, "planned", "", (), objects=(), owner=owner))
    drawn = change.draw(context, wanted.names, arguments, draft.id)
    operations = group(drawn.steps)
    tx.add_operations(draft.id, operations)
    tx.add_objects(draft.id, drawn.objects)
    tx.set_plan(draft.id, "applying", basis=_basis(drawn.objects, operations))
    plan = replace(draft, objects=drawn.objects, operations=operations)
    return Prepared(draft.id, segments_of(operations), wanted.unchanged, describe(plan))


def _resumed(plan: Plan, wanted: verbs.Selection) -> Prepared:
    """What is left of a plan whose owner died: its operations, or where it was being undone, only the undoing."""
    undoing = any(operation.phase > UNDO_PHASE for operation in plan.operations)
    left = [] if undoing else plan.operations
    return Prepared(plan.id, segments_of(left), wanted.unchanged, describe(plan), resumed=True)


def _names(plan: Plan) -> str:
    return ", ".join(str(item["name"]) for item in plan.objects if item.get("kind") == verbs.get(plan.verb).kind)


def _basis(objects: Sequence[Mapping[str, object]], operations: Sequence[Operation]) -> str:
    content = [list(objects), [[o.phase, o.host, o.role, o.verb, list(o.items)] for o in operations]]
    return sha256(json.dumps(content, sort_keys=True, default=str))


def segments_of(operations: Sequence[Operation]) -> list[Mapping[str, object]]:
    """The operations that are still to be done: those of one phase that differ only in their host as one call, and
    calls that follow each other on the same hosts as one segment."""
    calls: dict[tuple[int, str, str], dict[str, int]] = {}
    for operation in operations:
        if operation.state != "done":
            calls.setdefault((operation.phase, operation.role, operation.verb), {})[operation.host] = operation.seq
    segments: list[Mapping[str, object]] = []
    for hosts, group_ in itertools.groupby(calls.items(), key=lambda call: sorted(call[1])):
        rows = [_call(role, verb, seqs) for (_, role, verb), seqs in group_]
        segments.append({"hosts": hosts, "calls": rows})
    return segments


def _call(role: str, verb: str, seqs: Mapping[str, int]) -> dict[str, object]:
    return {"role": role, "verb": verb, "result": f"{role.rpartition('.')[2]}_result", "seqs": dict(seqs)}


def describe(plan: Plan) -> list[str]:
    """The plan as lines: each member with its resource and why, then each operation with its items."""
    lines = [f"plan {plan.verb}"]
    for item in plan.objects:
        if item.get("kind") == "member":
            lines.append(
                f"  {item['name']}/{item['member']} on {item['resource']} (epoch {item['epoch']}): {item['why']}"
            )
    for operation in plan.operations:
        role = operation.role.rsplit(".", 1)[-1]
        lines.append(f"  {operation.phase}. {operation.host}: {role} {operation.verb}")
        lines += [f"       {_item_text(item)}" for item in operation.items]
    return lines


def _item_text(item: Mapping[str, object]) -> str:
    words = []
    for key, value in sorted(item.items()):
        if key == "content":
            words.append(f"sha256={sha256(str(value))[:12]}")
        elif key not in ("root", "unless"):
            words.append(f"{key}={value if not isinstance(value, Mapping) else value.get('name', dict(value))}")
    return " ".join(words)


def finish(center: Datacenter, plan_id: int, actor: str) -> Prepared:
    """Commits the plan if all was done; else adds the operations that undo it and returns their segments."""
    with center.store.write(actor, f"plan {plan_id}") as tx:
        plan = tx.plan(plan_id)
        change = verbs.get(plan.verb)
        context = Context(tx, center.config, center.types)
        failed = failures(plan)
        if not failed:
            change.commit(context, plan)
            tx.set_plan(plan_id, "done")
            return Prepared(plan_id)
        undo = group(change.undo(context, plan), first_seq=1001)
        undo = tuple(replace(operation, phase=operation.phase + UNDO_PHASE) for operation in undo)
        known = {operation.seq for operation in plan.operations}
        tx.add_operations(plan_id, [operation for operation in undo if operation.seq not in known])
        tx.set_plan(plan_id, "applying", message=failed[0])
        return Prepared(plan_id, segments_of(undo), lines=failed)


def close(center: Datacenter, plan_id: int, actor: str) -> None:
    """Ends a plan that was not committed.

    Raises: ApplyError with what failed, and whether it was undone completely.
    """
    with center.store.write(actor, f"plan {plan_id}") as tx:
        plan = tx.plan(plan_id)
        if plan.state == "done":
            return
        left = [o for o in plan.operations if o.phase > UNDO_PHASE and o.state != "done"]
        context = Context(tx, center.config, center.types)
        verbs.get(plan.verb).close(context, plan, not left)
        message = failures(plan)[0]
        tx.set_plan(plan_id, "failed" if left else "undone", message=message)
        tx.add_event("error", message, kind="plan", name=str(plan_id))
    if left:
        problem = f"{message} Undoing it failed too: {left[0].host}: {left[0].verb}: {left[0].message}"
        raise ApplyError(problem, remedy=f"See `openqrm operation show {plan_id}`; run the same command again.")
    raise ApplyError(f"{message} {verbs.get(plan.verb).undone}", remedy=f"See `openqrm operation show {plan_id}`.")


def failures(plan: Plan) -> list[str]:
    """What of the plan was not done, failed operations first; empty if all was done."""
    forward = [operation for operation in plan.operations if operation.phase <= UNDO_PHASE]
    failed = [o for o in forward if o.state == "failed"]
    pending = [o for o in forward if o.state == "pending"]
    texts = [f"{o.host}: {o.role.rsplit('.', 1)[-1]} {o.verb}: {o.message}" for o in failed]
    return texts + [f"{o.host}: {o.role.rsplit('.', 1)[-1]} {o.verb}: not done (host unreachable?)" for o in pending]


def begin(tx: Writer, plan_id: int, seq: int) -> tuple[Operation, tuple[Mapping[str, object], ...]]:
    """The operation and the items to hand to its verb now; no items: there is nothing to do.

    Nothing is done once an operation of an earlier phase failed. Items whose `unless` condition holds are left out.
    """
    operations = tx.plan(plan_id).operations
    operation = next(operation for operation in operations if operation.seq == seq)
    if _hindered(operation, operations):
        return operation, ()
    items = _needed(tx, operation)
    tx.set_operation(plan_id, seq, "pending" if items else "done", attempts=operation.attempts + 1)
    return operation, items


def perform(
    center: Datacenter, plan_id: int, operation: Operation, items: Sequence[Mapping[str, object]], actor: str
) -> str:
    """Does an operation of the controller itself and journals it; returns what failed, empty if nothing did."""
    error = ""
    try:
        nodes.perform(center.store, operation.verb, items, actor)
    except OpenqrmError as failure:
        error = str(failure)
    with center.store.write(actor, f"node {operation.verb}") as tx:
        tx.set_operation(plan_id, operation.seq, "failed" if error else "done", message=error)
    return error


def _hindered(operation: Operation, operations: Sequence[Operation]) -> bool:
    forward = operation.phase <= UNDO_PHASE
    return forward and any(other.phase < operation.phase and other.state != "done" for other in operations)


def _needed(tx: Reader, operation: Operation) -> tuple[Mapping[str, object], ...]:
    names = [str(c["resource"]) for i in operation.items if isinstance(c := i.get("unless"), Mapping)]
    resources = {resource.name: resource for resource in tx.resources(names)} if names else {}
    left = []
    for item in operation.items:
        condition = item.get("unless")
        if isinstance(condition, Mapping):
            resource = resources[str(condition["resource"])]
            if not nodes.reached(str(condition["verb"]), condition, resource):
                continue
        left.append({key: value for key, value in item.items() if key != "unless"})
    return tuple(left)


def end(tx: Writer, plan_id: int, seq: int, error: str) -> str:
    """Journals the operation's outcome (`error` empty: done) and returns its verb."""
    tx.set_operation(plan_id, seq, "failed" if error else "done", message=error)
    return next(operation.verb for operation in tx.plan(plan_id).operations if operation.seq == seq)
