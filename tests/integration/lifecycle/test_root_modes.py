"""Appliances whose members share an image, through the real playbooks with fake types."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from openqrm.model import Plan, Volume

from tests.support.center import FakeCenter, make_center

PRIVATE = {"private_directories": ["/var/log", "/srv"], "private_excludes": ["/srv/common"]}
VOLUMES = ["web-0-private", "web-1-private"]


@pytest.fixture
def center(tmp_path: Path) -> Iterator[FakeCenter]:
    made = make_center(tmp_path)
    made.add_nodes(3)
    yield made
    made.store.close()


def add_web(center: FakeCenter, mode: str, **parameters: object) -> None:
    """The appliance `web` of two members on a shared image."""
    center.add_appliances(["web"], members=2, root_mode=mode, parameters=parameters)
    with center.store.write("test", "share") as tx:
        tx.save([replace(tx.image("golden-san1"), shared=True)])


def manifests(center: FakeCenter) -> list[dict[str, Any]]:
    """The manifests of assigned nodes, by member."""
    found = [json.loads(path.read_text()) for path in (center.root / "boot/manifests").glob("*.json")]
    return sorted(found, key=lambda manifest: manifest["member"])


def grants(plan: Plan, verb: str = "authorize") -> list[tuple[str, bool]]:
    """Volume and read_only of the grants that a plan gives or takes."""
    items = [item for operation in plan.operations if operation.verb == verb for item in operation.items]
    return sorted((str(item["volume"]), bool(item["read_only"])) for item in items)


def newest(center: FakeCenter) -> Plan:
    with center.store.read() as tx:
        return tx.plans()[0]


def volumes(center: FakeCenter) -> dict[str, Mapping[str, object]]:
    """The private volumes that the store knows, with their parameters."""
    with center.store.read() as tx:
        return {row.name: row.parameters for row in tx.volumes() if row.name != "golden-san1"}


def on_server(center: FakeCenter, family: str = "storage") -> list[str]:
    objects = json.loads((center.root / f"fake/{family}.san1.json").read_text())["objects"]
    return sorted(objects)


def test_overlay_members_share_the_image_read_only(center: FakeCenter) -> None:
    add_web(center, "overlay", overlay_size_mib=64)
    result = center.run("appliance_start", appliances="web")
    assert result.errors == ()
    with center.store.read() as tx:
        assert [row.image for row in tx.assignments()] == ["golden-san1"] * 2
    plan = newest(center)
    assert grants(plan) == [("golden-san1", True)] * 2
    assert not [operation for operation in plan.operations if operation.verb.startswith("volume_")]
    one, other = manifests(center)
    assert (one["root_mode"], one["overlay"], one["hostname"], other["hostname"]) == (
        "overlay",
        {"size_mib": 64},
        "web-0",
        "web-1",
    )
    assert "private" not in one
    assert one["deployment"]["parameters"] == other["deployment"]["parameters"]


def test_private_members_have_a_volume_each_that_stays(center: FakeCenter) -> None:
    add_web(center, "private", **PRIVATE)
    shown = "\n".join(center.run("appliance_start", check=True, appliances="web").diff)
    assert "volume_create" in shown and "web-1-private" in shown
    assert volumes(center) == {}
    assert center.run("appliance_start", appliances="web").errors == ()
    assert grants(newest(center)) == [("golden-san1", True)] * 2 + [(name, False) for name in VOLUMES]
    assert volumes(center) == {name: {"private_of": f"web/{name[4]}"} for name in VOLUMES}
    one, other = manifests(center)
    assert one["private"] == {
        "parameters": {"source": "10.78.0.10:/srv/fake/web-0-private"},
        "directories": ["/srv", "/var/log"],
        "excludes": ["/srv/common"],
    }
    assert other["private"]["parameters"]["source"].endswith("/web-1-private")
    assert center.run("appliance_stop", appliances="web").errors == ()
    assert len(grants(newest(center), "revoke")) == 4
    assert on_server(center, "deployment") == []
    assert on_server(center) == ["/srv/fake/golden-san1", *(f"/srv/fake/{name}" for name in VOLUMES)]
    assert center.run("appliance_start", appliances="web").errors == ()
    assert "volume_create" not in [operation.verb for operation in newest(center).operations]


def test_a_move_takes_the_private_volume_along(center: FakeCenter) -> None:
    add_web(center, "private", **PRIVATE)
    with center.store.write("test", "one member") as tx:
        tx.save([replace(tx.appliance("web"), members=1)])
    assert center.run("appliance_start", appliances="web", to="node00001").errors == ()
    assert center.run("appliance_move", appliances="web", to="node00002").errors == ()
    assert grants(newest(center)) == [("golden-san1", True), (VOLUMES[0], False)]
    assert list(volumes(center)) == VOLUMES[:1]


@pytest.mark.parametrize("verb", ["volume_create", "authorize", "reset"])
def test_a_start_that_fails_leaves_no_private_volume(center: FakeCenter, verb: str) -> None:
    add_web(center, "private", **PRIVATE)
    center.fault({"verb": verb, "fault": "fail", "times": 3})
    result = center.run("appliance_start", appliances="web")
    assert not result.ok
    assert newest(center).state == "undone"
    assert volumes(center) == {}
    assert on_server(center) == ["/srv/fake/golden-san1"]
    assert on_server(center, "deployment") == []
    center.fault()
    assert center.run("appliance_start", appliances="web").errors == ()


def test_a_start_that_fails_keeps_private_data_that_was_there(center: FakeCenter) -> None:
    add_web(center, "private", **PRIVATE)
    assert center.run("appliance_start", appliances="web").errors == ()
    assert center.run("appliance_stop", appliances="web").errors == ()
    center.fault({"verb": "authorize", "fault": "fail", "times": 3})
    assert not center.run("appliance_start", appliances="web").ok
    assert list(volumes(center)) == VOLUMES
    assert len(on_server(center)) == 3


def test_a_volume_of_that_name_that_is_another_s_is_refused(center: FakeCenter) -> None:
    add_web(center, "private", **PRIVATE)
    with center.store.write("test", "other") as tx:
        tx.save([Volume(0, "web-1-private", "san1")])
    result = center.run("appliance_start", appliances="web")
    assert result.exit_code == 4
    assert "volume san1/web-1-private is there already and does not hold the private directories" in result.errors[0]


def test_removal_keeps_private_volumes_unless_it_is_told_not_to(center: FakeCenter) -> None:
    add_web(center, "private", **PRIVATE)
    assert center.run("appliance_start", appliances="web").errors == ()
    refused = center.run("appliance_remove", appliances="web", destroy_data=True)
    assert "Appliance web cannot be removed: it is used by resource node00001 (member 0)" in refused.errors[0]
    refused = center.run("volume_remove", volumes="san1/web-1-private", destroy_data=True)
    assert "holds the private directories of appliance web, member 1, which runs on node00002" in refused.errors[0]
    assert center.run("appliance_stop", appliances="web").errors == ()
    shown = "\n".join(center.run("appliance_remove", check=True, appliances="web", destroy_data=True).diff)
    assert shown.count("web-") == 2 and "volume_remove" in shown
    assert center.run("appliance_remove", appliances="web").errors == ()
    assert list(volumes(center)) == VOLUMES
    add_web(center, "private", **PRIVATE)
    assert center.run("appliance_remove", appliances="web", destroy_data=True).errors == ()
    assert (volumes(center), on_server(center)) == ({}, ["/srv/fake/golden-san1"])
    again = center.run("appliance_remove", appliances="web")
    assert (again.changed, again.stats["openqrm"]["unchanged"]) == (False, ["appliance web does not exist"])
