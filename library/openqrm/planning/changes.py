"""The life of a plan: prepared in one transaction, or taken up again, or cancelled; then applied round by round.

`journal` hands its operations out, `settle` says what follows a round.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from openqrm.boot.manifest import sha256
from openqrm.datacenter import Datacenter
from openqrm.errors import ConfigError, ConflictError, StalePlanError, StateError
from openqrm.model import Operation, Plan
from openqrm.planning import basis, rounds, verbs
from openqrm.planning.context import Context
from openqrm.planning.members import deadline
from openqrm.planning.operations import group
from openqrm.planning.owner import is_ours, lives
from openqrm.planning.segments import Prepared, describe, segments_of
from openqrm.planning.settle import CANCELLED, undo_now
from openqrm.store import Writer

__all__ = ["Prepared", "adopt", "cancel", "describe", "prepare", "resume", "segments_of"]


class _RolledBackError(Exception):
    """Ends a transaction that must leave nothing behind."""


@contextlib.contextmanager
def _writing(center: Datacenter, actor: str, reason: str, *, check: bool) -> Iterator[Writer]:
    """The one transaction that may assign resources; in check mode nothing of it is kept."""
    with contextlib.suppress(_RolledBackError), center.store.write(actor, reason) as tx:
        tx.lock("assign")
        yield tx
        if check:
            raise _RolledBackError


def prepare(
    center: Datacenter, verb: str, arguments: Mapping[str, object], *, owner: str, actor: str, check: bool = False
) -> Prepared:
    """Plans the change and journals it, or in check mode computes the same and leaves nothing behind.

    A plan for the same objects whose owner died is taken up again. Raises: OpenqrmError.
    """
    change = verbs.get(verb)
    with _writing(center, actor, f"plan {verb}", check=check) as tx:
        return _prepare(Context(tx, center.config, center.types), change, arguments, owner)


def adopt(center: Datacenter, plan_id: int, *, owner: str, actor: str, check: bool = False) -> Prepared:
    """The plan that was prepared before the run, from now on applied by `owner`; in check mode nothing is kept.

    Raises: NotFoundError; StateError for one that is over; ConflictError for one that another process applies;
    StalePlanError for one of which nothing was begun, where what it was computed from has changed: it is withdrawn.
    """
    with _writing(center, actor, f"plan {plan_id}", check=check) as tx:
        context = Context(tx, center.config, center.types)
        plan = tx.plan(plan_id)
        if plan.state != "applying":
            raise StateError(f"Plan {plan_id} is {plan.state}.", remedy="Make a new one: run the command again.")
        if not is_ours(plan.owner):
            _refuse_living(context, plan)
        if not (gone := _withdraw_stale(context, plan)):
            tx.set_plan(plan_id, "applying", owner=owner)
            return _resumed(plan, verbs.Selection(()))
    raise StalePlanError(
        f"Plan {plan_id} ({plan.verb}) is stale: since it was made, {gone} changed. Nothing of it was done.",
        remedy="Run the command again: it makes a new plan.",
    )


def resume(center: Datacenter, plan_id: int, *, owner: str, actor: str, check: bool = False) -> Prepared:
    """The plan whose controller died, or that failed, to go on with what is left of it; in check mode nothing is kept.

    Raises: NotFoundError; StateError for one of which nothing is left; ConflictError for one that another process
    applies, or whose objects a later plan has changed; StalePlanError as `adopt`.
    """
    with center.store.read() as tx:
        plan = tx.plan(plan_id)
    if plan.state == "applying":
        return adopt(center, plan_id, owner=owner, actor=actor, check=check)
    if plan.state != "failed":
        raise StateError(f"Plan {plan_id} is {plan.state}: nothing is left to do.", remedy="Run the command again.")
    with _writing(center, actor, f"resume plan {plan_id}", check=check) as tx:
        later = tx.later_plans(plan_id)
        if later:
            raise ConflictError(
                f"Plan {plan_id} cannot go on: plan {later[0]} has changed the same objects since.",
                remedy="Run the command that is wanted now.",
            )
        again = [o for o in rounds.of_round(plan, rounds.current(plan)) if o.state != "done"]
        for operation in again:
            tx.set_operation(plan_id, operation.seq, "pending", message=operation.message, attempts=0)
        names = sorted(_given_up(plan))
        tx.add_objects(plan_id, [{"kind": rounds.REOPENED, "name": name} for name in names])
        if waiting := verbs.get(plan.verb).waiting:
            tx.set_state("appliance", names, waiting, deadline(Context(tx, center.config, center.types)))
        tx.set_plan(plan_id, "applying", owner=owner)
        return _resumed(tx.plan(plan_id), verbs.Selection(()))


def cancel(
    center: Datacenter, plan_id: int, *, owner: str, actor: str, force: bool = False, check: bool = False
) -> Prepared:
    """The open plan, from now on to be taken back; in check mode nothing is kept.

    `force`: also where its owner may live on another host.

    Raises: NotFoundError; StateError for one that is over; ConflictError for one that is being applied.
    """
    with _writing(center, actor, f"cancel plan {plan_id}", check=check) as tx:
        context = Context(tx, center.config, center.types)
        plan = tx.plan(plan_id)
        if plan.state != "applying":
            raise StateError(f"Plan {plan_id} is {plan.state}: it is over.", remedy="Nothing is to be cancelled.")
        _refuse_living(context, plan, force=force)
        message = f"{CANCELLED} {actor}."
        if undo_now(context, verbs.get(plan.verb), plan):
            tx.set_plan(plan_id, "cancelled", owner=owner, message=message)
            return Prepared(plan_id, lines=describe(plan))
        tx.set_plan(plan_id, "applying", owner=owner, message=message)
        number = rounds.current(plan)
        left = rounds.of_round(plan, number) if rounds.takes_back(number) else []
        return Prepared(plan_id, segments_of(left), lines=describe(plan), resumed=True, number=number)


def _given_up(plan: Plan) -> set[str]:
    last = {str(row["name"]): row for row in plan.objects if row.get("kind") == rounds.SETTLED}
    return {name for name, row in last.items() if row.get("left")}


def _prepare(context: Context, change: verbs.Verb, arguments: Mapping[str, object], owner: str) -> Prepared:
    tx = context.tx
    wanted = change.select(context, arguments)
    for plan in tx.open_plans([(change.kind, name) for name in wanted.names]):
        _refuse_living(context, plan)
        covered = set(rounds.names(plan, change.kind))
        if plan.verb == change.name and set(wanted.names) <= covered and not _withdraw_stale(context, plan):
            tx.set_plan(plan.id, "applying", owner=owner)
            return _resumed(plan, wanted)
        if tx.plan(plan.id).state == "applying":
            _replace(context, plan, change, covered <= set(wanted.names))
        wanted = change.select(context, arguments)
    if not wanted.names:
        return Prepared(0, unchanged=wanted.unchanged)
    draft = tx.add_plan(Plan(0, change.name, "planned", "", (), objects=(), owner=owner))
    drawn = change.draw(context, wanted.names, arguments, draft.id)
    operations = group(drawn.steps)
    _check_roles(context, operations)
    objects = basis.signed(context, drawn.objects)
    tx.add_operations(draft.id, operations)
    tx.add_objects(draft.id, objects)
    tx.set_plan(draft.id, "applying", basis=_digest(objects, operations))
    plan = replace(draft, objects=objects, operations=operations)
    return Prepared(draft.id, segments_of(operations), wanted.unchanged, describe(plan))


def _check_roles(context: Context, operations: Sequence[Operation]) -> None:
    """Returns if the roles of all types have the verbs that are asked of them. Raises: ConfigError."""
    paths = {info.role: info.path for info in context.types.types.values()}
    for role, verb in dict.fromkeys((operation.role, operation.verb) for operation in operations):
        if role in paths and not (path := paths[role] / "tasks" / f"{verb}.yml").is_file():
            raise ConfigError(
                f"Role {role} cannot {verb}: {path} is missing.",
                remedy="Complete the role: see docs/types.md, and its contract test.",
            )


def _replace(context: Context, plan: Plan, change: verbs.Verb, covers: bool) -> None:
    """Puts a plan whose owner died out of the way of another change. Raises: ConflictError where that is not safe."""
    if undo_now(context, verbs.get(plan.verb), plan) or (covers and plan.verb in change.replaces):
        context.tx.set_plan(plan.id, "cancelled", message=f"replaced by {change.name}")
        return
    names = ", ".join(rounds.names(plan, change.kind))
    raise ConflictError(
        f"{change.kind.capitalize()} {names}: plan {plan.id} ({plan.verb}) was interrupted half-way.",
        remedy=f"`openqrm operation resume {plan.id}` ends it, `openqrm operation cancel {plan.id}` takes it back.",
    )


def _refuse_living(context: Context, plan: Plan, *, force: bool = False) -> None:
    """Returns if nobody applies the plan. Raises: ConflictError."""
    heard = context.tx.plan_heard(plan.id)
    here = lives(plan.owner, heard=None, lease_s=0)
    if here or (not force and lives(plan.owner, heard=heard, lease_s=context.config.deadlines.lease_s)):
        kind = verbs.get(plan.verb).kind
        names = ", ".join(rounds.names(plan, kind))
        until = "" if here else f" (last heard of at {heard:%F %T} UTC)"
        forced = "" if here else f", or if that controller is gone: `openqrm operation cancel {plan.id} --force`"
        raise ConflictError(
            f"{kind.capitalize()} {names}: plan {plan.id} ({plan.verb}) is applied by {plan.owner}{until}.",
            remedy=f"Wait for it, or see `openqrm operation show {plan.id}`{forced}.",
        )


def _withdraw_stale(context: Context, plan: Plan) -> str:
    """Withdraws a plan of which nothing was begun and whose basis has changed; what changed, empty: it holds.

    A plan that was begun is carried to its end as it was made: what is half done is to be finished, or taken back.
    """
    if any(operation.attempts for operation in plan.operations):
        return ""
    gone = basis.changed(context, plan)
    if gone and undo_now(context, verbs.get(plan.verb), plan):
        context.tx.set_plan(plan.id, "cancelled", message=f"stale: {rounds.joined(gone)} changed")
        return rounds.joined(gone)
    return ""


def _resumed(plan: Plan, wanted: verbs.Selection) -> Prepared:
    """What is left of the round that the plan is in."""
    number = rounds.current(plan)
    left = segments_of(rounds.of_round(plan, number))
    return Prepared(plan.id, left, wanted.unchanged, describe(plan), resumed=True, number=number)


def _digest(objects: Sequence[Mapping[str, object]], operations: Sequence[Operation]) -> str:
    content = [list(objects), [[o.phase, o.host, o.role, o.verb, list(o.items)] for o in operations]]
    return sha256(json.dumps(content, sort_keys=True, default=str))
