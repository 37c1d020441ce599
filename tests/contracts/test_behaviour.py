"""What the verbs of the types that run on any machine do: once, again, in check mode, and with a bad object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from openqrm.contracts import list_of
from openqrm.skeleton import write_skeleton
from openqrm.types import FAMILIES, read_type

from tests.support.roles import Outcome, Step, run

Items = list[dict[str, Any]]


@dataclass(frozen=True)
class Case:
    """A verb, the list it takes, and one more object that cannot be as wanted (none: any object can)."""

    verb: str
    variable: str
    items: Items
    bad: Mapping[str, Any] | None = None
    idempotent: bool = True


def storage(location: str) -> list[Case]:
    """The verbs of a filesystem storage with clones, in an order in which each finds what it needs."""
    one, two = ({"name": name, "location": location} for name in ("golden", "other"))
    bad = {"name": "../x", "location": location}
    clone = {"name": "web01-0", "location": location, "source": "golden"}
    size = {"size_mib": 64}
    return [
        Case("prepare", "storage_locations", [{"location": location}]),
        Case("volume_create", "storage_volumes", [one | size, two | size], bad | size),
        Case("volume_clone", "storage_volumes", [clone], clone | {"name": "web02-0", "source": "missing"}),
        Case("volume_remove", "storage_volumes", [two], bad),
    ]


def grant(number: int) -> dict[str, Any]:
    """A grant of a volume to a client."""
    client = {"address": f"10.78.0.{number}", "mac": f"52:54:00:00:00:{number:02x}"}
    path = f"/srv/volumes/web{number}"
    return {"volume": f"web{number}", "path": path, "client": client, "read_only": False, "epoch": number}


def machine(name: str, **more: Any) -> dict[str, Any]:
    """A machine of a power driver or hypervisor."""
    return {"name": name, **more}


GRANTS = [grant(1), grant(2)]
VMS = [machine("vm1", cores=1, memory_mib=512, macs=["52:54:00:00:00:01"]), machine("vm2", cores=2, memory_mib=64)]
NAMES = [machine("vm1"), machine("vm2")]
MISSING = machine("vm9")
POWER = [machine("n1", address="bmc1", system="1"), machine("n2", address="bmc2", system="1")]

CASES: dict[str, list[Case]] = {
    "openqrm.datacenter.storage_directory": storage("{{ directory }}/volumes"),
    "openqrm.datacenter.storage_fake": storage("/srv/volumes"),
    "openqrm.datacenter.deployment_fake": [
        Case("authorize", "deployment_grants", GRANTS),
        Case("revoke", "deployment_grants", GRANTS),
    ],
    "openqrm.datacenter.hypervisor_fake": [
        Case("vm_create", "hypervisor_vms", VMS, machine("a b")),
        Case("vm_start", "hypervisor_vms", NAMES, MISSING),
        Case("vm_reboot", "hypervisor_vms", NAMES, MISSING, idempotent=False),
        Case("vm_stop", "hypervisor_vms", NAMES, MISSING),
        Case("vm_remove", "hypervisor_vms", NAMES, machine("a b")),
    ],
    "openqrm.datacenter.power_fake": [
        Case("on", "power_endpoints", POWER),
        Case("reset", "power_endpoints", POWER, idempotent=False),
        Case("boot_device", "power_endpoints", [item | {"device": "pxe"} for item in POWER]),
        Case("off", "power_endpoints", POWER),
    ],
    "openqrm.datacenter.plugin_hosts": [
        Case("prepare", "", []),
        Case(
            "appliance_start",
            "plugin_objects",
            [{"kind": "appliance", "name": "web01", "address": "10.77.0.50", "member": 0}],
            {"kind": "appliance", "name": "web 02", "address": "10.77.0.51", "member": 0},
        ),
        Case("appliance_stop", "plugin_objects", [{"kind": "appliance", "name": "web01"}], {"name": "../web"}),
    ],
}


def steps_of(role: str, case: Case) -> list[Step]:
    """Check mode, with a bad object, for real, again, and check mode again."""

    def step(items: Items, check: bool = False) -> Step:
        return Step(role, case.verb, {case.variable: items} if case.variable else {}, check)

    bad = [step([*case.items, dict(case.bad)])] if case.bad else []
    return [step(case.items, check=True), *bad, step(case.items), step(case.items), step(case.items, check=True)]


def verify(case: Case, outcomes: list[Outcome]) -> None:
    """Compare the outcomes of the steps of one case with the contract."""
    label = case.verb
    checked, *bad, real, again, checked_again = outcomes
    for outcome in bad:
        assert outcome.failed, label
    for outcome in (checked, real, again, checked_again):
        assert not outcome.failed, f"{label}: {outcome.failed}"
    assert checked.changed is True, label
    assert real.changed is True, f"{label}: check mode or a bad object changed something"
    assert again.changed is not case.idempotent, label
    assert checked_again.changed is not case.idempotent, label
    if case.verb != "prepare":
        names = [item.get("volume", item.get("name")) for item in case.items]
        assert [item["name"] for item in real.items] == names, label
        assert all(isinstance(item["changed"], bool) for item in real.items), label


@pytest.mark.parametrize("role", CASES)
def test_verbs(role: str, tmp_path: Path) -> None:
    cases = CASES[role]
    steps = [steps_of(role, case) for case in cases]
    variables = {
        "directory": str(tmp_path),
        "fake_state_dir": str(tmp_path / "fake"),
        "plugin_hosts_directory": str(tmp_path / "dns"),
    }
    outcomes = iter(run(tmp_path, [step for group in steps for step in group], variables))
    for case, group in zip(cases, steps, strict=True):
        verify(case, [next(outcomes) for _step in group])


def test_fakes_show_faults_when_the_turn_of_their_item_comes(tmp_path: Path) -> None:
    role = "openqrm.datacenter.power_fake"
    variables = {
        "fake_state_dir": str(tmp_path),
        "fake_faults": [{"verb": "on", "item": "n2", "fault": "fail", "times": 1}],
    }
    steps = [Step(role, verb, {"power_endpoints": POWER}) for verb in ("on", "status", "on", "status")]
    first, status, second, last = run(tmp_path, steps, variables)
    assert first.failed == "on of n2: the fault that was asked for."
    assert [item["power"] for item in status.items] == ["on", "off"]
    assert not second.failed
    assert [item["power"] for item in last.items] == ["on", "on"]


@pytest.mark.parametrize("role", ["deployment_local_root", "deployment_adopted"])
def test_methods_that_need_no_grant_change_nothing(role: str, tmp_path: Path) -> None:
    name = f"openqrm.datacenter.{role}"
    steps = [Step(name, verb, {"deployment_grants": GRANTS}) for verb in ("authorize", "revoke")]
    authorized, revoked, listed = run(tmp_path, [*steps, Step(name, "grants_list")], {})
    for outcome in (authorized, revoked):
        assert not outcome.failed and outcome.changed is False
        assert [(item["path"], item["sessions"]) for item in outcome.items] == [(g["path"], 0) for g in GRANTS]
    assert listed.items == []


def test_lists_show_what_is_there(tmp_path: Path) -> None:
    storage_role, deployment_role = "openqrm.datacenter.storage_fake", "openqrm.datacenter.deployment_fake"
    volume = {"name": "golden", "location": "/srv", "size_mib": 64}
    steps = [
        Step(storage_role, "volume_create", {"storage_volumes": [volume]}),
        Step(storage_role, "volume_list", {"storage_locations": [{"location": "/srv"}]}),
        Step(deployment_role, "authorize", {"deployment_grants": [grant(1)]}),
        Step(deployment_role, "grants_list"),
        Step(deployment_role, "revoke", {"deployment_grants": [grant(1)]}),
    ]
    _created, volumes, _granted, grants, revoked = run(tmp_path, steps, {"fake_state_dir": str(tmp_path)})
    assert volumes.items == [volume | {"path": "/srv/golden", "used_mib": 64}]
    assert grants.items[0]["path"] == "/srv/volumes/web1"
    assert grants.items[0]["client"] == {"address": "10.78.0.1"}
    assert revoked.items[0]["sessions"] == 0


def test_skeletons_run(tmp_path: Path) -> None:
    roles = tmp_path / "ansible_collections/acme/skeletons/roles"
    samples = {
        "storage": {"name": "v", "location": "/srv", "source": "w", "size_mib": 1},
        "deployment": grant(1),
        "power": POWER[0] | {"device": "pxe"},
        "hypervisor": VMS[0],
        "service": {"name": "e"},
        "plugin": {"kind": "appliance", "name": "web01", "address": "10.77.0.50"},
    }
    steps = []
    for family in FAMILIES:
        write_skeleton("sample", family, roles, "acme.skeletons")
        info = read_type(roles / f"{family}_sample/meta/openqrm.yml", "acme.skeletons")
        for verb in info.verbs:
            listing = list_of(info, verb)
            given = {key: value for key, value in samples[family].items() if listing and key in listing.keys}
            steps.append(Step(info.role, verb, {listing.variable: [given]} if listing else {}))
    outcomes = run(tmp_path, steps, {}, collections=str(tmp_path))
    assert [outcome.failed for outcome in outcomes] == [""] * len(steps)
    assert not any(outcome.changed for outcome in outcomes)
