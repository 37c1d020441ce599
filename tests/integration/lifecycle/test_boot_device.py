"""Before a machine is reset by its power driver, its boot device is set, where the driver can."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from openqrm.model import Plan

from tests.support.center import FakeCenter, make_center


@pytest.fixture
def center(tmp_path: Path) -> Iterator[FakeCenter]:
    made = make_center(tmp_path)
    yield made
    made.store.close()


def machine(center: FakeCenter, name: str) -> dict[str, str]:
    """What the fake power driver holds of a machine."""
    path = center.root / "fake/power.localhost.json"
    found: dict[str, str] = json.loads(path.read_text())["objects"].get(name, {}) if path.exists() else {}
    return found


def power_steps(center: FakeCenter) -> list[tuple[str, str]]:
    """Verb and outcome of the power operations of the newest plan that is not of an image."""
    with center.store.read() as tx:
        plan: Plan = next(plan for plan in tx.plans() if plan.verb != "image_create")
    return [(item.verb, item.state) for item in plan.operations if ".power_" in item.role]


def test_a_reset_follows_the_boot_device(center: FakeCenter) -> None:
    (node,) = center.add_nodes(1)
    center.add_appliances(["web01"])
    assert center.run("appliance_start", appliances="web01").errors == ()
    assert power_steps(center) == [("boot_device", "done"), ("reset", "done")]
    assert machine(center, node) == {"power": "on", "device": "pxe"}


def test_a_machine_whose_boot_device_cannot_be_set_is_not_reset(center: FakeCenter) -> None:
    (node,) = center.add_nodes(1)
    center.add_appliances(["web01"])
    center.fault({"verb": "boot_device", "fault": "fail", "times": 3})
    result = center.run("appliance_start", appliances="web01")
    assert not result.ok
    assert "boot_device" in result.errors[-1] and "undone" in result.errors[-1]
    assert power_steps(center)[:2] == [("boot_device", "failed"), ("reset", "pending")]
    with center.store.read() as tx:
        assert (tx.appliance("web01").state, tx.resource(node).state) == ("stopped", "idle")
    center.fault()
    assert center.run("appliance_start", appliances="web01").errors == ()
