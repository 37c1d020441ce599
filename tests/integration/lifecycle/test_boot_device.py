"""Before a machine is reset by its power driver, its boot device is set, where the driver can."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
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


# Machines that cannot boot from the network


OTHER = "https://images.example.com/ipxe.iso"


def media_center(center: FakeCenter) -> None:
    """Give two machines Redfish, and a medium: the boot server's iPXE, and an image that is elsewhere."""
    names = center.add_nodes(3)
    with center.store.write("test", "media") as tx:
        for name, media in zip(names, ("ipxe", OTHER), strict=False):
            power = {"address": "bmc.example.com", "media": media}
            tx.save([replace(tx.resource(name), power_driver="redfish", power=power)])


def steps_of(center: FakeCenter, verb: str, **arguments: object) -> list[tuple[str, str, object, object]]:
    """Resource, verb, device and medium of the power operations of a plan, in their order."""
    plan_id = center.prepare(verb, owner="", **arguments).plan
    with center.store.read() as tx:
        rows = [row for row in tx.plan(plan_id).operations if ".power_" in row.role]
    return [(str(i["name"]), row.verb, i.get("device"), i.get("media")) for row in rows for i in row.items]


def test_a_reset_of_a_machine_with_a_medium_follows_its_insertion(center: FakeCenter) -> None:
    media_center(center)
    center.add_appliances(["web01"])
    url = f"{center.config.boot.url}/ipxe/ipxe.iso"
    found = steps_of(center, "start", appliances=["web01"], to="node00001", boot="reset")
    assert found == [("node00001", "boot_device", "cd", url), ("node00001", "reset", None, url)]


@pytest.mark.parametrize("verb", ["on", "reset", "off", "status"])
def test_power_on_inserts_the_medium_of_those_that_have_one(center: FakeCenter, verb: str) -> None:
    media_center(center)
    names = ["node00001", "node00002", "node00003"]
    media = [f"{center.config.boot.url}/ipxe/ipxe.iso", OTHER, None]
    inserted = [(name, "boot_device", "cd", url) for name, url in zip(names, media, strict=True) if url]
    switched = [(name, verb, None, url) for name, url in zip(names, media, strict=True)]
    found = steps_of(center, "resource_power", resources=names, power=verb)
    first = len(inserted) if verb in ("on", "reset") else 0
    assert found[:first] == inserted[:first]
    assert sorted(found[first:]) == switched
