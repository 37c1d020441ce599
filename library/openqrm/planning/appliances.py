"""Start, stop and move of appliances as plans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from openqrm.errors import InvalidValueError, NotFoundError
from openqrm.model import Appliance, Assignment, Plan
from openqrm.names import check_name
from openqrm.planning import start, stop
from openqrm.planning.context import CONTROLLER, Context, Member
from openqrm.planning.operations import NODE, Step
from openqrm.planning.verbs import Arguments, Drawing, Objects, Selection, Verb, names_of


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
    found = _named(context, arguments)
    idle = [a.name for a in found if a.state != "active"]
    if idle:
        raise InvalidValueError(f"Appliance {idle[0]} is not active.", remedy="Start it; a start chooses its resource.")
    target = str(arguments.get("to") or "")
    there = {row.appliance for row in context.tx.assignments(resources=[target])} if target else set()
    unchanged = {a.name: f"appliance {a.name} is on {target} already" for a in found if a.name in there}
    return Selection(tuple(a.name for a in found if a.name not in unchanged), unchanged)


def _objects(appliances: Sequence[Appliance], members: Sequence[Member], verb: str, created: frozenset[str]) -> Objects:
    rows: list[Mapping[str, object]] = [{"kind": "appliance", "name": a.name, "was": a.state} for a in appliances]
    for member in members:
        rows.append({"kind": "resource", "name": member.resource.name})
        rows.append(
            {
                "kind": "member",
                "name": member.appliance.name,
                "member": member.assignment.member,
                "resource": member.resource.name,
                "image": member.image.name,
                "epoch": member.assignment.epoch,
                "created": member.image.name in created,
                "verb": verb,
                "why": _why(member),
            }
        )
    return tuple(rows)


def _why(member: Member) -> str:
    need = member.appliance.requirements
    has = member.resource
    return (
        f"{has.cores} of {need.cores} cores, {has.memory_mib} of {need.memory_mib} MiB, "
        f"{len(has.nics)} of {need.nics} NICs, {has.type} {has.arch}"
    )


def _draw_start(context: Context, names: Sequence[str], arguments: Arguments, plan_id: int) -> Drawing:
    appliances = context.tx.appliances(names)
    _refuse_leftovers(context, names)
    reservation = start.reserve(context, appliances, plan_id, to=str(arguments.get("to") or ""))
    context.tx.set_state("appliance", list(names), "starting")
    steps = start.steps(context, reservation.members, _boot(arguments))
    return Drawing(steps, _objects(appliances, reservation.members, "start", reservation.created))


def _refuse_leftovers(context: Context, names: Sequence[str]) -> None:
    """Refuses a start where something is still assigned. Raises: InvalidValueError."""
    left = context.tx.assignments(appliances=list(names))
    if left:
        shown = ", ".join(f"{row.appliance}/{row.member} on {row.resource}" for row in left[:3])
        raise InvalidValueError(
            f"Still assigned: {shown}.", remedy="Stop the appliance first: that proves the old root is released."
        )


def _draw_stop(context: Context, names: Sequence[str], arguments: Arguments, _plan_id: int) -> Drawing:
    appliances = context.tx.appliances(names)
    members = context.members(context.tx.assignments(appliances=list(names)))
    _set_stopping(context, names, members)
    steps = stop.steps(context, members, force=bool(arguments.get("force")))
    return Drawing(steps, _objects(appliances, members, "stop", frozenset()))


def _set_stopping(context: Context, names: Sequence[str], members: Sequence[Member]) -> None:
    context.tx.set_state("appliance", list(names), "stopping")
    running = [m.resource.name for m in members if m.resource.state in ("starting", "active", "error", "unknown")]
    context.tx.set_state("resource", running, "stopping")


def _draw_move(context: Context, names: Sequence[str], arguments: Arguments, plan_id: int) -> Drawing:
    appliances = context.tx.appliances(names)
    old = context.members(context.tx.assignments(appliances=list(names)))
    _set_stopping(context, names, old)
    leave = stop.steps(context, old)
    _release(context, [m.assignment for m in old])
    reservation = start.reserve(context, appliances, plan_id, to=str(arguments.get("to") or ""))
    arrive = start.steps(context, reservation.members, _boot(arguments))
    objects = _objects(appliances, reservation.members, "start", frozenset())
    left = _objects((), old, "stop", frozenset())
    return Drawing([*leave, *arrive], (*objects, *left))


def _rows(plan: Plan, verb: str) -> list[Mapping[str, object]]:
    return [item for item in plan.objects if item.get("kind") == "member" and item.get("verb") == verb]


def _appliances(plan: Plan) -> list[str]:
    return [str(item["name"]) for item in plan.objects if item.get("kind") == "appliance"]


def _resources(plan: Plan, verb: str) -> list[str]:
    return [str(item["resource"]) for item in _rows(plan, verb)]


def _assignments(plan: Plan, verb: str) -> list[Assignment]:
    """The plan's members as assignments, also after they were released."""
    return [
        Assignment(
            0,
            str(item["name"]),
            int(str(item["member"])),
            str(item["resource"]),
            str(item["image"]),
            int(str(item["epoch"])),
            plan.id,
        )
        for item in _rows(plan, verb)
    ]


