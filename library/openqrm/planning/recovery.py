"""What happens to a start, stop or move that failed: taken back, tried on another resource, returned, given up."""

from __future__ import annotations

from collections.abc import Sequence

from openqrm.errors import NoResourceError
from openqrm.model import Plan
from openqrm.planning import nodes, private, quarantine, rounds, start, stop
from openqrm.planning.context import CONTROLLER, Context, Member
from openqrm.planning.members import (
    Row,
    appliances_of,
    assignment,
    assignments_of,
    current,
    free,
    member_rows,
    release,
    resources_of,
    rows_of,
)
from openqrm.planning.operations import NODE, Step
from openqrm.planning.rounds import ALL, FAILURE, concerns, member_of, round_of, takes_back
from openqrm.planning.verbs import Drawing, Onward, Trouble

# How many resources a member is tried on before its start is given up.
TRIES = 3
# How many plans back a failed one is looked for.
LOOK_BACK = 200
UP = "wait_up"


def undo_start(context: Context, plan: Plan, trouble: Trouble) -> Sequence[Step]:
    """Takes back members that another resource may serve; where there is none to try, all members of the appliance."""
    members = current(context, plan)
    again = _to_replace(context, plan, members, trouble)
    return _take_back(context, plan, again) if again else _take_all_back(context, plan, members)


def _take_all_back(context: Context, plan: Plan, members: Sequence[Member]) -> list[Step]:
    removals = [
        *stop.clone_steps(context, members, _created(plan)),
        *private.remove_steps(stop.REMOVE, context, members),
    ]
    return [*_take_back(context, plan, members), *removals]


def _created(plan: Plan) -> frozenset[str]:
    return frozenset(str(item["image"]) for item in rows_of(plan, "start") if item.get("created"))


def _to_replace(context: Context, plan: Plan, members: Sequence[Member], trouble: Trouble) -> list[Member]:
    """The members to try elsewhere: all that failed did so because their machine did not come up, and may be tried."""
    failed = [member for member in members if concerns(trouble, member.name)]
    tried = {(row["name"], row["member"]): row for row in rows_of(plan, "start")}
    rows = [tried[member.appliance.name, member.assignment.member] for member in failed]
    if ALL in trouble or any(row.get("pinned") or int(str(row.get("try", 1))) >= TRIES for row in rows):
        return []
    return failed if len(_silent(context, plan, failed)) == len(failed) else []


def _silent(context: Context, plan: Plan, members: Sequence[Member]) -> set[str]:
    """The members whose machine was awaited in vain and is to blame: it neither came up nor said why it could not."""
    late = {(row["name"], row["resource"]) for row in plan.objects if row.get("kind") == FAILURE and row["verb"] == UP}
    awaited = {(member.resource.name, member.assignment.epoch): member for member in members}
    items = {
        str(item["resource"]): item
        for operation in plan.operations
        for item in operation.items
        if operation.verb == UP and (item["resource"], item["epoch"]) in awaited
    }
    told = nodes.failed_orders(context.tx, items)
    return {
        member.name
        for (resource, _), member in awaited.items()
        if (member.name, resource) in late and resource not in told and not quarantine.came_up(member)
    }


def _touched(plan: Plan) -> set[str]:
    """The machines that the plan told something, in any round: an order or a reset was handed out for them."""
    found: set[str] = set()
    for operation in plan.operations:
        if operation.attempts and operation.verb in ("order", "reset"):
            number = round_of(operation)
            failed = {} if takes_back(number) else rounds.trouble(plan, number, before=operation.phase)
            told = [item for item in operation.items if not concerns(failed, member_of(item))]
            found |= {str(item.get("resource") or item.get("name")) for item in told}
    return found


def _take_back(context: Context, plan: Plan, members: Sequence[Member]) -> list[Step]:
    """A stop of what was begun: machines that did not come up are fenced, those told nothing are left alone."""
    touched, silent = _touched(plan), _silent(context, plan, members)
    result: list[Step] = []
    for member in members:
        result.append(Step(0, CONTROLLER, NODE, "cancel", {"resource": member.resource.name}, member=member.name))
        if member.name in silent:
            result += stop.fence_steps(context, [member])
        else:
            steps = stop.steps(context, [member], force=True)
            told = member.resource.name in touched
            result += [step for step in steps if told or not stop.touches_node(step)]
    return result


