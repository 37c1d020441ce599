"""What follows when a plan fails: taken back, tried elsewhere, returned, resumed, cancelled, refused as stale."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from openqrm.errors import ApplyError, ConflictError, StalePlanError, StateError
from openqrm.model import Plan
from openqrm.planning import changes
from openqrm.planning.owner import owner_of

from tests.support.simulation import OTHER_KERNEL, Center, Controller, Factory, Killed, factory

__all__ = ["factory"]
ELSEWHERE = "awx-task-1:17:4711"


@pytest.fixture
def center(factory: Factory) -> Iterator[Center]:
    with factory.center() as made:
        yield made


def states(center: Center) -> dict[str, str]:
    with center.store.read() as tx:
        return {item.name: item.state for item in (*tx.appliances(), *tx.resources())}


def place(center: Center, name: str = "web01") -> list[tuple[str, int]]:
    with center.store.read() as tx:
        return [(row.resource, row.epoch) for row in tx.assignments(appliances=[name])]


def last_plan(center: Center) -> Plan:
    with center.store.read() as tx:
        return tx.plans(limit=1)[0]


def start(center: Center, *names: str, **arguments: Any) -> None:
    Controller(center).run("start", appliances=list(names), **arguments)


def interrupted(center: Center, verb: str, step: str, **arguments: Any) -> int:
    """The number of a plan whose controller is killed right after the first step of that name."""
    controller = Controller(center)
    real = controller._step

    def killed(name: str) -> None:
        real(name)
        if name.startswith(step):
            raise Killed(name)

    controller._step = killed  # type: ignore[method-assign]
    with pytest.raises(Killed):
        controller.run(verb, **arguments)
    return last_plan(center).id


def test_a_silent_machine_is_quarantined_and_the_next_one_taken(center: Center) -> None:
    center.add_nodes(2, listening=False)
    center.add_appliances("web01")
    (center.root / "node1.log").write_text("Booting from Hard Disk...\n")
    with center.store.write("test", "console") as tx:
        tx.save([replace(tx.resource("node1"), parameters={"console_log": str(center.root / "node1.log")})])
        tx.add_event("info", "network: no lease", "resource", "node1", {"step": "network", "epoch": 1})
    center.silent.add("node1")
    start(center, "web01")
    assert states(center) == {"web01": "active", "node1": "quarantined", "node2": "active"}
    assert place(center) == [("node2", 2)]
    assert center.leftovers() == []
    with center.store.read() as tx:
        (event,) = tx.events(severities=["error"], kind="resource", name="node1")
    assert "did not come up for web01/0" in event.message
    assert "after 20 s it reports" in event.message
    assert "Last step: network: no lease" in event.message
    assert event.data["console"] == "Booting from Hard Disk...\n"
    assert center.fakes("power", "localhost")["node1"]["power"] == "off"


def test_three_silent_machines_are_enough(center: Center) -> None:
    center.add_nodes(5, listening=False)
    center.add_appliances("web01")
    center.silent |= {f"node{number}" for number in range(1, 6)}
    with pytest.raises(ApplyError, match="node3: wait_up"):
        start(center, "web01")
    found = states(center)
    assert [found[f"node{number}"] for number in range(1, 6)] == ["quarantined"] * 3 + ["idle"] * 2
    assert found["web01"] == "stopped"
    assert center.leftovers() == []


def test_a_machine_that_was_asked_for_is_not_replaced(center: Center) -> None:
    center.add_nodes(2, listening=False)
    center.add_appliances("web01")
    center.silent.add("node1")
    with pytest.raises(ApplyError, match="node1"):
        start(center, "web01", to="node1")
    assert states(center) == {"web01": "stopped", "node1": "quarantined", "node2": "idle"}


def test_one_silent_member_is_replaced_and_the_others_stay(center: Center) -> None:
    center.add_nodes(4, listening=False)
    center.add_appliances("web01", members=3)
    center.silent.add("node2")
    start(center, "web01")
    assert place(center) == [("node1", 1), ("node4", 2), ("node3", 1)]
    assert center.leftovers() == []


def test_without_another_machine_all_members_go_back(center: Center) -> None:
    center.add_nodes(3, listening=False)
    center.add_appliances("web01", members=3)
    center.silent.add("node2")
    with pytest.raises(ApplyError, match="What it had done was undone"):
        start(center, "web01")
    assert states(center) == {"web01": "stopped", "node1": "idle", "node2": "quarantined", "node3": "idle"}
    assert center.leftovers() == []


def test_a_failed_appliance_does_not_hold_up_the_others(center: Center) -> None:
    center.add_nodes(3, listening=False)
    center.add_appliances("web01", "web02", "web03")
    center.silent.add("node2")
    with pytest.raises(ApplyError) as caught:
        start(center, "web01", "web02", "web03")
    assert "node2: wait_up" in str(caught.value)
    found = states(center)
    assert [found[name] for name in ("web01", "web02", "web03")] == ["active", "stopped", "active"]
    assert found["node2"] == "quarantined"
    assert center.leftovers() == []
    assert last_plan(center).state == "undone"


def test_a_machine_that_boots_something_else_ends_the_wait_at_once(center: Center) -> None:
    center.add_nodes(1, listening=False)
    center.add_appliances("web01")
    center.silent.add("node1")
    real = center.boot

    def boots_its_disk(names: Any) -> None:
        real(names)
        with center.store.write("node", "zombie") as tx:
            for name in names:
                tx.report(name, mode="deployed", stage="up", boot_id="disk", reported_epoch=77)

    center.boot = boots_its_disk  # type: ignore[method-assign]
    with pytest.raises(ApplyError, match="it booted epoch 77, not 1"):
        start(center, "web01")
    assert states(center)["node1"] == "quarantined"


def test_a_machine_with_another_kernel_is_noticed(center: Center) -> None:
    center.add_nodes(1, listening=False)
    center.add_appliances("web01")
    real = center.boot

    def boots_another_kernel(names: Any) -> None:
        real(names)
        with center.store.write("node", "kernel") as tx:
            for name in names:
                tx.report(name, kernel=OTHER_KERNEL.vmlinuz)

    center.boot = boots_another_kernel  # type: ignore[method-assign]
    with pytest.raises(ApplyError, match="it booted kernel dddddddddddd, not aaaaaaaaaaaa"):
        start(center, "web01")


@pytest.mark.parametrize(("verb", "untouched"), [("authorize", False), ("absent", True)])
def test_a_move_that_fails_goes_back_to_the_old_machine(center: Center, verb: str, untouched: bool) -> None:
    center.add_nodes(2, listening=False)
    center.add_appliances("web01")
    start(center, "web01", to="node1")
    with center.store.read() as tx:
        boot = tx.resource("node1").boot_id
    if untouched:
        (center.root / "boot/nodes").rename(center.root / "boot/hidden")
        (center.root / "boot/nodes").write_text("not a directory")
    else:
        center.faults[:] = [{"verb": verb, "fault": "fail", "times": 3}]
    controller = Controller(center)
    if untouched:
        settled = controller._step

        def repaired(name: str) -> None:
            if name == "round 0 is settled":
                (center.root / "boot/nodes").unlink()
                (center.root / "boot/hidden").rename(center.root / "boot/nodes")
            settled(name)

        controller._step = repaired  # type: ignore[method-assign]
    with pytest.raises(ApplyError, match="runs on its old resource again"):
        controller.run("move", appliances=["web01"], to="node2")
    assert states(center) == {"web01": "active", "node1": "active", "node2": "idle"}
    assert place(center) == [("node1", 1 if untouched else 3)]
    assert center.leftovers() == []
    with center.store.read() as tx:
        assert (tx.resource("node1").boot_id == boot) is untouched
        messages = [event.message for event in tx.events(kind="appliance", name="web01")]
    assert "The move failed; member 0 runs on node1 again." in messages


def test_a_machine_that_cannot_be_fenced_keeps_its_member(center: Center) -> None:
    center.add_nodes(2, listening=False)
    center.add_appliances("web01")
    center.silent.add("node1")
    center.faults[:] = [{"verb": "revoke", "fault": "fail"}]
    with pytest.raises(ApplyError, match="Undoing it failed too: san1: deployment_fake revoke"):
        start(center, "web01")
    assert states(center) == {"web01": "failed", "node1": "error", "node2": "idle"}
    assert place(center) == [("node1", 1)]
    number = last_plan(center).id
    with pytest.raises(ApplyError):  # still broken
        Controller(center).go_on(changes.resume(center.datacenter, number, owner="", actor="test"))
    center.faults[:] = []
    # With the fence proven, the start goes on: on the next machine.
    Controller(center).go_on(changes.resume(center.datacenter, number, owner="", actor="test"))
    assert states(center) == {"web01": "active", "node1": "quarantined", "node2": "active"}
    assert center.leftovers() == []


def test_a_stop_after_a_failed_move_leaves_the_old_machine_too(center: Center) -> None:
    center.add_nodes(2, listening=False)
    center.add_appliances("web01")
    start(center, "web01", to="node1")
    center.silent.add("node1")
    center.faults[:] = [{"verb": "revoke", "fault": "fail"}]
    with pytest.raises(ApplyError, match="Undoing it failed too"):
        Controller(center).run("move", appliances=["web01"], to="node2")
    assert states(center) == {"web01": "failed", "node1": "error", "node2": "error"}
    center.faults[:] = []
    with pytest.raises(ApplyError, match="node1: wait_idle"):
        Controller(center).run("stop", appliances=["web01"])
    center.silent.clear()
    Controller(center).run("stop", appliances=["web01"])
    assert states(center) == {"web01": "stopped", "node1": "idle", "node2": "idle"}
    assert center.leftovers() == []


def test_a_failed_stop_is_resumed(center: Center) -> None:
    center.add_nodes(1, listening=False)
    center.add_appliances("web01")
    start(center, "web01")
    center.faults[:] = [{"verb": "revoke", "fault": "fail", "times": 3}]
    with pytest.raises(ApplyError, match="revoke of web01-0"):
        Controller(center).run("stop", appliances=["web01"])
    plan = last_plan(center)
    assert plan.state == "failed"
    with center.store.read() as tx:
        event = tx.events(severities=["error"], kind="plan", name=str(plan.id))[-1]
    assert event.data["resume"] == f"openqrm operation resume {plan.id}"
    Controller(center).go_on(changes.resume(center.datacenter, plan.id, owner="", actor="test"))
    assert states(center) == {"web01": "stopped", "node1": "idle"}
    assert center.leftovers() == []
    for check in (True, False):
        with pytest.raises(StateError, match="nothing is left"):
            changes.resume(center.datacenter, plan.id, owner="", actor="test", check=check)


def test_a_failed_plan_does_not_go_on_over_a_later_one(center: Center) -> None:
    center.add_nodes(1, listening=False)
    center.add_appliances("web01")
    start(center, "web01")
    center.faults[:] = [{"verb": "revoke", "fault": "fail", "times": 3}]
    with pytest.raises(ApplyError):
        Controller(center).run("stop", appliances=["web01"])
    number = last_plan(center).id
    Controller(center).run("stop", appliances=["web01"])
    with pytest.raises(ConflictError, match=f"plan {number + 1} has changed the same objects"):
        changes.resume(center.datacenter, number, owner="", actor="test")


@pytest.mark.parametrize("step", ["begun: volume_clone", "journalled: authorize", "begun: reset"])
def test_an_interrupted_start_is_cancelled(center: Center, step: str) -> None:
    center.add_nodes(1, listening=False)
    center.add_appliances("web01")
    number = interrupted(center, "start", step, appliances=["web01"])
    Controller(center).go_on(changes.cancel(center.datacenter, number, owner="", actor="test"))
    assert states(center) == {"web01": "stopped", "node1": "idle"}
    assert center.leftovers() == []
    assert last_plan(center).state == "cancelled"
    start(center, "web01")


def test_check_of_resume_and_cancel_shows_the_plan_and_keeps_nothing(center: Center) -> None:
    center.add_nodes(1, listening=False)
    center.add_appliances("web01")
    number = interrupted(center, "start", "journalled: authorize", appliances=["web01"])
    with center.store.read() as tx:
        before = tx.plan(number)
    for call in (changes.resume, changes.cancel):
        shown = call(center.datacenter, number, owner="", actor="test", check=True)
        assert shown.lines[0] == "plan start"
        with center.store.read() as tx:
            assert tx.plan(number) == before


def test_what_is_over_is_not_cancelled_in_check_mode_either(center: Center) -> None:
    center.add_nodes(1, listening=False)
    center.add_appliances("web01")
    start(center, "web01")
    with pytest.raises(StateError, match="it is over"):
        changes.cancel(center.datacenter, last_plan(center).id, owner="", actor="test", check=True)


def test_an_interrupted_move_is_cancelled_back_to_the_old_machine(center: Center) -> None:
    center.add_nodes(2, listening=False)
    center.add_appliances("web01")
    start(center, "web01", to="node1")
    number = interrupted(center, "move", "journalled: revoke", appliances=["web01"], to="node2")
    with pytest.raises(ConflictError, match=f"operation cancel {number}"):
        Controller(center).run("stop", appliances=["web01"])
    Controller(center).go_on(changes.cancel(center.datacenter, number, owner="", actor="test"))
    assert states(center) == {"web01": "active", "node1": "active", "node2": "idle"}
    assert center.leftovers() == []


def test_a_stop_takes_the_place_of_a_start_whose_controller_died(center: Center) -> None:
    center.add_nodes(1, listening=True)
    center.add_appliances("web01")
    center.silent.add("node1")  # it has not fetched its order yet
    interrupted(center, "start", "done: order", appliances=["web01"])
    center.silent.clear()
    Controller(center).run("stop", appliances=["web01"])
    assert states(center) == {"web01": "stopped", "node1": "idle"}
    assert center.leftovers() == []


def test_a_plan_of_which_nothing_was_begun_is_withdrawn_for_another(center: Center) -> None:
    center.add_nodes(2, listening=False)
    center.add_appliances("web01", "web02")
    first = interrupted(center, "start", "plan", appliances=["web01", "web02"])
    stopped = Controller(center).run("stop", appliances=["web01"])
    assert stopped.unchanged == {"web01": "appliance web01 is stopped already"}
    assert last_plan(center).state == "cancelled"
    start(center, "web01", "web02")
    second = interrupted(center, "stop", "plan", appliances=["web01"])
    Controller(center).run("stop", appliances=["web01", "web02"])
    with center.store.read() as tx:
        assert [tx.plan(number).state for number in (first, second)] == ["cancelled", "cancelled"]
    assert center.leftovers() == []


def change_image(center: Center) -> str:
    with center.store.write("test", "edit") as tx:
        tx.save([replace(tx.appliance("web01"), kernel="other")])
    return "appliance web01"


def change_resource(center: Center) -> str:
    with center.store.write("test", "edit") as tx:
        tx.save([replace(tx.resource("node1"), address="10.77.0.200")])
    return "resource node1"


def switch_resource_off(center: Center) -> str:
    with center.store.write("test", "off") as tx:
        tx.set_state("resource", ["node1"], "off")
    return r"resource node1 \(off, it was reserved\)"


def change_storage(center: Center) -> str:
    with center.store.write("test", "edit") as tx:
        tx.save([replace(tx.storage("san1"), address="10.78.0.99")])
    return "appliance web01"


@pytest.mark.parametrize("change", [change_image, change_resource, switch_resource_off, change_storage])
def test_a_stale_plan_is_refused(center: Center, change: Any) -> None:
    center.add_nodes(1, listening=False)
    center.add_appliances("web01")
    prepared = changes.prepare(center.datacenter, "start", {"appliances": ["web01"]}, owner="", actor="test")
    what = change(center)
    files = center.files()
    with pytest.raises(
        StalePlanError, match=f"Plan {prepared.plan} .start. is stale: since it was made, {what}"
    ) as caught:
        changes.adopt(center.datacenter, prepared.plan, owner="", actor="test")
    assert caught.value.exit_code == 9
    assert center.files() == files
    assert last_plan(center).state == "cancelled"
    assert states(center)["web01"] == "stopped"
    assert place(center) == []


def test_the_same_command_makes_a_new_plan_of_a_stale_one(center: Center) -> None:
    center.add_nodes(1, listening=False)
    center.add_appliances("web01")
    old = changes.prepare(center.datacenter, "start", {"appliances": ["web01"]}, owner="", actor="test")
    change_image(center)
    start(center, "web01")
    assert last_plan(center).id == old.plan + 1
    with center.store.read() as tx:
        assert tx.resource("node1").kernel == OTHER_KERNEL.vmlinuz
    assert center.leftovers() == []


def test_what_nodes_report_makes_no_plan_stale(center: Center) -> None:
    center.add_nodes(1, listening=True)
    center.add_appliances("web01")
    prepared = changes.prepare(center.datacenter, "start", {"appliances": ["web01"]}, owner="", actor="test")
    center.boot(["node1"])
    adopted = changes.adopt(center.datacenter, prepared.plan, owner="", actor="test")
    assert adopted.segments == prepared.segments


def test_a_plan_of_a_living_process_is_left_alone(center: Center) -> None:
    center.add_nodes(1, listening=False)
    center.add_appliances("web01")
    prepared = changes.prepare(center.datacenter, "start", {"appliances": ["web01"]}, owner=owner_of(1), actor="test")
    for call in (changes.adopt, changes.resume, changes.cancel):
        with pytest.raises(ConflictError, match="is applied by"):
            call(center.datacenter, prepared.plan, owner="", actor="test")
    with pytest.raises(ConflictError, match="is applied by"):
        changes.cancel(center.datacenter, prepared.plan, owner="", actor="test", force=True)


def test_a_controller_on_another_host_holds_its_plan_for_its_lease(center: Center) -> None:
    center.add_nodes(1, listening=False)
    center.add_appliances("web01")
    assert not ELSEWHERE.startswith(f"{socket.gethostname()}:")
    prepared = changes.prepare(center.datacenter, "start", {"appliances": ["web01"]}, owner=ELSEWHERE, actor="test")
    with pytest.raises(ConflictError, match=f"operation cancel {prepared.plan} --force"):
        start(center, "web01")
    short = replace(center.config, deadlines=replace(center.config.deadlines, lease_s=0))
    center.config = short
    start(center, "web01")
    assert states(center) == {"web01": "active", "node1": "active"}


def test_force_cancels_the_plan_of_a_controller_on_another_host(center: Center) -> None:
    center.add_nodes(1, listening=False)
    center.add_appliances("web01")
    prepared = changes.prepare(center.datacenter, "start", {"appliances": ["web01"]}, owner=ELSEWHERE, actor="test")
    with pytest.raises(ConflictError):
        changes.cancel(center.datacenter, prepared.plan, owner="", actor="test")
    changes.cancel(center.datacenter, prepared.plan, owner="", actor="test", force=True)
    assert states(center) == {"web01": "stopped", "node1": "idle"}
    assert center.leftovers() == []


@pytest.mark.parametrize("verb", [changes.cancel, changes.resume])
def test_check_of_a_plan_refuses_what_applying_it_would(center: Center, verb: Any) -> None:
    """Of one that another process works on, and of one that is over; else it changes nothing."""
    center.add_nodes(1, listening=False)
    center.add_appliances("web01")
    prepared = changes.prepare(center.datacenter, "start", {"appliances": ["web01"]}, owner=ELSEWHERE, actor="test")
    with pytest.raises(ConflictError, match="is applied by"):
        verb(center.datacenter, prepared.plan, owner="", actor="test", check=True)
    center.config = replace(center.config, deadlines=replace(center.config.deadlines, lease_s=0))
    before = last_plan(center)
    shown = verb(center.datacenter, prepared.plan, owner="", actor="test", check=True)
    assert shown.lines[0] == "plan start"
    assert last_plan(center) == before
    start(center, "web01")
    with pytest.raises(StateError, match="is done"):
        verb(center.datacenter, prepared.plan, owner="", actor="test", check=True)


def test_a_quarantined_machine_is_reinstated(center: Center) -> None:
    center.add_nodes(2, listening=False)
    center.add_appliances("web01")
    center.silent.add("node1")
    start(center, "web01")
    Controller(center).run("resource_reinstate", resources=["node1"])
    assert states(center)["node1"] == "off"
    center.silent.clear()
    center.boot(["node1"])
    assert states(center)["node1"] == "idle"
    again = Controller(center).run("resource_reinstate", resources=["node1"])
    assert (again.plan, again.unchanged) == (0, {"node1": "resource node1 is idle, not quarantined"})