def _release(context: Context, assignments: Sequence[Assignment]) -> None:
    """Ends the assignments, by appliance."""
    members: dict[str, list[int]] = {}
    for row in assignments:
        members.setdefault(row.appliance, []).append(row.member)
    for appliance, numbers in members.items():
        context.tx.release(appliance, numbers)


def _free(context: Context, names: Sequence[str]) -> None:
    """Resources that left their service: idle where they report so, else off the pool until they do."""
    rows = context.tx.resources(list(names))
    context.tx.set_state("resource", [r.name for r in rows if r.mode in ("idle", "")], "idle")
    context.tx.set_state("resource", [r.name for r in rows if r.mode not in ("idle", "")], "error")


def _commit_start(context: Context, plan: Plan) -> None:
    names = _resources(plan, "start")
    reserved = [r.name for r in context.tx.resources(names) if r.state == "reserved"]
    context.tx.set_state("resource", reserved, "starting")
    context.tx.set_state("resource", names, "active")
    context.tx.set_state("appliance", _appliances(plan), "active")
    _settle_clones(context, plan)
    _tell(context, plan, "start", "is active on")


def _settle_clones(context: Context, plan: Plan) -> None:
    """The clones are there from now on; the next start takes them as they are."""
    images = context.tx.images([str(row["image"]) for row in _rows(plan, "start")])
    volumes = context.tx.named("volume", [f"{image.storage}/{image.volume}" for image in images])
    pending = [volume for volume in volumes if start.PENDING in volume.parameters]
    context.tx.save([replace(volume, parameters={}) for volume in pending])


def _commit_stop(context: Context, plan: Plan) -> None:
    _release(context, _assignments(plan, "stop"))
    _free(context, _resources(plan, "stop"))
    context.tx.set_state("appliance", _appliances(plan), "stopped")
    _tell(context, plan, "stop", "has left")


def _commit_move(context: Context, plan: Plan) -> None:
    _free(context, _resources(plan, "stop"))
    for state in ("stopped", "starting"):
        context.tx.set_state("appliance", _appliances(plan), state)
    _commit_start(context, plan)


def _tell(context: Context, plan: Plan, verb: str, words: str) -> None:
    for item in _rows(plan, verb):
        text = f"Member {item['member']} {words} {item['resource']}."
        context.tx.add_event("info", text, kind="appliance", name=str(item["name"]), data={"plan": plan.id})


def _attempted(plan: Plan, verbs: Sequence[str]) -> bool:
    return any(operation.attempts and operation.verb in verbs for operation in plan.operations)


def _undo_start(context: Context, plan: Plan) -> Sequence[Step]:
    """A stop of what the start began; the node is reset only where it was told to boot."""
    members = context.members(_assignments(plan, "start"))
    cancel = [Step(0, CONTROLLER, NODE, "cancel", {"resource": member.resource.name}) for member in members]
    steps = stop.steps(context, members, force=True)
    if not _attempted(plan, ("order", "reset")):
        steps = [step for step in steps if not stop.touches_node(step)]
    created = frozenset(str(item["image"]) for item in _rows(plan, "start") if item.get("created"))
    return [*cancel, *steps, *stop.clone_steps(context, members, created)]


def _close_start(context: Context, plan: Plan, undone: bool) -> None:
    names = _appliances(plan)
    if not undone:
        context.tx.set_state("appliance", names, "failed")
        context.tx.set_state("resource", _resources(plan, "start"), "error")
        return
    rows = _rows(plan, "start")
    _release(context, _assignments(plan, "start"))
    _free(context, _resources(plan, "start"))
    context.tx.set_state("appliance", names, "stopped")
    created = context.tx.images([str(row["image"]) for row in rows if row.get("created")])
    context.tx.remove("image", [image.name for image in created])
    context.tx.remove("volume", [f"{image.storage}/{image.volume}" for image in created])


def _undo_stop(_context: Context, _plan: Plan) -> Sequence[Step]:
    """A stop is not taken back: half a stop is finished by running it again."""
    return ()


def _close_stop(context: Context, plan: Plan, _undone: bool) -> None:
    context.tx.set_state("appliance", _appliances(plan), "failed")
    context.tx.set_state("resource", _resources(plan, "stop"), "error")


def _undo_move(context: Context, plan: Plan) -> Sequence[Step]:
    return _undo_start(context, plan)


def _close_move(context: Context, plan: Plan, undone: bool) -> None:
    old = context.tx.resources(_resources(plan, "stop"))
    context.tx.set_state("resource", [r.name for r in old if r.mode == "idle"], "idle")
    context.tx.set_state("resource", [r.name for r in old if r.mode != "idle"], "error")
    context.tx.set_state("appliance", _appliances(plan), "failed")
    if undone:
        _release(context, _assignments(plan, "start"))
        _free(context, _resources(plan, "start"))
        context.tx.set_state("appliance", _appliances(plan), "stopped")
    else:
        context.tx.set_state("resource", _resources(plan, "start"), "error")


NOT_TAKEN_BACK = "What was done stays done; run the stop again to finish it."
VERBS = (
    Verb("start", "appliance", _select_start, _draw_start, _commit_start, _undo_start, _close_start),
    Verb("stop", "appliance", _select_stop, _draw_stop, _commit_stop, _undo_stop, _close_stop, NOT_TAKEN_BACK),
    Verb(
        "move",
        "appliance",
        _select_move,
        _draw_move,
        _commit_move,
        _undo_move,
        _close_move,
        "The appliance is stopped.",
    ),
)
