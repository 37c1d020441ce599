"""Every verb of every family of fakes fails, and hangs, in the real playbooks: journalled in time, with a reason."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from openqrm.model import Operation, Plan
from openqrm.planning.operations import role_of, variable_of
from openqrm.runner import run_playbook

from tests.support.center import FakeCenter, make_center

VOLUME = {"name": "one", "location": "/srv/fake", "source": "golden", "size_mib": 10}
GRANT = {"volume": "one", "path": "/srv/fake/one", "client": {"name": "n", "address": "10.77.0.9"}, "epoch": 1}
VM = {"name": "vm1", "cores": 1, "memory_mib": 64, "macs": []}
POWER = {"name": "node1", "mac": "52:54:00:00:00:01", "device": "pxe"}
# Verbs of each fake that do something to an item, with one.
VERBS: dict[str, tuple[tuple[str, ...], dict[str, object]]] = {
    "storage": (
        ("prepare", "volume_create", "volume_clone", "volume_snapshot", "volume_resize", "volume_remove"),
        VOLUME,
    ),
    "deployment": (("authorize", "revoke"), GRANT),
    "hypervisor": (("vm_create", "vm_start", "vm_stop", "vm_reboot", "vm_remove"), VM),
    "power": (("on", "off", "reset", "boot_device"), POWER),
}
# What must be there for the verbs to get as far as their fault.
OBJECTS = {
    "storage": {f"/srv/fake/{name}": {"kind": "volume", "size_mib": 0} for name in ("golden", "one")},
    "hypervisor": {"vm1": {"state": "stopped"}},
}


@pytest.fixture
def center(tmp_path: Path) -> Iterator[FakeCenter]:
    made = make_center(tmp_path)
    path = tmp_path / "openqrm.yml"
    settings = yaml.safe_load(path.read_text())
    settings["deadlines"] |= {"operation_s": 2}
    path.write_text(yaml.safe_dump(settings))
    yield replace(made, config=replace(made.config, deadlines=replace(made.config.deadlines, operation_s=2)))
    made.store.close()


def plan_of_all_verbs(center: FakeCenter) -> int:
    """A plan with one operation for each verb, all in one phase, so that none holds up another."""
    (center.root / "fake").mkdir(exist_ok=True)
    for family, objects in OBJECTS.items():
        state = {"objects": objects, "faults_shown": {}}
        (center.root / f"fake/{family}.san1.json").write_text(json.dumps(state))
    operations = []
    for family, (verbs, item) in VERBS.items():
        role = role_of(family, "fake")
        for verb in verbs:
            items = ({"location": "/srv/fake"},) if verb == "prepare" else (item,)
            variable = variable_of(role, verb) or f"{family}_vms"
            operations.append(Operation(len(operations) + 1, 1, "san1", role, verb, variable, items))
    with center.store.write("test", "plan") as tx:
        draft = tx.add_plan(Plan(0, "storage_prepare", "planned", "", tuple(operations)))
        tx.add_objects(draft.id, [{"kind": "storage", "name": "san1"}])
        tx.set_plan(draft.id, "applying")
    return draft.id


def run(center: FakeCenter, number: int) -> tuple[Plan, float]:
    """The plan after it was carried out, and the seconds that took."""
    begun = time.monotonic()
    result = run_playbook(center.config, "operation_resume", {"operation": number})
    assert not result.ok
    with center.store.read() as tx:
        return tx.plan(number), time.monotonic() - begun


@pytest.mark.parametrize("fault", ["fail", "hang"])
def test_every_verb_that_fails_or_hangs_is_journalled_with_its_reason(center: FakeCenter, fault: str) -> None:
    names = [verb for verbs, _ in VERBS.values() for verb in verbs]
    center.fault(*({"verb": verb, "fault": fault} for verb in names))
    number = plan_of_all_verbs(center)
    plan, seconds = run(center, number)
    assert plan.state == "failed"
    assert [(o.verb, o.state) for o in plan.operations] == [(verb, "failed") for verb in names]
    assert {o.attempts for o in plan.operations} == ({3} if fault == "fail" else {1})
    for operation in plan.operations:
        item = operation.items[0]
        named = (
            "Timed out after 2"
            if fault == "hang"
            else f"{operation.verb} of {item.get('name') or item.get('volume') or item['location']}"
        )
        assert named in operation.message, operation
    # Each verb has its deadline, and the run ends soon after the last one.
    assert seconds < 300 + 2 * len(names)  # on the busiest machine; without deadlines it would be hours


@pytest.mark.parametrize("verb", ["volume_clone", "authorize", "reset"])
def test_a_start_whose_verb_hangs_is_undone_in_time(center: FakeCenter, verb: str) -> None:
    center.add_nodes(1)
    center.add_appliances(["web01"])
    center.fault({"verb": verb, "fault": "hang", "times": 1})
    begun = time.monotonic()
    result = center.run("appliance_start", appliances="web01")
    assert time.monotonic() - begun < 60
    assert not result.ok
    assert f"{verb}: " in result.errors[-1]
    assert "Timed out after 2" in result.errors[-1]
    assert "What it had done was undone" in result.errors[-1]
    with center.store.read() as tx:
        assert (tx.appliance("web01").state, tx.resource("node00001").state) == ("stopped", "idle")
        assert tx.assignments() == []
        assert [image.name for image in tx.images()] == ["golden-san1"]
