"""Start, stop, restart and move through the real playbooks and ansible-runner, with fake types."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from openqrm.model import Plan
from openqrm.planning.owner import owner_of
from openqrm.runner import run_playbook

from tests.support.center import FakeCenter, make_center


@pytest.fixture
def center(tmp_path: Path) -> Iterator[FakeCenter]:
    made = make_center(tmp_path)
    yield made
    made.store.close()


def states(center: FakeCenter) -> dict[str, str]:
    with center.store.read() as tx:
        return {item.name: item.state for item in (*tx.appliances(), *tx.resources())}


def manifests(center: FakeCenter) -> list[str]:
    directory = center.root / "boot/manifests"
    return sorted(path.name for path in directory.iterdir()) if directory.is_dir() else []


def fake_objects(center: FakeCenter, family: str, host: str = "san1") -> list[str]:
    """What the fake type of this family holds on a host."""
    path = center.root / f"fake/{family}.{host}.json"
    return sorted(json.loads(path.read_text())["objects"]) if path.exists() else []


def start_plans(center: FakeCenter) -> list[Plan]:
    """The plans, newest first, without those that made the golden images."""
    with center.store.read() as tx:
        return [plan for plan in tx.plans() if plan.verb != "image_create"]


def test_start_makes_the_appliance_active_on_the_smallest_fitting_resource(center: FakeCenter) -> None:
    center.add_nodes(1, memory_mib=4096, prefix="big")
    with center.store.read() as tx:
        big = tx.resource("big00001")
    center.add_appliances(["web01"])
    result = center.run("appliance_start", appliances=["web01"])
    assert result.errors == ()
    assert states(center)["web01"] == "active"
    with center.store.read() as tx:
        (assignment,) = tx.assignments(appliances=["web01"])
        resource = tx.resource(big.name)
        clone = tx.image("web01-0")
    assert (assignment.resource, assignment.epoch, resource.state) == (big.name, 1, "active")
    assert (clone.kind, clone.parent) == ("clone", "golden-san1")
    assert manifests(center) == [f"{big.boot_mac.replace(':', '-')}.json"]
    assert len(fake_objects(center, "deployment")) == 1
    assert result.stats["openqrm"]["plan"] == start_plans(center)[0].id


def test_stop_takes_everything_back_but_the_clone(center: FakeCenter) -> None:
    (node,) = center.add_nodes(1)
    center.add_appliances(["web01"])
    assert center.run("appliance_start", appliances="web01").ok
    result = center.run("appliance_stop", appliances="web01")
    assert result.errors == ()
    assert states(center) == {"web01": "stopped", node: "idle"}
    assert manifests(center) == []
    assert fake_objects(center, "deployment") == []
    with center.store.read() as tx:
        assert tx.assignments() == []
        assert tx.image("web01-0").kind == "clone"


def test_a_second_start_and_stop_change_nothing_and_say_so(center: FakeCenter) -> None:
    center.add_nodes(1)
    center.add_appliances(["web01"])
    center.run("appliance_start", appliances="web01")
    again = center.run("appliance_start", appliances="web01")
    assert (again.ok, again.changed) == (True, False)
    assert again.stats["openqrm"]["unchanged"] == ["appliance web01 is active already"]
    center.run("appliance_stop", appliances="web01")
    again = center.run("appliance_stop", appliances="web01")
    assert (again.ok, again.changed) == (True, False)
    assert again.stats["openqrm"]["unchanged"] == ["appliance web01 is stopped already"]


def test_check_mode_shows_the_plan_and_leaves_nothing(center: FakeCenter) -> None:
    (node,) = center.add_nodes(1)
    center.add_appliances(["web01"])
    result = center.run("appliance_start", check=True, appliances="web01")
    assert result.ok
    text = "\n".join(result.diff)
    for word in (node, "volume_clone", "authorize", "manifests/", "reset", "wait_up"):
        assert word in text
    assert states(center) == {"web01": "stopped", node: "idle"}
    assert manifests(center) == []
    assert start_plans(center) == []
    with center.store.read() as tx:
        assert [image.name for image in tx.images()] == ["golden-san1"]


def test_check_shows_what_apply_then_does(center: FakeCenter) -> None:
    center.add_nodes(2)
    center.add_appliances(["web01", "web02"])
    shown = [
        line for line in center.run("appliance_start", check=True, appliances=["web01", "web02"]).diff if ". " in line
    ]
    assert center.run("appliance_start", appliances=["web01", "web02"]).ok
    (plan,) = start_plans(center)
    done = [f"  {o.phase}. {o.host}: {o.role.rpartition('.')[2]} {o.verb}" for o in plan.operations]
    assert [line for line in shown if line.lstrip()[0].isdigit()] == done
    assert {o.state for o in plan.operations} == {"done"}


def test_move_takes_the_service_to_another_resource_with_a_new_epoch(center: FakeCenter) -> None:
    first, second = center.add_nodes(2)
    center.add_appliances(["web01"])
    center.run("appliance_start", appliances="web01", to=first)
    result = center.run("appliance_move", appliances="web01", to=second)
    assert result.errors == ()
    assert states(center) == {"web01": "active", first: "idle", second: "active"}
    with center.store.read() as tx:
        (assignment,) = tx.assignments(appliances=["web01"])
    assert (assignment.resource, assignment.epoch) == (second, 2)
    assert len(manifests(center)) == 1


def test_restart_is_a_stop_and_a_start(center: FakeCenter) -> None:
    center.add_nodes(1)
    center.add_appliances(["web01"])
    center.run("appliance_start", appliances="web01")
    result = center.run("appliance_restart", appliances="web01")
    assert result.errors == ()
    assert [plan.verb for plan in start_plans(center)] == ["start", "stop", "start"]
    with center.store.read() as tx:
        assert tx.assignments()[0].epoch == 2


def test_members_get_resources_of_their_own(center: FakeCenter) -> None:
    center.add_nodes(4)
    center.add_appliances(["web"], members=3)
    assert center.run("appliance_start", appliances="web").errors == ()
    with center.store.read() as tx:
        rows = tx.assignments(appliances=["web"])
    assert [row.member for row in rows] == [0, 1, 2]
    assert len({row.resource for row in rows}) == 3
    assert [row.image for row in rows] == ["web-0", "web-1", "web-2"]


def test_one_call_per_storage_server_however_many_appliances(center: FakeCenter) -> None:
    names = [f"web{number:02}" for number in range(8)]
    center.add_nodes(8)
    center.add_appliances(names, storages=4)
    assert center.run("appliance_start", appliances=names).errors == ()
    (plan,) = start_plans(center)
    clones = [operation for operation in plan.operations if operation.verb == "volume_clone"]
    assert sorted((operation.host, len(operation.items)) for operation in clones) == [
        (f"san{n}", 2) for n in range(1, 5)
    ]


def test_no_fitting_resource_names_the_nearest_miss(center: FakeCenter) -> None:
    (node,) = center.add_nodes(1, memory_mib=512)
    center.add_appliances(["web01"])
    with center.store.write("test", "larger") as tx:
        appliance = tx.appliance("web01")
        tx.save([replace(appliance, requirements=replace(appliance.requirements, memory_mib=2048))])
    result = center.run("appliance_start", appliances="web01")
    assert result.exit_code == 5
    assert node in result.errors[0]
    assert "512" in result.errors[0]
    assert "2048" in result.errors[0]
    assert states(center) == {"web01": "stopped", node: "idle"}


@pytest.mark.parametrize("verb", ["volume_clone", "authorize", "reset"])
def test_a_failure_of_any_verb_is_undone_completely(center: FakeCenter, verb: str) -> None:
    (node,) = center.add_nodes(1)
    center.add_appliances(["web01"])
    center.fault({"verb": verb, "fault": "fail", "times": 3})
    result = center.run("appliance_start", appliances="web01")
    assert not result.ok
    assert verb in result.errors[-1]
    assert "undone" in result.errors[-1]
    assert states(center) == {"web01": "stopped", node: "idle"}
    assert manifests(center) == []
    with center.store.read() as tx:
        assert tx.assignments() == []
        assert [image.name for image in tx.images()] == ["golden-san1"]
    assert start_plans(center)[0].state == "undone"
    assert fake_objects(center, "deployment") == []
    assert fake_objects(center, "storage") == ["/srv/fake/golden-san1"]
    center.fault()
    assert center.run("appliance_start", appliances="web01").errors == ()


def test_unknown_appliance_is_an_error_with_the_closest_name(center: FakeCenter) -> None:
    center.add_appliances(["web01"])
    result = center.run("appliance_start", appliances="wbe01")
    assert result.exit_code == 3
    assert "Did you mean web01?" in result.errors[0]


def test_ansible_playbook_does_the_same(center: FakeCenter) -> None:
    (node,) = center.add_nodes(1)
    center.add_appliances(["web01"])
    done = center.ansible_playbook("appliance_start", appliances="web01")
    assert done.returncode == 0, done.stdout + done.stderr
    assert states(center) == {"web01": "active", node: "active"}


def test_the_second_start_takes_the_clone_that_is_there(center: FakeCenter) -> None:
    center.add_nodes(1)
    center.add_appliances(["web01"])
    for verb in ("start", "stop", "start"):
        assert center.run(f"appliance_{verb}", appliances="web01").errors == ()
    second, _, first = start_plans(center)
    assert "volume_clone" in [operation.verb for operation in first.operations]
    assert "volume_clone" not in [operation.verb for operation in second.operations]


def test_a_resource_that_is_not_proven_free_is_refused(center: FakeCenter) -> None:
    (node,) = center.add_nodes(1)
    center.add_appliances(["web01"])
    with center.store.write("test", "no proof") as tx:
        tx.save([replace(tx.resource(node), power_driver="", power={})])
    result = center.run("appliance_start", appliances="web01")
    assert result.exit_code == 5
    assert f"Resource {node} fits but is not proven free: last heartbeat never" in result.errors[0]
    assert states(center) == {"web01": "stopped", node: "idle"}


def test_a_plan_whose_controller_died_is_taken_up_again(center: FakeCenter) -> None:
    (node,) = center.add_nodes(1)
    center.add_appliances(["web01"])
    prepared = center.prepare("start", appliances=["web01"], owner="")
    assert states(center) == {"web01": "starting", node: "reserved"}
    result = center.run("appliance_start", appliances="web01")
    assert result.errors == ()
    assert result.stats["openqrm"]["plan"] == prepared.plan
    assert states(center) == {"web01": "active", node: "active"}


def test_a_plan_that_a_living_process_applies_is_left_to_it(center: FakeCenter) -> None:
    center.add_nodes(1)
    center.add_appliances(["web01"])
    prepared = center.prepare("start", appliances=["web01"], owner=owner_of())
    result = center.run("appliance_start", appliances="web01")
    assert result.exit_code == 4
    assert f"plan {prepared.plan} (start) is applied by {owner_of()}" in result.errors[0]


def test_a_plan_that_was_prepared_before_is_applied_with_its_hosts_only(center: FakeCenter) -> None:
    (node,) = center.add_nodes(1)
    center.add_appliances(["web01"])
    prepared = center.prepare("start", appliances=["web01"], owner=owner_of())
    result = run_playbook(
        center.config, "appliance_start", {"openqrm_plans": {"start": prepared.plan}}, plan=prepared.plan
    )
    assert result.errors == ()
    assert states(center) == {"web01": "active", node: "active"}


def test_power_and_plug_ins_are_switched_by_playbooks(center: FakeCenter) -> None:
    (node,) = center.add_nodes(1)
    asked = center.run("resource_power", resources=node, power="status")
    assert [(item["name"], item["power"]) for item in asked.stats["openqrm"]["resources"]] == [(node, "off")]
    assert center.run("resource_power", resources=[node], power="on").errors == ()
    assert (
        center.run("resource_power", resources=node, power="status").stats["openqrm"]["resources"][0]["power"] == "on"
    )
    assert center.run("resource_power", resources=node, power="off").ok
    assert states(center) == {node: "off"}
    for playbook, enabled in (("plugin_enable", True), ("plugin_disable", False)):
        assert [center.run(playbook, plugins=["hosts"]).changed for _ in range(2)] == [True, False]
        with center.store.read() as tx:
            assert tx.plugins()["hosts"]["enabled"] is enabled


def test_storage_servers_are_asked_for_their_volumes(center: FakeCenter) -> None:
    center.add_appliances(["web01"])
    found = center.run("storage_volumes", storages="san1").stats["openqrm"]["volumes"]
    assert [(item["storage"], item["name"]) for item in found] == [("san1", "golden-san1")]
