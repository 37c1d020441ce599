"""Old history goes, what is open or in use stays."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from openqrm.store import Store, schema
from openqrm.store.engine import connect, parse_url, transaction
from openqrm.store.pruning import prune

from tests.unit.store import samples

NOW = datetime.now(UTC)
STATES = ("planned", "applying", "done", "failed", "undone", "cancelled")


@pytest.fixture
def aged(url: str, filled: Store) -> Store:
    """A store with a plan in each state and one of a member, an ended and an open order, an event: all a year old."""
    with filled.write("tester", "history") as tx:
        for state in STATES:
            number = tx.add_plan(samples.plan(samples.operation(1))).id
            tx.set_plan(number, state)
        tx.assign([("web01", 0, "node00", "web01-0", 5)])
        tx.set_order(tx.give_orders([("node00", "reboot", 0, "")])[0], "done")
        tx.give_orders([("node01", "reboot", 0, "")])
        tx.add_event("info", "old")
    engine = connect(parse_url(url), 5)
    with transaction(engine, write=True) as connection:
        for column in (schema.events.c.time, schema.audit.c.time, schema.orders.c.created, schema.plans.c.created):
            connection.execute(sa.update(column.table).values({column: NOW - timedelta(days=365)}))
    engine.dispose()
    with filled.write("tester", "today") as tx:
        tx.add_event("info", "new")
        tx.set_plan(tx.add_plan(samples.plan(samples.operation(1))).id, "done")
    return filled


def left(store: Store) -> tuple[list[str], list[str], list[str], int]:
    with store.read() as tx:
        plans = [f"{plan.state}{plan.id}" for plan in tx.plans()][::-1]
        assert all(plan.operations and plan.objects for plan in tx.plans())
        orders = [order.state for order in tx.orders(states=None)]
        return plans, orders, [event.message for event in tx.events()], len(tx.audit(limit=1000))


def test_history_goes_and_what_is_open_stays(url: str, aged: Store) -> None:
    before = left(aged)
    counts = prune(url, NOW - timedelta(days=30), actor="alice", check=True)
    assert left(aged) == before, "check only counts"
    assert counts | {"audit": 0} == {"events": 1, "audit": 0, "orders": 1, "plans": 2}
    assert prune(url, NOW - timedelta(days=30), actor="alice") == counts
    plans, orders, events, rows = left(aged)
    assert plans == ["planned1", "applying2", "failed4", "undone5", "done7"], "5 is the plan of a current assignment"
    assert (orders, events) == (["pending"], ["new"])
    assert rows == before[3] - counts["audit"] + 1
    with aged.read() as tx:
        row = tx.audit("store")[-1]
    assert (row.actor, row.action, row.after["plans"]) == ("alice", "prune", 2)


def test_nothing_old_leaves_no_trace(url: str, aged: Store) -> None:
    before = left(aged)
    assert set(prune(url, NOW - timedelta(days=1000), actor="alice").values()) == {0}
    assert left(aged) == before
