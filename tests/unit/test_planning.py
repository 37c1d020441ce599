"""Planning rules that need no store: how steps become operations, and what counts as reached."""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime, timedelta

import pytest
from openqrm.model import Operation, Resource
from openqrm.planning import changes, nodes, owner
from openqrm.planning.operations import Step, group, variable_of

STORAGE = "openqrm.datacenter.storage_fake"
BOOT = "openqrm.datacenter.service_boot"


def test_equal_calls_on_one_host_become_one_operation_with_a_list() -> None:
    steps = [Step(20, "san1", STORAGE, "volume_clone", {"name": name}) for name in ("a", "b", "a")]
    (operation,) = group(steps)
    assert operation.items == ({"name": "a"}, {"name": "b"})
    assert (operation.phase, operation.seq, operation.variable) == (1, 1, "storage_volumes")


def test_stages_become_phases_without_gaps_and_keep_their_order() -> None:
    steps = [
        Step(90, "localhost", BOOT, "present", {"name": "x"}),
        Step(10, "san2", STORAGE, "volume_clone", {"name": "a"}),
        Step(10, "san1", STORAGE, "volume_clone", {"name": "b"}),
    ]
    assert [(o.phase, o.host) for o in group(steps)] == [(1, "san1"), (1, "san2"), (2, "localhost")]


def test_hosts_of_one_phase_and_verb_are_one_call_and_neighbours_one_segment() -> None:
    steps = [Step(10, host, STORAGE, "volume_clone", {"name": host}) for host in ("san1", "san2")]
    steps += [Step(20, host, STORAGE, "volume_resize", {"name": host}) for host in ("san1", "san2")]
    steps += [Step(30, "localhost", BOOT, "present", {"name": "x"})]
    first, second = changes.segments_of(group(steps))
    assert (first["hosts"], second["hosts"]) == (["san1", "san2"], ["localhost"])
    assert [call["seqs"] for call in first["calls"]] == [{"san1": 1, "san2": 2}, {"san1": 3, "san2": 4}]
    assert first["calls"][0]["result"] == "storage_fake_result"


@pytest.mark.parametrize(
    ("role", "verb", "variable"),
    [
        (STORAGE, "prepare", "storage_locations"),
        (STORAGE, "volume_create", "storage_volumes"),
        ("acme.arrays.storage_big", "volume_list", "storage_locations"),
        ("openqrm.datacenter.deployment_nfs", "authorize", "deployment_grants"),
        ("openqrm.datacenter.image_builder", "build", "image_builder_recipes"),
        ("openqrm.datacenter.image_grab", "copy", "image_grab_systems"),
        ("openqrm.datacenter.image_kernel", "fetch", "image_kernel_images"),
        ("openqrm.datacenter.image_oci", "unpack", "image_oci_images"),
        ("openqrm.datacenter.image_shelf", "fetch", "image_shelf_templates"),
    ],
)
def test_each_family_has_its_list_variable(role: str, verb: str, variable: str) -> None:
    assert variable_of(role, verb) == variable


UP = {"resource": "n1", "epoch": 3, "manifest": "d" * 64, "stage": "up"}


@pytest.mark.parametrize(
    ("reported", "word"),
    [
        ({"mode": "deployed", "reported_epoch": 3, "manifest": "d" * 64, "stage": "up"}, ""),
        ({"mode": "deployed", "reported_epoch": 3, "manifest": "d" * 64, "stage": "init"}, "stage init"),
        ({"mode": "deployed", "reported_epoch": 2, "manifest": "d" * 64, "stage": "up"}, "epoch 2"),
        ({"mode": "deployed", "reported_epoch": 3, "manifest": "e" * 64, "stage": "up"}, "manifest eeeeeeeeeeee"),
        ({"mode": "idle"}, "idle"),
        ({}, "nothing"),
    ],
)
def test_a_node_is_up_only_with_the_right_epoch_manifest_and_stage(reported: dict[str, object], word: str) -> None:
    reason = nodes.reached("wait_up", UP, Resource(1, "n1", **reported))  # type: ignore[arg-type]
    assert (word in reason) if word else reason == ""


def test_idle_counts_only_after_a_new_boot() -> None:
    item = {"resource": "n1", "boot_id": "one"}
    assert nodes.reached("wait_idle", item, Resource(1, "n1", mode="idle", boot_id="one"))
    assert nodes.reached("wait_idle", item, Resource(1, "n1", mode="deployed", boot_id="two"))
    assert nodes.reached("wait_idle", item, Resource(1, "n1", mode="idle", boot_id="two")) == ""


def test_the_owner_is_this_process_until_it_ends() -> None:
    me = owner.owner_of()
    host, pid, started = me.split(":")
    assert owner.lives(me)
    assert not owner.lives(f"{host}:{pid}:{int(started) + 1}")
    assert not owner.lives("")


def test_a_process_that_was_killed_but_not_waited_for_has_ended() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        killed = owner.owner_of(process.pid)
        assert owner.lives(killed)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert not owner.lives(killed)


def test_an_owner_on_another_host_lives_for_its_lease() -> None:
    elsewhere = f"elsewhere:{os.getpid()}:1"
    heard = datetime.now(UTC) - timedelta(seconds=60)
    assert owner.lives(elsewhere, heard=heard, lease_s=90)
    assert not owner.lives(elsewhere, heard=heard, lease_s=30)
    assert not owner.lives(elsewhere, heard=None, lease_s=90)


def test_ours_is_this_process_and_those_that_it_descends_from() -> None:
    assert owner.is_ours(owner.owner_of())
    assert owner.is_ours(owner.owner_of(os.getppid()))
    assert not owner.is_ours(owner.owner_of(1))
    assert not owner.is_ours("")


def test_the_description_names_hosts_items_and_digests_but_no_content() -> None:
    from openqrm.model import Plan

    operation = Operation(
        1, 1, "boot1", BOOT, "present", "service_entries", ({"name": "x", "root": "/r", "content": "secret"},)
    )
    lines = changes.describe(Plan(1, "start", "planned", "", (operation,)))
    assert lines[1] == "  1. boot1: service_boot present"
    assert "secret" not in "\n".join(lines)
    assert "name=x" in lines[2]


def test_the_description_of_a_plan_without_operations_names_its_objects() -> None:
    from openqrm.model import Plan

    rows = ({"kind": "appliance", "name": "web01"}, {"kind": "settled", "name": ""})
    assert changes.describe(Plan(1, "appliance_remove", "planned", "", (), rows)) == [
        "plan appliance_remove",
        "  appliance web01",
    ]