def again_start(context: Context, plan: Plan, trouble: Trouble, left: Trouble) -> Onward | None:
    """The next fitting resource for members whose machine did not come up; else the rest of the appliance goes too."""
    if left:
        return None
    members = current(context, plan)
    gone = [member for member in members if member.name in _taken_back(plan)]
    again = _to_replace(context, plan, gone, trouble)
    _leave(context, plan, gone, trouble)
    if again:
        try:
            chosen = start.reserve_again(context, again, plan.id)
        except NoResourceError:
            chosen = []
        if chosen:
            return Onward(Drawing(start.steps(context, chosen), _rows_again(plan, chosen)), forward=True)
    rest = [member for member in members if member not in gone]
    steps = [*_take_all_back(context, plan, rest), *_unremoved(context, plan, gone)]
    return Onward(Drawing(steps, ()), forward=False) if steps else None


def _unremoved(context: Context, plan: Plan, members: Sequence[Member]) -> list[Step]:
    """The removal of clones that were kept for another try which there will not be."""
    removed = {item["name"] for o in plan.operations if o.verb == "volume_remove" for item in o.items}
    steps = [*stop.clone_steps(context, members, _created(plan)), *private.remove_steps(stop.REMOVE, context, members)]
    return [step for step in steps if step.item["name"] not in removed]


def _taken_back(plan: Plan) -> set[str]:
    """The members that the plan's last round took back."""
    return {member_of(item) for o in rounds.of_round(plan, rounds.current(plan)) for item in o.items}


def _rows_again(plan: Plan, chosen: Sequence[Member]) -> tuple[Row, ...]:
    last = {(row["name"], row["member"]): row for row in rows_of(plan, "start")}
    rows: list[Row] = []
    for member in chosen:
        row = last[member.appliance.name, member.assignment.member]
        created = frozenset([member.image.name]) if row.get("created") else frozenset()
        rows += member_rows([member], "start", created, {"try": int(str(row.get("try", 1))) + 1})
    return tuple(rows)


def _leave(context: Context, plan: Plan, members: Sequence[Member], trouble: Trouble) -> None:
    """Ends the assignments of members that were taken back; a machine that did not come up is quarantined."""
    release(context, [member.assignment for member in members])
    silent = _silent(context, plan, members)
    for member in members:
        if member.name in silent:
            quarantine.put(context, member, trouble.get(member.name) or trouble.get(ALL, ""))
        else:
            free(context, [member.resource.name])


def close_start(context: Context, plan: Plan, undone: bool) -> None:
    """The appliance is stopped again, or failed where something could not be taken back."""
    if not undone:
        _give_up(context, plan, [member.resource.name for member in current(context, plan)])
        return
    members = current(context, plan)
    release(context, [member.assignment for member in members])
    free(context, [member.resource.name for member in members])
    context.tx.set_state("appliance", appliances_of(plan), "stopped")
    remove_created(context, plan, rows_of(plan, "start"))


def remove_created(context: Context, plan: Plan, rows: Sequence[Row]) -> None:
    """Forgets images, with their volumes, and private volumes that came into being with these members."""
    private.forget(context, context.members([assignment(row, plan.id) for row in rows]))
    created = context.tx.images([str(row["image"]) for row in rows if row.get("created")])
    context.tx.remove("image", [image.name for image in created])
    context.tx.remove("volume", [f"{image.storage}/{image.volume}" for image in created])


def _give_up(context: Context, plan: Plan, resources: Sequence[str]) -> None:
    context.tx.set_state("appliance", appliances_of(plan), "failed")
    context.tx.set_state("resource", resources, "error")


def withdraw_start(context: Context, plan: Plan) -> bool:
    """Nothing was begun: the resources are free again and the clones forgotten."""
    close_start(context, plan, True)
    return True


def close_stop(context: Context, plan: Plan, _undone: bool) -> None:
    """The appliance has failed, and its resources too, until a stop succeeds."""
    _give_up(context, plan, resources_of(plan, "stop"))


def withdraw_stop(context: Context, plan: Plan) -> bool:
    """Nothing was begun: the appliances run as before. One that was not active cannot be as before."""
    was = {str(row["name"]): row.get("was") for row in plan.objects if row.get("kind") == "appliance"}
    if set(was.values()) != {"active"} or any(row.get("was") != "active" for row in rows_of(plan, "stop")):
        return False
    context.tx.set_state("resource", resources_of(plan, "stop"), "active")
    context.tx.set_state("appliance", list(was), "active")
    return True


