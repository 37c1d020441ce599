"""Appliances whose machines boot a volume as their disk, with simulated machines: started, stopped, refused, killed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from openqrm import nodes
from openqrm.boot import tree
from openqrm.errors import ApplyError, InvalidValueError
from openqrm.model import Image, Nic, Resource, Storage, Volume
from openqrm.planning import changes

from tests.support.simulation import BLOCKS, LOCATION, Center, Controller, Factory, Killed, factory

__all__ = ["factory"]

IQN = "iqn.2010-09.com.openqrm"
NICS = (Nic("52:54:00:00:00:01", role="management"), Nic("52:54:00:00:01:01", role="storage", address="10.78.0.101/24"))


def add_images(center: Center) -> None:
    """A storage of block volumes with an image for each protocol."""
    with center.store.write("test", "images") as tx:
        tx.save([Storage(0, BLOCKS, "file", "san1", LOCATION, "10.78.0.10")])
        tx.save([Volume(0, name, BLOCKS, 64) for name in ("windows", "aoe")])
        tx.save([Image(0, "windows", BLOCKS, "windows", "sanboot"), Image(0, "aoe", BLOCKS, "aoe", "sanboot_aoe")])
    record = {"kind": "volume", "size_mib": 64, "archive": ""}
    objects = {f"{LOCATION}/{name}": record for name in ("windows", "aoe")}
    state = {"objects": objects, "faults_shown": {}}
    (center.root / "fake/storage_file.san1.json").write_text(json.dumps(state))


@contextmanager
def made(factory: Factory) -> Iterator[Center]:
    """A data centre with these images."""
    with factory.center() as center:
        add_images(center)
        yield center


@pytest.fixture
def center(factory: Factory) -> Iterator[Center]:
    """A data centre with these images."""
    with made(factory) as center:
        yield center


def resource(center: Center) -> Resource:
    """The machine, as the store has it."""
    with center.store.read() as tx:
        return tx.resource("node1")


def entries(center: Center) -> dict[str, str]:
    """The machine's files of the boot tree, by their loader."""
    names = tree.entry_names(resource(center).boot_mac)
    paths = {template.partition("/")[0]: center.root / "boot" / name for template, name in names.items()}
    return {loader: path.read_text() for loader, path in paths.items() if path.is_file()}


def number(center: Center, volume: str) -> int:
    """The number of a volume in the store."""
    with center.store.read() as tx:
        return int(tx.named("volume", [f"{BLOCKS}/{volume}"])[0].id)


@pytest.mark.parametrize("listening", [True, False])
def test_a_machine_boots_a_volume_and_comes_back(center: Center, listening: bool) -> None:
    center.config = replace(center.config, disk_wipe="full")
    center.add_nodes(1, listening=listening, nics=NICS)
    center.add_appliances("web", image="windows", parameters={"disk_grab": True})
    Controller(center).run("start", appliances="web")
    assert (resource(center).state, resource(center).mode) == ("active", "san")
    found = entries(center)
    assert f"sanboot iscsi:10.78.0.10::::{IQN}:blocks.web-0 ||" in found["ipxe"]
    assert f"set initiator-iqn {IQN}:node1\n" in found["ipxe"]
    assert "52:54:00:00:01:01" in found["ipxe"] and "/ip 10.78.0.101\n" in found["ipxe"]
    assert "/netmask 255.255.255.0\n" in found["ipxe"]
    assert "ipxe.lkrn" in found["pxelinux"] and "nodes/52-54-00-00-00-01.ipxe" in found["pxelinux"]
    assert "GRUB cannot boot" in found["grub"]
    (grant,) = center.fakes("deployment_sanboot", "san1")
    assert grant == f"{LOCATION}/web-0.raw 10.78.0.101"
    # It has no agent that could be heard.
    silent = replace(center.config, deadlines=replace(center.config.deadlines, heartbeat_s=1))
    assert nodes.mark_silent(center.store, silent) == []
    assert Controller(center).run("start", appliances="web").unchanged

    Controller(center).run("stop", appliances="web")
    assert (resource(center).state, resource(center).mode) == ("idle", "idle")
    assert entries(center) == {} and center.fakes("deployment_sanboot", "san1") == {}
    # Nothing of the machine's own disks was read, written or wiped.
    assert center.worked == [] and center.leftovers() == []


