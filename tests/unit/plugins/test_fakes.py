"""Verbs of the fake types: what each does with one object, and what it refuses. tests/contracts runs them as roles."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.openqrm.datacenter.plugins.action import fake_deployment, fake_hypervisor, fake_power
from ansible_collections.openqrm.datacenter.plugins.plugin_utils.fake import FakeError

Record = dict[str, Any] | None
NODE, VM = {"name": "node1"}, {"name": "vm1", "cores": 2, "memory_mib": 512, "macs": ["52:54:00:00:00:01"]}
SIZES = {"cores": 2, "memory_mib": 512, "macs": ["52:54:00:00:00:01"]}

# verb, record before (None: there is none), further keys of the item, record after, whether something happens anyway
POWER: list[tuple[str, Record, dict[str, Any], Record, bool]] = [
    ("on", None, {}, {"power": "on"}, False),
    ("on", {"power": "on"}, {}, {"power": "on"}, False),
    ("off", {"power": "on", "device": "pxe"}, {}, {"power": "off", "device": "pxe"}, False),
    ("off", None, {}, {"power": "off"}, False),
    ("reset", {"power": "on"}, {}, {"power": "on"}, True),
    ("reset", None, {}, {"power": "on"}, True),
    ("boot_device", {"power": "on"}, {"device": "disk"}, {"power": "on", "device": "disk"}, False),
]
MACHINES: list[tuple[str, Record, dict[str, Any], Record, bool]] = [
    ("vm_create", None, SIZES, {"state": "stopped", **SIZES}, False),
    ("vm_create", {"state": "running", **SIZES}, {"cores": 4}, {"state": "running", **SIZES, "cores": 4}, False),
    ("vm_start", {"state": "stopped"}, {}, {"state": "running"}, False),
    ("vm_stop", {"state": "running"}, {}, {"state": "stopped"}, False),
    ("vm_reboot", {"state": "running"}, {}, {"state": "running"}, True),
    ("vm_remove", {"state": "running"}, {}, None, False),
    ("vm_remove", None, {}, None, False),
]


@pytest.mark.parametrize(("verb", "before", "more", "after", "touched"), POWER)
def test_power(verb: str, before: Record, more: dict[str, Any], after: Record, touched: bool) -> None:
    objects = {"node1": before} if before else {}
    step = fake_power.ActionModule.VERBS[verb](objects, NODE | more)
    assert (step.key, step.record, step.touched) == ("node1", after, touched)
    assert objects == ({"node1": before} if before else {}), "nothing is changed before all items were checked"


def test_power_of_machines_that_nothing_is_known_of_is_off() -> None:
    found = fake_power.list_power({"node1": {"power": "on"}}, [NODE, {"name": "node2"}])
    assert [(item["name"], item["power"], item["changed"]) for item in found] == [
        ("node1", "on", False),
        ("node2", "off", False),
    ]


@pytest.mark.parametrize("device", [None, "", "floppy"])
def test_a_boot_device_that_cannot_be_is_refused(device: str | None) -> None:
    with pytest.raises(FakeError, match="needs a device, pxe or disk"):
        fake_power.boot_device({}, NODE | {"device": device})


@pytest.mark.parametrize(("verb", "before", "more", "after", "touched"), MACHINES)
def test_machines(verb: str, before: Record, more: dict[str, Any], after: Record, touched: bool) -> None:
    objects = {"vm1": before} if before else {}
    step = fake_hypervisor.ActionModule.VERBS[verb](objects, {"name": "vm1"} | more)
    assert (step.key, step.record, step.touched) == ("vm1", after, touched)
    assert step.result == {"state": after["state"] if after else "absent"}


@pytest.mark.parametrize("verb", ["vm_start", "vm_stop", "vm_reboot"])
def test_a_machine_that_is_not_there_is_named(verb: str) -> None:
    with pytest.raises(FakeError, match=r"VM vm1 does not exist; known VMs: vm2\."):
        fake_hypervisor.ActionModule.VERBS[verb]({"vm2": {"state": "stopped"}}, VM)


@pytest.mark.parametrize("name", ["", "../x", "A", "a b", "-x"])
def test_a_name_that_cannot_be_is_refused(name: str) -> None:
    with pytest.raises(FakeError, match="VM"):
        fake_hypervisor.create({}, VM | {"name": name})


def test_grants_come_and_go() -> None:
    grant = {"name": "web", "volume": "web", "path": "/srv/web", "client": {"address": "10.78.0.1"}, "epoch": 3}
    given = fake_deployment.authorize({}, grant)
    assert (given.key, given.record) == ("/srv/web 10.78.0.1", {"read_only": False, "epoch": 3})
    objects = {given.key: given.record}
    (listed,) = fake_deployment.list_grants(objects, [])
    assert (listed["path"], listed["client"], listed["sessions"]) == ("/srv/web", {"address": "10.78.0.1"}, 0)
    taken = fake_deployment.revoke(objects, grant)
    assert (taken.key, taken.record, taken.result["sessions"]) == (given.key, None, 0)


def test_clients_are_told_apart_by_address_else_mac() -> None:
    clients = [{"address": "10.78.0.1"}, {"address": "10.78.0.2"}, {"mac": "52:54:00:00:00:01"}]
    assert len({fake_deployment.key_of({"path": "/srv/web", "client": client}) for client in clients}) == 3
