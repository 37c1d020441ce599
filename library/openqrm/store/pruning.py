"""Taking old history out of a store: what happened long ago and is over."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import sqlalchemy as sa

from openqrm.store import engine as engines
from openqrm.store import schema

# A failed plan stays: what it left may still have to be cleared up.
ENDED_PLANS = ("done", "undone", "cancelled")
ENDED_ORDERS = ("done", "failed", "superseded")


def _old(before: datetime) -> Mapping[sa.Table, sa.ColumnElement[bool]]:
    """What goes, by table. The plan of a current assignment stays; operations and objects of a plan go with it."""
    events, audit, orders, plans = schema.events, schema.audit, schema.orders, schema.plans
    current = sa.select(schema.assignments.c.plan)
    return {
        events: events.c.time < before,
        audit: audit.c.time < before,
        orders: sa.and_(orders.c.created < before, orders.c.state.in_(ENDED_ORDERS)),
        plans: sa.and_(plans.c.created < before, plans.c.state.in_(ENDED_PLANS), plans.c.id.not_in(current)),
    }


def prune(url: str, before: datetime, *, actor: str, check: bool = False, timeout_s: float = 30) -> dict[str, int]:
    """Removes events, audit rows, and orders and plans that ended, all of before then; their numbers by table.

    One transaction, with a row in the audit log if anything goes. `check` only counts. Raises: StoreError.
    """
    engine = engines.connect(engines.parse_url(url), timeout_s)
    try:
        engines.check_revision(engine)
        with engines.transaction(engine, write=not check) as connection:
            counts = {table.name: _count(connection, table, old) for table, old in _old(before).items()}
            if any(counts.values()) and not check:
                for table, old in _old(before).items():
                    connection.execute(sa.delete(table).where(old))
                _record(connection, actor, before, counts)
    finally:
        engine.dispose()
    return counts


def _count(connection: sa.Connection, table: sa.Table, old: sa.ColumnElement[bool]) -> int:
    return int(connection.execute(sa.select(sa.func.count()).select_from(table).where(old)).scalar_one())


def _record(connection: sa.Connection, actor: str, before: datetime, counts: Mapping[str, int]) -> None:
    after = {"before": before.isoformat(), **counts}
    change = {"actor": actor, "reason": "prune", "action": "prune", "kind": "store", "name": "", "before": {}}
    connection.execute(sa.insert(schema.audit).values(time=datetime.now(UTC), after=after, **change))