def held_over(context: Context, appliances: Sequence[str]) -> list[Member]:
    """Members on machines that a failed move or stop did not come to leave, although they are assigned no more."""
    wanted, found = set(appliances), []
    for plan in context.tx.plans(limit=LOOK_BACK) if wanted else ():
        named = wanted & set(appliances_of(plan)) if plan.state != "cancelled" else set()
        wanted -= named
        if plan.state == "failed":
            found += [row for row in assignments_of(plan, "stop") if row.appliance in named]
    bound = {(row.appliance, row.resource) for row in context.tx.assignments(appliances=appliances)}
    return context.members([row for row in found if (row.appliance, row.resource) not in bound])


def leave_held(context: Context, members: Sequence[Member]) -> list[Step]:
    """Their stop; where the machine is in the pool again, as it idles, only its grant is left to be revoked."""
    steps: list[Step] = []
    for member in members:
        left = member.resource.state in ("error", "unknown", "stopping")
        steps += [s for s in stop.steps(context, [member]) if left or s.verb == "revoke"]
    return steps


def undo_move(context: Context, plan: Plan, _trouble: Trouble) -> Sequence[Step]:
    """Takes the new resources back, so that the appliance can return to the old ones."""
    return _take_back(context, plan, current(context, plan))


def again_move(context: Context, plan: Plan, trouble: Trouble, left: Trouble) -> Onward | None:
    """Back to the old resources, once, where the new ones were left completely."""
    if left:
        return None
    _leave(context, plan, current(context, plan), trouble)
    if any(row.get("back") for row in rows_of(plan, "start")):
        return None
    members = _assign_back(context, plan)
    try:
        steps = start.steps(context, members)
    except NoResourceError:
        return None
    return Onward(Drawing(steps, tuple(member_rows(members, "start", frozenset(), {"back": True}))), forward=True)


def _assign_back(context: Context, plan: Plan) -> list[Member]:
    """The members on their old resources: in their old epoch where the machine was told nothing and runs on."""
    rows = rows_of(plan, "stop")
    old = context.members(assignments_of(plan, "stop"))
    touched = _touched(plan)
    kept = {
        (member.appliance.name, member.assignment.member): member.assignment.epoch
        for member in old
        if member.resource.name not in touched
    }
    bound = [assignment(row, plan.id) for row in rows]
    made = context.tx.assign(
        [(row.appliance, row.member, row.resource, row.image, plan.id) for row in bound], epochs=kept
    )
    return context.members(made)


def commit_return(context: Context, plan: Plan) -> None:
    """The appliances run on their old resources again."""
    context.tx.set_state("resource", resources_of(plan, "start"), "active")
    context.tx.set_state("appliance", appliances_of(plan), "active")
    for row in rows_of(plan, "start"):
        text = f"The move failed; member {row['member']} runs on {row['resource']} again."
        context.tx.add_event("warning", text, kind="appliance", name=str(row["name"]), data={"plan": plan.id})


def close_move(context: Context, plan: Plan, undone: bool) -> None:
    """Stopped where everything was left; failed where a resource may be in use: a stop then proves that it is not."""
    bound = [member.resource.name for member in current(context, plan)]
    held = {*bound, *(_not_left(context, plan) if not undone else ())}
    if held:
        _give_up(context, plan, sorted(held))
        return
    context.tx.set_state("appliance", appliances_of(plan), "failed")
    context.tx.set_state("appliance", appliances_of(plan), "stopped")


def _not_left(context: Context, plan: Plan) -> list[str]:
    return [row.name for row in context.tx.resources(resources_of(plan, "stop")) if row.state == "stopping"]


def withdraw_move(context: Context, plan: Plan) -> bool:
    """Nothing was begun: the appliances are on their old resources, in their old epochs."""
    members = current(context, plan)
    release(context, [member.assignment for member in members])
    free(context, [member.resource.name for member in members])
    for member in _assign_back(context, plan):
        context.tx.set_state("resource", [member.resource.name], "active")
    context.tx.set_state("appliance", appliances_of(plan), "active")
    return True
