"""Assignments, epochs and storage addresses: what the database holds whatever the callers do."""

from __future__ import annotations

import dataclasses

import pytest
from openqrm.errors import ConflictError, NotFoundError
from openqrm.model import Nic
from openqrm.store import Store

from tests.unit.store.samples import resource

POOL = "10.78.0.100-10.78.0.102"


def test_assign_and_release(filled: Store) -> None:
    with filled.write("planner", "start web01") as writer:
        made = writer.assign([("web01", 1, "node01", "golden", 7), ("web01", 0, "node00", "web01-0", 7)])
        assert [(a.member, a.resource, a.image, a.epoch, a.plan) for a in made] == [
            (1, "node01", "golden", 1, 7),
            (0, "node00", "web01-0", 1, 7),
        ]
        assert writer.assignments() == [made[1], made[0]]
        assert writer.assignments(appliances=["web01"], resources=["node01"]) == [made[0]]
        assert writer.assignments(images=["web01-0"]) == [made[1]]
        assert writer.assign([]) == []
    with filled.write("planner", "stop web01") as writer:
        writer.release("web01", [0, 1, 5])
        assert writer.assignments() == []
        assert [a.epoch for a in writer.assign([("web01", 0, "node02", "web01-0", 8)])] == [2]
    with filled.read() as reader:
        rows = [row for row in reader.audit("appliance", "web01") if row.action in ("assign", "release")]
        assert [(row.action, row.reason) for row in rows] == [
            ("assign", "start web01"),
            ("assign", "start web01"),
            ("release", "stop web01"),
            ("release", "stop web01"),
            ("assign", "stop web01"),
        ]
        assert rows[-1].after == {"member": 0, "resource": "node02", "image": "web01-0", "epoch": 2, "plan": 8}


def test_epochs_go_on_after_the_appliance_was_removed(filled: Store) -> None:
    with filled.write("planner", "x") as writer:
        web01 = writer.appliance("web01")
        writer.assign([("web01", 0, "node00", "web01-0", 1)])
        writer.release("web01", [0])
        writer.remove("appliance", ["web01"])
        writer.save([dataclasses.replace(web01, id=0)])
        assert [a.epoch for a in writer.assign([("web01", 0, "node00", "web01-0", 2)])] == [2]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (("web01", 1, "node00", "golden", 1), "resource node00 is in use by web01 member 0"),
        (("web01", 0, "node01", "golden", 1), "appliance web01 member 0 is in use by web01 member 0"),
        (("web01", 1, "node01", "web01-0", 1), "image web01-0 is in use by web01 member 0"),
    ],
)
def test_what_is_taken(filled: Store, row: tuple[str, int, str, str, int], words: str) -> None:
    with filled.write("planner", "x") as writer:
        first = writer.assign([("web01", 0, "node00", "web01-0", 1)])
        with pytest.raises(ConflictError, match=words):
            writer.assign([row])
        assert writer.assignments() == first
        assert [a.epoch for a in writer.assign([("web01", 1, "node01", "golden", 1)])] == [1]


def test_one_resource_twice_in_one_call(filled: Store) -> None:
    with filled.write("planner", "x") as writer:
        with pytest.raises(ConflictError, match="resource node00 is in use by web01 member 0"):
            writer.assign([("web01", 0, "node00", "golden", 1), ("web01", 1, "node00", "golden", 1)])
        assert writer.assignments() == []


@pytest.mark.parametrize(
    ("row", "missing"),
    [
        (("web02", 0, "node00", "golden", 1), "Appliance web02"),
        (("web01", 0, "node77", "golden", 1), "Resource node77"),
        (("web01", 0, "node00", "silver", 1), "Image silver"),
    ],
)
def test_what_does_not_exist(filled: Store, row: tuple[str, int, str, str, int], missing: str) -> None:
    with filled.write("planner", "x") as writer, pytest.raises(NotFoundError, match=f"{missing} does not exist"):
        writer.assign([row])


def test_an_image_in_two_places_stays_shared(filled: Store) -> None:
    with filled.write("planner", "x") as writer:
        writer.assign([("web01", 0, "node00", "golden", 1), ("web01", 1, "node01", "golden", 1)])
    with pytest.raises(ConflictError), filled.write("operator", "unshare") as writer:
        writer.save([dataclasses.replace(writer.image("golden"), shared=False)])
    with filled.read() as reader:
        assert reader.image("golden").shared


def test_storage_addresses(store: Store) -> None:
    with store.write("planner", "x") as writer:
        taken = (Nic("52:54:00:aa:00:01", role="storage", address="10.78.0.100/24"),)
        writer.save([resource(1, nics=taken), resource(2, address="10.78.0.101")])
        assert writer.addresses() == {"10.78.0.100"}
        assert writer.next_storage_address(POOL, 24) == "10.78.0.101/24"
        assert writer.next_storage_address(POOL, 24) == "10.78.0.102/24"
        with pytest.raises(ConflictError, match="are given out"):
            writer.next_storage_address(POOL, 24)
    with store.write("planner", "none of them was used") as writer:
        assert writer.next_storage_address(POOL, 24) == "10.78.0.101/24"
