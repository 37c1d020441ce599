"""Start, stop and move of appliances as plans: what they select, draw and commit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import replace

from openqrm.errors import InvalidValueError, NotFoundError, StateError
from openqrm.model import Appliance, Assignment, Plan
from openqrm.names import check_name
from openqrm.planning import disks, private, recovery, start, stop, transfers
from openqrm.planning.context import Context, Member
from openqrm.planning.members import (
    Row,
    appliances_of,
    assignments_of,
    deadline,
    free,
    member_rows,
    release,
    resources_of,
    rows_of,
)
from openqrm.planning.verbs import Arguments, Drawing, Objects, Selection, Verb, names_of
from openqrm.storageservers import refuse_serving


def _boot(arguments: Arguments) -> str:
    boot = str(arguments.get("boot") or "auto")
    if boot not in start.BOOT_MODES:
        raise InvalidValueError(f"boot {boot!r} is not known.", remedy=f"Use one of {', '.join(start.BOOT_MODES)}.")
    return boot


def _named(context: Context, arguments: Arguments) -> list[Appliance]:
    """The appliances that the arguments name. Raises: NotFoundError, InvalidValueError."""
    names = [check_name("Appliance", name) for name in names_of(arguments, "appliances")]
    found = context.tx.appliances(names)
    if len(found) < len(names):
        there = {appliance.name for appliance in found}
        raise NotFoundError(
            "Appliance", next(name for name in names if name not in there), context.tx.names("appliance")
        )
    return found


def _select_start(context: Context, arguments: Arguments) -> Selection:
    found = _named(context, arguments)
    running = {a.name: f"appliance {a.name} is active already" for a in found if a.state == "active"}
    return Selection(tuple(a.name for a in found if a.name not in running), running)


def _select_stop(context: Context, arguments: Arguments) -> Selection:
    found = _named(context, arguments)
    stopped = {a.name: f"appliance {a.name} is stopped already" for a in found if a.state == "stopped"}
    return Selection(tuple(a.name for a in found if a.name not in stopped), stopped)


def _select_move(context: Context, arguments: Arguments) -> Selection:
    """The active appliances, and those whose move was interrupted; those that are on the target need nothing."""
    found = _named(context, arguments)
    target = _target(context, arguments)
    open_plans = context.tx.open_plans([("appliance", a.name) for a in found if a.state != "active"])
    moving = {name for plan in open_plans if plan.verb == "move" for name in appliances_of(plan)}
    idle = [a.name for a in found if a.state != "active" and a.name not in moving]
    if idle:
        raise StateError(f"Appliance {idle[0]} is not active.", remedy="Start it; a start chooses its resource.")
    bound = context.tx.assignments(resources=[target]) if target else []
    there = {row.appliance for row in bound if row.appliance not in moving}
    unchanged = {a.name: f"appliance {a.name} is on {target} already" for a in found if a.name in there}
    return Selection(tuple(a.name for a in found if a.name not in unchanged), unchanged)


def _target(context: Context, arguments: Arguments) -> str:
    """The resource to take, empty for the best fit. Raises: InvalidValueError, NotFoundError."""
    name = arguments.get("to")
    return context.tx.resource(check_name("Resource", name)).name if name else ""


def _objects(
    appliances: Sequence[Appliance], members: Sequence[Member], verb: str, created: Set[str], more: Row | None = None
) -> Objects:
    rows: list[Mapping[str, object]] = [{"kind": "appliance", "name": a.name, "was": a.state} for a in appliances]
    return (*rows, *member_rows(members, verb, created, more))


def _draw_start(context: Context, names: Sequence[str], arguments: Arguments, plan_id: int) -> Drawing:
    appliances = context.tx.appliances(names)
    _refuse_leftovers(context, names)
    transfers.refuse_filled(context, appliances)
    appliances = transfers.record(context, appliances, arguments, plan_id)
    reservation = start.reserve(context, appliances, plan_id, to=_target(context, arguments))
    context.tx.set_state("appliance", list(names), "starting", deadline(context))
    steps = start.steps(context, reservation.members, _boot(arguments))
    pinned = {"pinned": bool(arguments.get("to"))}
    rows = _objects(appliances, reservation.members, "start", reservation.created, pinned)
    return Drawing(steps, (*rows, *transfers.objects(appliances)))


def _refuse_leftovers(context: Context, names: Sequence[str]) -> None:
    """Refuses a start where something is still assigned. Raises: StateError."""
    left = context.tx.assignments(appliances=list(names))
    if left:
        shown = ", ".join(f"{row.appliance}/{row.member} on {row.resource}" for row in left[:3])
        raise StateError(
            f"Still assigned: {shown}.", remedy="Stop the appliance first: that proves the old root is released."
        )


def _draw_stop(context: Context, names: Sequence[str], arguments: Arguments, _plan_id: int) -> Drawing:
    """A stop; clones that a start did not come to commit go too."""
    if not arguments.get("force"):
        refuse_serving(context.tx, names)
    appliances = context.tx.appliances(names)
    members = context.members(context.tx.assignments(appliances=list(names)))
    held = recovery.held_over(context, [a.name for a in appliances if a.state == "failed"])
    lost = [member for member in held if member.resource.state in ("error", "unknown", "stopping")]
    _set_stopping(context, names, [*members, *lost])
    volumes = context.tx.named("volume", [f"{m.image.storage}/{m.image.volume}" for m in members])
    pending = {volume.name for volume in volumes if volume.parameters.get(private.PENDING)}
    created = frozenset(member.image.name for member in members if member.image.volume in pending)
    steps = stop.steps(context, members, force=bool(arguments.get("force")))
    steps += recovery.leave_held(context, held)
    steps += [*stop.clone_steps(context, members, created), *private.remove_steps(stop.REMOVE, context, members)]
    members = [*members, *lost]
    return Drawing(steps, _objects(appliances, members, "stop", created))


def _set_stopping(context: Context, names: Sequence[str], members: Sequence[Member]) -> None:
    until = deadline(context)
    context.tx.set_state("appliance", list(names), "stopping", until)
    running = [m.resource.name for m in members if m.resource.state in ("starting", "active", "error", "unknown")]
    context.tx.set_state("resource", running, "stopping", until)
    for order in context.tx.orders([member.resource.name for member in members]):
        context.tx.set_order(order.id, "superseded")


def _draw_move(context: Context, names: Sequence[str], arguments: Arguments, plan_id: int) -> Drawing:
    refuse_serving(context.tx, names)
    appliances = context.tx.appliances(names)
    old = context.members(context.tx.assignments(appliances=list(names)))
    _set_stopping(context, names, old)
    leave = stop.steps(context, old)
    release(context, [m.assignment for m in old])
    reservation = start.reserve(context, appliances, plan_id, to=_target(context, arguments))
    arrive = start.steps(context, reservation.members, _boot(arguments))
    objects = _objects(appliances, reservation.members, "start", frozenset())
    left = _objects((), old, "stop", frozenset())
    return Drawing([*leave, *arrive], (*objects, *left))


def _commit_start(context: Context, plan: Plan) -> None:
    names = resources_of(plan, "start")
    reserved = [r.name for r in context.tx.resources(names) if r.state == "reserved"]
    context.tx.set_state("resource", reserved, "starting")
    context.tx.set_state("resource", names, "active")
    context.tx.set_state("appliance", appliances_of(plan), "active")
    _settle_clones(context, plan)
    disks.booted(context, context.members(assignments_of(plan, "start")))
    transfers.settle(context, appliances_of(plan))
    _tell(context, plan, "start", "is active on")


def _settle_clones(context: Context, plan: Plan) -> None:
    """The clones are there from now on; the next start takes them as they are."""
    images = context.tx.images([str(row["image"]) for row in rows_of(plan, "start")])
    volumes = context.tx.named("volume", [f"{image.storage}/{image.volume}" for image in images])
    pending = [volume for volume in volumes if private.PENDING in volume.parameters]
    context.tx.save([replace(volume, parameters={}) for volume in pending])
    private.settle(context, context.members(assignments_of(plan, "start")))


def _commit_stop(context: Context, plan: Plan) -> None:
    release(context, _bound(context, plan))
    free(context, resources_of(plan, "stop"))
    recovery.remove_created(context, plan, rows_of(plan, "stop"))
    context.tx.set_state("appliance", appliances_of(plan), "stopped")
    _tell(context, plan, "stop", "has left")


def _bound(context: Context, plan: Plan) -> list[Assignment]:
    """The plan's members as they are assigned; a start may have been taken up by the stop."""
    return context.tx.assignments(appliances=appliances_of(plan)) or assignments_of(plan, "stop")


