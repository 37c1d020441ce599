"""The rounds of a plan: going forward and taking back, in turn; and which members of appliances failed in one.

Round 0 is what was planned, round 1 takes back what failed of it, round 2 tries that elsewhere, and so on: even rounds
go forward, odd ones take back. The phases of round n are those from n * ROUND on, so the journal says it all.
An item is for one member of an appliance (its key FOR), or for all that the plan is about.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from openqrm.model import Operation, Plan
from openqrm.store.schema import TURN

ROUND = 100
FOR = "for"
# The member that stands for everything a plan is about.
ALL = ""
# What the journal notes among a plan's objects: a member that failed although its operation went on; an appliance that
# is done with; one that is not any more; that it is the plan's turn on a host.
FAILURE, SETTLED, REOPENED = "failure", "settled", "reopened"
NOTES = (FAILURE, SETTLED, REOPENED, TURN)


def round_of(operation: Operation) -> int:
    """The number of the operation's round."""
    return operation.phase // ROUND


def takes_back(number: int) -> bool:
    """Whether a round of this number takes back."""
    return number % 2 == 1


def current(plan: Plan) -> int:
    """The round that the plan is in."""
    return max((round_of(operation) for operation in plan.operations), default=0)


def of_round(plan: Plan, number: int) -> list[Operation]:
    """The operations of one round."""
    return [operation for operation in plan.operations if round_of(operation) == number]


def member_of(item: Mapping[str, object]) -> str:
    """The member that the item is for, as `web01/0`; ALL."""
    return str(item.get(FOR, ALL))


def told(operation: Operation) -> str:
    """What became of an operation that is not done, in a line."""
    words = operation.message or f"not done: host {operation.host} is unreachable, or not in the inventory"
    return f"{operation.host}: {operation.role.rsplit('.', 1)[-1]} {operation.verb}: {words}"


def trouble(plan: Plan, number: int, *, before: int | None = None) -> dict[str, str]:
    """The members that failed in this round (in phases below `before`), each with why; ALL: everything did.

    An operation that was never begun because all of its members had failed already is no reason by itself.
    """
    found: dict[str, str] = {}
    for operation in of_round(plan, number):
        if before is not None and operation.phase >= before:
            continue
        for row in plan.objects:
            if row.get("kind") == FAILURE and row.get("seq") == operation.seq:
                found.setdefault(str(row["name"]), str(row["why"]))
        if operation.state == "done":
            continue
        members = {member_of(item) for item in operation.items}
        if operation.state == "pending" and members - {ALL} and members - {ALL} <= found.keys():
            continue
        for member in members or {ALL}:
            found.setdefault(member, told(operation))
    return found


def concerns(found: Collection[str], member: str) -> bool:
    """Whether trouble among `found` concerns this member."""
    return ALL in found or member in found


def settled(plan: Plan) -> dict[str, Mapping[str, object]]:
    """The appliances of the plan that are done with, committed or given up, with the note of it; ALL: the plan."""
    found: dict[str, Mapping[str, object]] = {}
    for row in plan.objects:
        if row.get("kind") == SETTLED:
            found[str(row["name"])] = row
        elif row.get("kind") == REOPENED:
            found.pop(str(row["name"]), None)
    return found


def part(plan: Plan, appliances: Collection[str] | None = None) -> Plan:
    """The plan as its verb sees it: with the last row of each member; of these appliances, else without notes."""
    rows: dict[tuple[object, ...], Mapping[str, object]] = {}
    for number, row in enumerate(plan.objects):
        kind, name = row.get("kind"), str(row.get("name"))
        if appliances is None and kind in NOTES:
            continue
        if appliances is not None and kind in ("appliance", "member") and name not in appliances:
            continue
        key = (kind, name, row["member"]) if kind == "member" and row["verb"] == "start" else (number,)
        rows[key] = row
    if appliances is None:
        return replace(plan, objects=tuple(rows.values()))
    operations = tuple(
        replace(o, items=tuple(i for i in o.items if member_of(i).partition("/")[0] in appliances))
        for o in plan.operations
    )
    return replace(plan, objects=tuple(rows.values()), operations=operations)


def names(plan: Plan, kind: str) -> list[str]:
    """The plan's objects of this kind, each once."""
    return list(dict.fromkeys(str(row["name"]) for row in plan.objects if row.get("kind") == kind))


def joined(texts: Sequence[str]) -> str:
    """The first few of the texts as one line."""
    more = f" (and {len(texts) - 3} more)" if len(texts) > 3 else ""
    return f"{'; '.join(texts[:3])}{more}"
