"""Appliances on machines' own disks, with simulated machines: deployed, grabbed, wiped, and killed anywhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from openqrm import nodes
from openqrm.boot import tree
from openqrm.errors import ApplyError, InUseError, InvalidValueError, StateError
from openqrm.model import Image, Volume

from tests.support.simulation import Center, Controller, Factory, Killed, factory

__all__ = ["factory"]

KEEP = {"disk": "vda", "disk_overwrite": True, "disk_grab": True}


@pytest.fixture
def center(factory: Factory) -> Iterator[Center]:
    """A data centre with an image of a local disk."""
    with factory.center() as made:
        with made.store.write("test", "images") as tx:
            tx.save([Volume(0, "disk", "san1"), Image(0, "disk", "san1", "disk", "local")])
        state = made.root / "fake/storage.san1.json"
        data = json.loads(state.read_text())
        data["objects"]["/srv/fake/disk"] = dict(data["objects"]["/srv/fake/golden"])
        state.write_text(json.dumps(data))
        yield made


def resource(center: Center, name: str = "node1") -> Any:
    """A resource as the store has it."""
    with center.store.read() as tx:
        return tx.resource(name)


def entry(center: Center, name: str) -> str:
    """A file of the boot tree; empty where it is not there."""
    path = center.root / "boot" / name
    return path.read_text() if path.is_file() else ""


@pytest.mark.parametrize("listening", [True, False])
def test_a_machine_boots_its_disk_and_comes_back(center: Center, listening: bool) -> None:
    center.add_nodes(1, listening=listening)
    center.add_appliances("web", image="disk", parameters=KEEP)
    Controller(center).run("start", appliances="web")
    assert center.worked == [("node1", {"action": "deploy", "name": "vda", "overwrite": True})]
    assert (resource(center).state, resource(center).mode) == ("active", "local")
    names = tree.entry_names(resource(center).boot_mac)
    assert "sanboot" in entry(center, names["ipxe/node.ipxe.j2"])
    assert "LOCALBOOT" in entry(center, names["pxelinux/node.pxelinux.j2"])
    assert "chainloader" in entry(center, names["grub/node.grub.j2"])
    assert center.leftovers() == []
    silent = replace(center.config, deadlines=replace(center.config.deadlines, heartbeat_s=1))
    assert nodes.mark_silent(center.store, silent) == []

    Controller(center).run("stop", appliances="web")
    assert center.worked[1:] == [("node1", {"action": "grab", "name": "vda", "overwrite": True})]
    assert (resource(center).state, resource(center).mode) == ("idle", "idle")
    assert not any(entry(center, name) for name in tree.node_names(resource(center).boot_mac))
    assert center.leftovers() == []


def test_nothing_is_read_back_or_wiped_unless_that_is_said(center: Center) -> None:
    center.add_nodes(1, listening=True)
    center.add_appliances("web", image="disk")
    Controller(center).run("start", appliances="web")
    Controller(center).run("stop", appliances="web")
    assert center.worked == [("node1", {"action": "deploy", "name": "", "overwrite": False})]


@pytest.mark.parametrize(("policy", "own", "wiped"), [("full", {}, "full"), ("none", {"disk_wipe": "quick"}, "quick")])
def test_disks_are_wiped_on_release_by_policy(center: Center, policy: str, own: dict[str, str], wiped: str) -> None:
    center.config = replace(center.config, disk_wipe=policy)
    center.add_nodes(1, listening=True, parameters=own)
    center.add_appliances("web", image="disk", parameters={"disk_grab": True})
    Controller(center).run("start", appliances="web")
    Controller(center).run("stop", appliances="web")
    assert [disk for _, disk in center.worked[1:]] == [
        {"action": "grab", "name": "", "overwrite": True},
        {"action": "wipe", "name": "all", "wipe": wiped},
    ]


def test_a_refusal_of_the_machine_fails_the_start_and_nothing_is_left(center: Center) -> None:
    center.add_nodes(1, listening=True)
    center.add_appliances("web", image="disk")
    center.refusals["deploy"] = "deploy: disk vda holds data (vda: ext4)"
    with pytest.raises(ApplyError, match="disk vda holds data"):
        Controller(center).run("start", appliances="web")
    assert center.leftovers() == [] and resource(center).state == "idle"
    # And what was not deployed is neither grabbed nor wiped.
    assert center.worked == []


def test_a_start_that_is_killed_anywhere_converges(factory: Factory) -> None:
    for kill_at in range(0, 200, 7):
        with factory.center() as center:
            with center.store.write("test", "images") as tx:
                tx.save([Volume(0, "disk", "san1"), Image(0, "disk", "san1", "disk", "local")])
            state = center.root / "fake/storage.san1.json"
            data = json.loads(state.read_text())
            data["objects"]["/srv/fake/disk"] = dict(data["objects"]["/srv/fake/golden"])
            state.write_text(json.dumps(data))
            center.add_nodes(1, listening=True)
            center.add_appliances("web", image="disk", parameters=KEEP)
            first = Controller(center, kill_at=kill_at)
            try:
                first.run("start", appliances="web")
                ended = True
            except Killed:
                ended = False
                Controller(center).run("start", appliances="web")
            assert (resource(center).state, center.leftovers()) == ("active", []), first.steps[-1]
            stop = Controller(center, kill_at=kill_at)
            try:
                stop.run("stop", appliances="web")
            except Killed:
                Controller(center).run("stop", appliances="web")
            assert (resource(center).state, center.leftovers()) == ("idle", []), stop.steps[-1]
            assert {disk["action"] for _, disk in center.worked} == {"deploy", "grab"}
            if ended and kill_at > len(stop.steps):
                return
    raise AssertionError("it never came to its end")


def test_a_disk_is_grabbed(center: Center) -> None:
    center.add_nodes(1, listening=True)
    Controller(center).run("resource_grab", resource="node1", image="disk", disk="all")
    ((name, disk),) = center.worked
    assert (name, disk["action"], disk["name"], disk["overwrite"]) == ("node1", "grab", "all", False)
    assert center.leftovers() == [] and resource(center).state == "idle"


def test_a_grab_that_is_refused_by_the_machine(center: Center) -> None:
    center.add_nodes(1, listening=True)
    center.refusals["grab"] = "grab: the image holds a disk already"
    with pytest.raises(ApplyError, match="the image holds a disk already"):
        Controller(center).run("resource_grab", resource="node1", image="disk")
    assert center.leftovers() == [] and resource(center).state == "idle"


def test_what_cannot_be_grabbed_is_refused(center: Center) -> None:
    center.add_nodes(2, listening=True)
    with pytest.raises(InvalidValueError, match="deployed by fake"):
        Controller(center).run("resource_grab", resource="node1", image="golden")
    with pytest.raises(InvalidValueError, match="is not valid"):
        Controller(center).run("resource_grab", resource="node1", image="disk", disk="../x")
    center.add_appliances("web", image="disk", clone=False)
    Controller(center).run("start", appliances="web")
    with pytest.raises(StateError, match="active"):
        Controller(center).run("resource_grab", resource="node1", image="disk")
    with pytest.raises(InUseError, match="used by appliance web"):
        Controller(center).run("resource_grab", resource="node2", image="disk")
    assert center.leftovers() == []


def adopt(center: Center) -> None:
    """A server that runs, as an operator adds it."""
    center.add_nodes(1, listening=False)
    with center.store.write("test", "new") as tx:
        node = tx.resource("node1")
        tx.remove("resource", ["node1"])
        tx.save([replace(node, id=0, state="new", mode="", boot_id="", cores=0, memory_mib=0)])
    Controller(center).run("resource_adopt", resource="node1", storage="san1", appliance="crm")


def test_a_server_that_runs_is_adopted_and_its_disk_is_never_touched(center: Center) -> None:
    center.config = replace(center.config, disk_wipe="full")
    adopt(center)
    assert (resource(center).state, resource(center).mode) == ("active", "local")
    with center.store.read() as tx:
        (row,) = tx.assignments()
        assert (row.appliance, tx.appliance("crm").state, tx.image("crm").deployment) == ("crm", "active", "adopted")
    assert "sanboot" in entry(center, tree.entry_names(resource(center).boot_mac)["ipxe/node.ipxe.j2"])
    assert center.leftovers() == []
    assert Controller(center).run("resource_adopt", resource="node1", storage="san1").unchanged

    Controller(center).run("stop", appliances="crm")
    assert (resource(center).state, resource(center).mode) == ("idle", "idle")
    assert not any(entry(center, name) for name in tree.node_names(resource(center).boot_mac))
    Controller(center).run("start", appliances="crm")
    assert (resource(center).state, resource(center).mode) == ("active", "local")
    assert center.worked == [] and center.leftovers() == []


def test_what_is_not_a_running_server_is_not_adopted(center: Center) -> None:
    center.add_nodes(1, listening=True)
    with pytest.raises(StateError, match="is idle, not new"):
        Controller(center).run("resource_adopt", resource="node1", storage="san1")
    adopt_again = replace(resource(center), id=0, name="other", state="new", nics=(), last_seen=None)
    with center.store.write("test", "new") as tx:
        tx.save([adopt_again])
    with pytest.raises(InvalidValueError, match="has no MAC address"):
        Controller(center).run("resource_adopt", resource="other", storage="san1")


@pytest.mark.parametrize("device", ["/dev/vda2", "LABEL=root"])
def test_a_root_on_a_local_partition(center: Center, device: str) -> None:
    image = Image(0, "rooted", "san1", "rooted", "local_root", parameters={"root_device": device})
    with center.store.write("test", "images") as tx:
        tx.save([Volume(0, "rooted", "san1"), image])
    center.add_nodes(1, listening=True)
    center.add_appliances("web", image="rooted", clone=False)
    Controller(center).run("start", appliances="web")
    manifest = json.loads(entry(center, tree.manifest_name(resource(center).boot_mac)))
    assert (
        manifest["deployment"]["parameters"] == {"device": device} and manifest["deployment"]["method"] == "local_root"
    )
    Controller(center).run("stop", appliances="web")
    assert resource(center).state == "idle"


@pytest.mark.parametrize("device", ["", "sda1", "/dev/../etc", "LABEL=a b"])
def test_a_root_that_is_not_named_is_refused(center: Center, device: str) -> None:
    image = Image(0, "rooted", "san1", "rooted", "local_root", parameters={"root_device": device})
    with center.store.write("test", "images") as tx:
        tx.save([Volume(0, "rooted", "san1"), image])
    center.add_nodes(1, listening=True)
    center.add_appliances("web", image="rooted", clone=False)
    with pytest.raises(InvalidValueError, match="root_device"):
        Controller(center).run("start", appliances="web")
    assert resource(center).state == "idle"
