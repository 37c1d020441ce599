"""`--check --diff` lists what apply then does, operation by operation and item by item, and changes nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from openqrm.planning.changes import describe
from openqrm.runner import run_playbook

from tests.support.center import FakeCenter, make_center


@pytest.fixture
def center(tmp_path: Path) -> Iterator[FakeCenter]:
    made = make_center(tmp_path)
    made.add_nodes(4)
    made.add_appliances(["web01", "web02"], storages=2)
    yield made
    made.store.close()


def everything(center: FakeCenter) -> dict[str, object]:
    """Every row of the store, and every file of the fakes and the boot tree."""
    with sqlite3.connect(center.root / "openqrm.db") as database:
        names = [row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows: dict[str, object] = {name: database.execute(f'SELECT * FROM "{name}"').fetchall() for name in names}  # noqa: S608
    database.close()
    places = (center.root / "fake", center.root / "boot")
    files = [path for place in places for path in place.rglob("*") if path.is_file()]
    return rows | {str(path): path.read_bytes() for path in files}


@pytest.mark.parametrize("verb", ["start", "stop", "move"])
def test_check_lists_exactly_what_apply_does(center: FakeCenter, verb: str) -> None:
    names = ["web01", "web02"]
    if verb != "start":
        assert center.run("appliance_start", appliances=names).errors == ()
    before = everything(center)
    checked = center.run(f"appliance_{verb}", check=True, appliances=names)
    assert checked.ok
    assert everything(center) == before
    applied = center.run(f"appliance_{verb}", appliances=names)
    assert applied.errors == ()
    with center.store.read() as tx:
        plan = tx.plans(limit=1)[0]
    assert list(checked.diff) == describe(plan)
    assert (plan.verb, plan.state) == (verb, "done")
    assert [o.seq for o in plan.operations if o.state != "done" or not o.attempts] == []
    assert everything(center) != before


def test_a_stale_plan_is_refused_by_the_playbook(center: FakeCenter) -> None:
    prepared = center.prepare("start", appliances=["web01"], owner="")
    with center.store.write("test", "off") as tx:
        tx.set_state("resource", ["node00001"], "off")
    variables = {"openqrm_plans": {"start": prepared.plan}}
    result = run_playbook(center.config, "appliance_start", variables, plan=prepared.plan)
    assert result.exit_code == 9
    assert "is stale: since it was made, resource node00001 (off, it was reserved) changed" in result.errors[0]
    with center.store.read() as tx:
        assert tx.appliance("web01").state == "stopped"
        assert tx.assignments() == []