def _commit_move(context: Context, plan: Plan) -> None:
    """The appliance is on its new resources; on the old ones where it went back to them."""
    if any(row.get("back") for row in rows_of(plan, "start")):
        recovery.commit_return(context, plan)
        return
    free(context, resources_of(plan, "stop"))
    for state in ("stopped", "starting"):
        context.tx.set_state("appliance", appliances_of(plan), state)
    _commit_start(context, plan)


def _tell(context: Context, plan: Plan, verb: str, words: str) -> None:
    rows = rows_of(plan, verb)
    texts = [(str(row["name"]), f"Member {row['member']} {words} {row['resource']}.") for row in rows]
    context.tx.add_events("info", "appliance", texts, {"plan": plan.id})


VERBS = (
    Verb(
        "start",
        "appliance",
        _select_start,
        _draw_start,
        _commit_start,
        recovery.undo_start,
        recovery.close_start,
        again=recovery.again_start,
        withdraw=recovery.withdraw_start,
        waiting="starting",
    ),
    Verb(
        "stop",
        "appliance",
        _select_stop,
        _draw_stop,
        _commit_stop,
        None,
        recovery.close_stop,
        "What was done stays done; run the stop again to finish it.",
        withdraw=recovery.withdraw_stop,
        waiting="stopping",
        replaces=frozenset({"start", "stop"}),
    ),
    Verb(
        "move",
        "appliance",
        _select_move,
        _draw_move,
        _commit_move,
        recovery.undo_move,
        recovery.close_move,
        "The appliance is stopped.",
        again=recovery.again_move,
        withdraw=recovery.withdraw_move,
        waiting="starting",
    ),
)
