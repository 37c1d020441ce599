"""The members of appliances in a plan's objects: as rows, as assignments, and what becomes of their resources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from datetime import UTC, datetime, timedelta

from openqrm.model import Assignment, Plan
from openqrm.planning.context import Context, Member

Row = Mapping[str, object]


def member_rows(members: Sequence[Member], verb: str, created: Set[str], more: Row | None = None) -> list[Row]:
    """What the plan keeps of each member, and what `more` says: `created`, whether its image came into being with it;
    `was`, what state its resource had; `verb`, whether it arrives (start) or leaves (stop)."""
    rows: list[Row] = []
    for member in members:
        rows.append({"kind": "resource", "name": member.resource.name})
        rows.append(
            {
                "kind": "member",
                "name": member.appliance.name,
                "member": member.assignment.member,
                "resource": member.resource.name,
                "was": member.resource.state,
                "image": member.image.name,
                "epoch": member.assignment.epoch,
                "created": member.image.name in created,
                "verb": verb,
                "why": _why(member),
                **(more or {}),
            }
        )
    return rows


def _why(member: Member) -> str:
    need = member.appliance.requirements
    has = member.resource
    return (
        f"{has.cores} of {need.cores} cores, {has.memory_mib} of {need.memory_mib} MiB, "
        f"{len(has.nics)} of {need.nics} NICs, {has.type} {has.arch}"
    )


def rows_of(plan: Plan, verb: str) -> list[Row]:
    """The rows of the members that arrive (start) or leave (stop)."""
    return [item for item in plan.objects if item.get("kind") == "member" and item.get("verb") == verb]


def appliances_of(plan: Plan) -> list[str]:
    """The names of the plan's appliances."""
    return [str(item["name"]) for item in plan.objects if item.get("kind") == "appliance"]


def resources_of(plan: Plan, verb: str) -> list[str]:
    """The names of the resources of those rows."""
    return [str(item["resource"]) for item in rows_of(plan, verb)]


def assignment(row: Row, plan_id: int) -> Assignment:
    """The row as an assignment, also after it was released."""
    return Assignment(
        0,
        str(row["name"]),
        int(str(row["member"])),
        str(row["resource"]),
        str(row["image"]),
        int(str(row["epoch"])),
        plan_id,
    )


def assignments_of(plan: Plan, verb: str) -> list[Assignment]:
    """Those rows as assignments."""
    return [assignment(row, plan.id) for row in rows_of(plan, verb)]


def current(context: Context, plan: Plan) -> list[Member]:
    """The members of the plan's appliances that this plan assigned and that are assigned now."""
    rows = context.tx.assignments(appliances=appliances_of(plan))
    return context.members([row for row in rows if row.plan == plan.id])


def deadline(context: Context) -> datetime:
    """By when what begins now is over, one way or the other."""
    deadlines = context.config.deadlines
    return datetime.now(UTC) + timedelta(seconds=2 * (deadlines.node_up_s + deadlines.node_down_s))


def release(context: Context, assignments: Sequence[Assignment]) -> None:
    """Ends the assignments, by appliance."""
    members: dict[str, list[int]] = {}
    for row in assignments:
        members.setdefault(row.appliance, []).append(row.member)
    for appliance, numbers in members.items():
        context.tx.release(appliance, numbers)


def free(context: Context, names: Sequence[str]) -> None:
    """Resources that left their service: idle where they report so, else off the pool until they do."""
    rows = [row for row in context.tx.resources(list(names)) if row.state != "quarantined"]
    context.tx.set_state("resource", [r.name for r in rows if r.mode in ("idle", "")], "idle")
    context.tx.set_state("resource", [r.name for r in rows if r.mode not in ("idle", "")], "error")
