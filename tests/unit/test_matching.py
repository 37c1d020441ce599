"""Choosing resources: who gets what, and what is said when nobody does."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from openqrm.errors import NoResourceError
from openqrm.matching import assign_members, choose, explain_miss, fits, spread_value
from openqrm.model import Nic, Requirements, Resource


def node(number: int, **fields: Any) -> Resource:
    """An idle machine with one NIC, 2 cores and 2 GiB."""
    values = {"state": "idle", "cores": 2, "memory_mib": 2048, "nics": (Nic(f"52:54:00:00:00:{number:02x}"),)}
    return Resource(number, f"node{number:02}", **{**values, **fields})


def names(chosen: dict[tuple[str, int], Resource]) -> dict[tuple[str, int], str]:
    return {member: resource.name for member, resource in chosen.items()}


@pytest.mark.parametrize(
    ("requirements", "fields", "expected"),
    [
        (Requirements(), {}, True),
        (Requirements(cores=2), {"cores": 2}, True),
        (Requirements(cores=3), {"cores": 2}, False),
        (Requirements(memory_mib=2049), {}, False),
        (Requirements(disk_mib=1), {}, False),
        (Requirements(disk_mib=1), {"disk_mib": 1}, True),
        (Requirements(nics=2), {}, False),
        (Requirements(type="kvm_vm"), {}, False),
        (Requirements(type="kvm_vm"), {"type": "kvm_vm"}, True),
        (Requirements(arch="aarch64"), {}, False),
        (Requirements(tags=frozenset({"ssd"})), {}, False),
        (Requirements(tags=frozenset({"ssd"})), {"tags": frozenset({"ssd", "gpu"})}, True),
        (Requirements(resource="node01"), {}, True),
        (Requirements(resource="node02"), {}, False),
        (Requirements(anti_affinity="rack"), {}, False),
        (Requirements(anti_affinity="rack"), {"tags": frozenset({"rack:r1"})}, True),
        (Requirements(anti_affinity="rack"), {"tags": frozenset({"rack:", "racks:r1", "Rack:r1"})}, False),
    ],
)
def test_fits(requirements: Requirements, fields: dict[str, Any], expected: bool) -> None:
    assert fits(requirements, node(1, **fields)) is expected


def test_least_waste_first() -> None:
    big, wide = node(1, memory_mib=8192), node(2, cores=8)
    disk, nics = node(3, disk_mib=10), node(4, nics=(Nic("52:54:00:00:01:01"), Nic("52:54:00:00:01:02")))
    fleet = [big, wide, disk, nics, node(6), node(5)]
    order = []
    while fleet:
        order.append(choose(Requirements(), fleet))
        fleet.remove(order[-1])
    assert [resource.name for resource in order] == ["node05", "node06", "node04", "node03", "node02", "node01"]


def test_choose_keeps_members_apart() -> None:
    fleet = [
        node(1, tags=frozenset({"rack:r1"})),
        node(2, tags=frozenset({"rack:r1"})),
        node(3, tags=frozenset({"rack:r2"})),
    ]
    requirements = Requirements(anti_affinity="rack")
    assert choose(requirements, fleet).name == "node01"
    assert choose(requirements, fleet, {"r1"}).name == "node03"
    with pytest.raises(NoResourceError, match="nearest is node01: another member is in rack:r1"):
        choose(requirements, fleet, {"r1", "r2"})


def test_spread_value() -> None:
    assert spread_value(node(1, tags=frozenset({"rack:r2", "rack:r1", "rackx:r0"})), "rack") == "r1"
    assert spread_value(node(1), "rack") == ""


@pytest.mark.parametrize(
    ("requirements", "resources", "message"),
    [
        (
            Requirements(memory_mib=2048),
            [node(7, memory_mib=1024, state="active"), node(8, memory_mib=1, cores=0, state="off")],
            "No idle resource fits appliance web01: nearest is node07: memory 1024 MiB of 2048 wanted; state active.",
        ),
        (Requirements(cores=4), [node(1, cores=3), node(2, cores=1)], "nearest is node01: cores 3 of 4 wanted."),
        (Requirements(cores=4), [node(2), node(1)], "nearest is node01: cores 2 of 4 wanted."),
        (
            Requirements(disk_mib=10, nics=2),
            [node(1)],
            "nearest is node01: disk 0 MiB of 10 wanted; NICs 1 of 2 wanted.",
        ),
        (
            Requirements(type="kvm_vm", arch="aarch64"),
            [node(1)],
            "nearest is node01: type physical, kvm_vm wanted; arch x86_64, aarch64 wanted.",
        ),
        (
            Requirements(tags=frozenset({"ssd", "gpu"})),
            [node(1)],
            "nearest is node01: tag gpu missing; tag ssd missing.",
        ),
        (Requirements(anti_affinity="rack"), [node(1)], "nearest is node01: tag rack:... missing."),
        (Requirements(), [node(1, state="off", monitored=False)], "nearest is node01: state off; not monitored."),
        (Requirements(), [], "No idle resource fits appliance web01: there is no resource yet."),
        (Requirements(resource="node09"), [node(1)], "resource node09 does not exist."),
        (
            Requirements(resource="node01", cores=9),
            [node(1), node(2, cores=8)],
            "nearest is node01: cores 2 of 9 wanted.",
        ),
    ],
)
def test_explain_miss(requirements: Requirements, resources: list[Resource], message: str) -> None:
    error = explain_miss(requirements, resources, appliance="web01")
    assert error.message.endswith(message)
    assert error.remedy
    assert error.exit_code == 5


def test_members_get_resources_of_their_own() -> None:
    wanted = [("web", 1, Requirements()), ("web", 0, Requirements()), ("db", 0, Requirements(memory_mib=4096))]
    fleet = [node(3), node(1, memory_mib=4096), node(2)]
    assert names(assign_members(wanted, fleet)) == {("web", 1): "node02", ("web", 0): "node03", ("db", 0): "node01"}
    assert names(assign_members(wanted, fleet[::-1])) == names(assign_members(wanted, fleet))
    assert assign_members([], fleet) == {}


def test_those_with_little_choice_choose_first() -> None:
    fleet = [node(1, tags=frozenset({"gpu"})), node(2), node(3)]
    wanted = [
        ("web", 0, Requirements()),
        ("ml", 0, Requirements(tags=frozenset({"gpu"}))),
        ("pin", 0, Requirements(resource="node02")),
    ]
    assert names(assign_members(wanted, fleet)) == {("ml", 0): "node01", ("pin", 0): "node02", ("web", 0): "node03"}


def test_those_who_can_spare_least_choose_first_where_nothing_else_works() -> None:
    x, y = Requirements(tags=frozenset("x")), Requirements(tags=frozenset("y"))
    fleet = [node(1, tags=frozenset("xy")), node(2, tags=frozenset("x")), node(3, tags=frozenset("y"))]
    wanted = [("a", 0, x), ("b", 0, y), ("c", 0, y)]
    assert names(assign_members(wanted, fleet)) == {("a", 0): "node02", ("b", 0): "node01", ("c", 0): "node03"}
    with pytest.raises(NoResourceError, match="appliance c: nearest is node01: goes to a member 0"):
        assign_members([*wanted, ("d", 0, y)], fleet)


def test_members_are_kept_apart_within_their_appliance() -> None:
    fleet = [node(n, tags=frozenset({f"rack:r{n % 2}"})) for n in range(1, 5)]
    apart = Requirements(anti_affinity="rack")
    wanted = [("a", 0, apart), ("a", 1, apart), ("b", 0, apart), ("b", 1, apart)]
    assert names(assign_members(wanted, fleet)) == {
        ("a", 0): "node01",
        ("a", 1): "node02",
        ("b", 0): "node03",
        ("b", 1): "node04",
    }
    spread = {"a": {"r1"}}
    assert names(assign_members(wanted[:1], fleet, taken_spread=spread)) == {("a", 0): "node02"}
    assert spread == {"a": {"r1"}}
    with pytest.raises(NoResourceError, match="appliance a: nearest is node03: another member is in rack:r1"):
        assign_members([*wanted[:2], ("a", 2, apart)], fleet)


def test_a_miss_is_explained_from_all_resources() -> None:
    fleet = [node(1)]
    everything = [*fleet, node(2, state="active")]
    wanted = [("web", 0, Requirements()), ("web", 1, Requirements())]
    with pytest.raises(NoResourceError, match="appliance web: nearest is node01: goes to web member 0"):
        assign_members(wanted, fleet)
    with pytest.raises(NoResourceError, match="nearest is node02: memory 2048 MiB of 4096 wanted; state active"):
        assign_members([("db", 0, Requirements(memory_mib=4096))], [], everything=lambda: everything[1:])


class Counting:
    """Counts how often candidates are judged."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, requirements: Requirements, resource: Resource) -> bool:
        self.calls += 1
        return fits(requirements, resource)


@pytest.mark.parametrize("requirements", [Requirements(), Requirements(anti_affinity="rack")])
def test_work_is_linear(requirements: Requirements, monkeypatch: pytest.MonkeyPatch) -> None:
    counting = Counting()
    monkeypatch.setattr("openqrm.matching.fits", counting)
    fleet = [
        dataclasses.replace(node(1), id=n, name=f"n{n:05}", tags=frozenset({f"rack:r{n % 500}"})) for n in range(10_000)
    ]
    members = 500 if requirements.anti_affinity else 1000
    chosen = assign_members([("web", n, requirements) for n in range(members)], fleet)
    assert len({resource.name for resource in chosen.values()}) == members
    assert counting.calls == 10_000
