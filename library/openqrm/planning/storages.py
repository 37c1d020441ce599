"""Preparation of storage servers as a plan: programs, services and locations, once per server instead of per volume."""

from __future__ import annotations

from collections.abc import Sequence

from openqrm.model import Plan
from openqrm.names import check_name
from openqrm.planning.context import Context
from openqrm.planning.operations import Step
from openqrm.planning.verbs import Arguments, Drawing, Selection, Verb, names_of

PREPARE = 10


def _select(context: Context, arguments: Arguments) -> Selection:
    return Selection(
        tuple(context.tx.storage(check_name("Storage", name)).name for name in names_of(arguments, "storages"))
    )


def _draw(context: Context, names: Sequence[str], _arguments: Arguments, _plan_id: int) -> Drawing:
    chosen = [context.storages[name] for name in names]
    steps = [
        Step(PREPARE, s.host, context.types.get("storage", s.type).role, "prepare", {"location": s.location})
        for s in chosen
    ]
    return Drawing(steps, tuple({"kind": "storage", "name": name} for name in names))


def _commit(_context: Context, _plan: Plan) -> None:
    """There is nothing to record: the storages were recorded before."""


def _close(_context: Context, _plan: Plan, _undone: bool) -> None:
    """There is nothing to record."""


VERBS = (
    Verb("storage_prepare", "storage", _select, _draw, _commit, None, _close, "Run the command again to finish it."),
)
