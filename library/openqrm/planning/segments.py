"""A plan as the plays apply it, and as a person reads it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from openqrm.boot.manifest import sha256
from openqrm.model import Operation, Plan
from openqrm.planning.operations import NODE
from openqrm.planning.rounds import FOR, NOTES

# Keys of items that say nothing to a person.
UNSHOWN = ("root", "unless", FOR)


@dataclass(frozen=True)
class Prepared:
    """A plan to apply. `plan` 0: there is nothing to do. `unchanged`: object -> why it is left.

    `segments`: what the plays do, in order: `hosts`, and `calls` that all of these hosts carry out, at the same time:
    `role`, `verb`, `tasks` (the file of playbooks/tasks), `result` (the fact that the role sets), `seqs` (host -> seq).
    `number`: the round that they are of.
    """

    plan: int
    segments: Sequence[Mapping[str, object]] = ()
    unchanged: Mapping[str, str] = field(default_factory=dict)
    lines: Sequence[str] = ()
    resumed: bool = False
    number: int = 0


def segments_of(operations: Sequence[Operation]) -> list[Mapping[str, object]]:
    """The operations that are still to be done: those of one phase that differ only in their host as one call, and
    calls that follow each other on the same hosts as one segment."""
    calls: dict[tuple[int, str, str], dict[str, int]] = {}
    for operation in operations:
        if operation.state == "pending":
            calls.setdefault((operation.phase, operation.role, operation.verb), {})[operation.host] = operation.seq
    segments: list[Mapping[str, object]] = []
    for hosts, group_ in itertools.groupby(calls.items(), key=lambda call: sorted(call[1])):
        rows = [_call(role, verb, seqs) for (_, role, verb), seqs in group_]
        segments.append({"hosts": hosts, "calls": rows})
    return segments


def _call(role: str, verb: str, seqs: Mapping[str, int]) -> dict[str, object]:
    tasks = "control" if role == NODE else "carry_out"
    return {
        "role": role,
        "verb": verb,
        "tasks": tasks,
        "result": f"{role.rpartition('.')[2]}_result",
        "seqs": dict(seqs),
    }


def describe(plan: Plan) -> list[str]:
    """The plan as lines: each member with its resource and why, then each operation with its items.

    A plan that has no operations is about the store alone: its objects, then.
    """
    lines = [f"plan {plan.verb}"]
    for item in plan.objects:
        if item.get("kind") == "member":
            lines.append(
                f"  {item['name']}/{item['member']} on {item['resource']} (epoch {item['epoch']}): {item['why']}"
            )
    if not plan.operations:
        lines += [f"  {item['kind']} {item['name']}" for item in plan.objects if item.get("kind") not in NOTES]
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
        elif key not in UNSHOWN:
            words.append(f"{key}={value if not isinstance(value, Mapping) else value.get('name', dict(value))}")
    return " ".join(words)