def test_a_volume_over_aoe_through_the_boot_nic(center: Center) -> None:
    center.add_nodes(1, listening=True)
    center.add_appliances("web", image="aoe", clone=False)
    Controller(center).run("start", appliances="web")
    shown = entries(center)["ipxe"]
    assert f"sanboot aoe:e1.{number(center, 'aoe')} ||" in shown
    assert "initiator-iqn" not in shown and "no_nic" not in shown
    Controller(center).run("stop", appliances="web")
    assert center.leftovers() == []


def test_the_check_says_what_the_start_does(center: Center) -> None:
    center.add_nodes(1, listening=True, nics=NICS)
    center.add_appliances("web", image="windows")
    before = center.files()
    checked = changes.prepare(center.datacenter, "start", {"appliances": "web"}, owner="", actor="test", check=True)
    assert center.files() == before
    done = Controller(center).run("start", appliances="web")
    assert list(checked.lines) == list(done.lines)
    assert [line for line in checked.lines if "deployment_sanboot" in line or "authorize" in line]


@pytest.mark.parametrize("verb", ["volume_clone", "authorize"])
def test_a_start_that_fails_leaves_nothing(center: Center, verb: str) -> None:
    center.add_nodes(1, listening=True, nics=NICS)
    center.add_appliances("web", image="windows")
    center.faults.append({"verb": verb, "fault": "fail"})
    with pytest.raises(ApplyError):
        Controller(center).run("start", appliances="web")
    assert center.leftovers() == [] and entries(center) == {} and resource(center).state == "idle"


def test_a_machine_that_does_not_take_the_order_leaves_nothing(center: Center) -> None:
    center.add_nodes(1, listening=True, nics=NICS, power_driver="")
    center.add_appliances("web", image="windows")
    center.silent.add("node1")
    with pytest.raises(ApplyError, match="reboot"):
        Controller(center).run("start", appliances="web")
    assert entries(center) == {} and center.fakes("deployment_sanboot", "san1") == {}


@pytest.mark.parametrize("root_mode", ["overlay", "private"])
def test_shared_roots_are_refused(center: Center, root_mode: str) -> None:
    center.add_nodes(1, listening=True, nics=NICS)
    center.add_appliances("web", image="windows", root_mode=root_mode)
    with pytest.raises(InvalidValueError, match=r"read-write|has no file systems"):
        Controller(center).run("start", appliances="web")
    assert resource(center).state == "idle"


@pytest.mark.parametrize("where", ["storage", "resource"])
def test_addresses_of_ipv6_are_refused(center: Center, where: str) -> None:
    nic = replace(NICS[1], address="2001:db8::1/64")
    center.add_nodes(1, listening=True, nics=(NICS[0], nic) if where == "resource" else NICS)
    if where == "storage":
        with center.store.write("test", "address") as tx:
            tx.save([replace(tx.storage(BLOCKS), address="2001:db8::10")])
    center.add_appliances("web", image="windows")
    with pytest.raises(InvalidValueError, match="not of IPv4"):
        Controller(center).run("start", appliances="web")
    assert center.leftovers() == []


@pytest.mark.parametrize("source", ["archive", "recipe", "oci"])
def test_what_is_no_disk_fills_no_image(center: Center, source: str) -> None:
    row = {"name": "new", "storage": BLOCKS, "deployment": "sanboot", "size_mib": 64, source: "/srv/root.tar"}
    with pytest.raises(InvalidValueError, match=rf"{source} makes a root file system, but deployment sanboot boots"):
        Controller(center).run("image_create", images=[row])
    assert center.leftovers() == []


def test_a_start_and_a_stop_that_are_killed_anywhere_converge(factory: Factory) -> None:
    for kill_at in range(0, 200, 7):
        with made(factory) as center:
            center.add_nodes(1, listening=True, nics=NICS)
            center.add_appliances("web", image="windows")
            ended = killed(center, kill_at, "start")
            assert (resource(center).state, resource(center).mode, center.leftovers()) == ("active", "san", [])
            ended = killed(center, kill_at, "stop") and ended
            assert (resource(center).state, center.leftovers()) == ("idle", [])
            if ended:
                return
    raise AssertionError("it never came to its end")


def killed(center: Center, kill_at: int, verb: str, **arguments: Any) -> bool:
    """Whether a controller that is killed at a step came to its end before; another one takes it from there."""
    try:
        Controller(center, kill_at=kill_at).run(verb, appliances="web", **arguments)
    except Killed:
        Controller(center).run(verb, appliances="web", **arguments)
        return False
    return True
