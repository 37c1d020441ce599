"""Commands that want the same storage server at once: the limit holds, waiting is told, and ends."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from openqrm.planning import turns
from openqrm.planning.owner import owner_of
from openqrm.runner import run_playbook

from tests.support.center import FakeCenter, make_center
from tests.support.killing import begun, kill_when, openqrm


@pytest.fixture
def center(tmp_path: Path) -> Iterator[FakeCenter]:
    made = make_center(tmp_path)
    made.add_appliances(["web01"])
    with made.store.write("test", "limit") as tx:
        tx.save([replace(tx.storage("san1"), parameters={"concurrent_operations": 1})])
    yield made
    made.store.close()


def volume(name: str) -> list[dict[str, str]]:
    """A volume to create."""
    return [{"name": name, "storage": "san1"}]


def hold(center: FakeCenter) -> int:
    """A plan of this process that has its turn on san1."""
    plan = center.prepare("volume_create", owner=owner_of(), volumes=volume("held")).plan
    with center.store.write("test", "turn") as tx:
        assert turns.take(tx, center.config, plan, tx.plan(plan).operations[0].seq) == ("", "")
    return plan


def end(center: FakeCenter, plan: int) -> None:
    with center.store.write("test", "end") as tx:
        tx.set_plan(plan, "cancelled")


def waits(plan: int, other: int) -> str:
    return f"plan {plan} waits for storage san1: 1 of 1 operations run (plans {other})"


def test_a_plan_that_waits_says_so_and_goes_on(center: FakeCenter) -> None:
    held = hold(center)
    told: list[str] = []

    def tell(event: dict[str, str]) -> None:
        if event["kind"] == "wait":
            told.append(event["name"])
            threading.Timer(1.5, end, (center, held)).start()

    result = run_playbook(center.config, "volume_create", {"volumes": volume("late")}, on_event=tell)  # type: ignore[arg-type]
    assert result.errors == ()
    plan = result.stats["openqrm"]["plan"]
    assert told == [waits(plan, held)]
    with center.store.read() as tx:
        events = [event for event in tx.events(kind="storage", name="san1") if "waits" in event.message]
        assert [event.data for event in events] == [{"plan": plan, "operation": 1}]
        assert [volume.name for volume in tx.volumes("san1")] == ["golden-san1", "late"]


def test_ansible_playbook_alone_waits_too_and_says_so(center: FakeCenter) -> None:
    held = hold(center)
    timer = threading.Timer(15, end, (center, held))
    timer.start()
    done = center.ansible_playbook("volume_create", volumes=volume("late"))
    timer.join()
    assert done.returncode == 0, done.stdout
    assert waits(held + 1, held) in done.stdout


def test_a_turn_that_does_not_come_fails_the_plan_with_its_reason(center: FakeCenter) -> None:
    path = center.root / "openqrm.yml"
    settings = yaml.safe_load(path.read_text())
    settings["deadlines"]["turn_s"] = 2
    path.write_text(yaml.safe_dump(settings))
    config = replace(center.config, deadlines=replace(center.config.deadlines, turn_s=2))
    held = hold(center)
    result = run_playbook(config, "volume_create", {"volumes": volume("late")})
    assert not result.ok
    assert f"waits for storage san1: 1 of 1 operations run (plans {held})" in result.errors[-1]
    assert "deadlines.turn_s" in result.errors[-1]
    end(center, held)
    stored = json.loads((center.root / "fake/storage.san1.json").read_text())["objects"]
    assert "/srv/fake/late" not in stored
    with center.store.read() as tx:
        assert tx.plans(["planned", "applying"]) == []
    assert center.run("volume_create", volumes=volume("late")).errors == ()


def test_a_command_that_was_killed_in_its_turn_holds_up_nobody(center: FakeCenter) -> None:
    center.fault({"verb": "volume_create", "item": "killed", "fault": "hang"})
    process = openqrm(
        center.root / "openqrm.yml", "image", "create", "killed", "--storage", "san1", "--deployment", "fake"
    )
    kill_when(process, begun(center.store, "image_create", "volume_create"), timeout_s=120)
    center.fault()
    assert center.run("volume_create", volumes=volume("next")).errors == ()
    with center.store.read() as tx:
        assert [event for event in tx.events(kind="storage", name="san1") if "waits" in event.message] == []
