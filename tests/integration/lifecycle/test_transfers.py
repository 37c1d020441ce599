"""Transfers through the real playbooks with fake types: granted, told to the node, forgotten after success only."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from openqrm.errors import OpenqrmError
from openqrm.model import Image, Plan, Volume
from openqrm.transfers import Transfer, pending

from tests.support.center import FakeCenter, make_center

BASE = {"appliances": "web", "install_from": "base"}


@pytest.fixture
def center(tmp_path: Path) -> Iterator[FakeCenter]:
    """The appliances `web` and `other`, and images on the same server that nothing runs from."""
    made = make_center(tmp_path)
    made.add_nodes(3)
    made.add_appliances(["web", "other"])
    with made.store.write("test", "images") as tx:
        for name, deployment in (("base", "fake"), ("copy", "fake"), ("memory", "tmpfs"), ("block", "iscsi")):
            tx.save([Volume(0, name, "san1"), Image(0, name, "san1", name, deployment)])
    yield made
    made.store.close()


def newest(center: FakeCenter) -> Plan:
    with center.store.read() as tx:
        return tx.plans()[0]


def items(plan: Plan, verb: str) -> list[Mapping[str, Any]]:
    return [item for operation in plan.operations if operation.verb == verb for item in operation.items]


def grants(plan: Plan, verb: str) -> list[tuple[str, bool]]:
    return sorted((str(item["volume"]), bool(item["read_only"])) for item in items(plan, verb))


def told(plan: Plan) -> list[Any]:
    """What the manifests that the plan publishes say of a transfer, in order."""
    entries = [item for item in items(plan, "present") if "manifests/" in str(item["name"])]
    return [json.loads(str(entry["content"])).get("transfer") for entry in entries]


def left(center: FakeCenter) -> Transfer | None:
    with center.store.read() as tx:
        return pending(tx.appliance("web"))


def granted(center: FakeCenter) -> list[str]:
    """The grants that the fake server holds."""
    return sorted(json.loads((center.root / "fake/deployment.san1.json").read_text())["objects"])


@pytest.mark.parametrize(
    ("kind", "image", "direction"), [("install_from", "base", "install"), ("transfer_to", "copy", "save")]
)
def test_a_transfer_is_done_once(center: FakeCenter, kind: str, image: str, direction: str) -> None:
    checked = center.run("appliance_start", check=True, appliances="web", **{kind: image})
    assert checked.errors == ()
    assert left(center) is None
    result = center.run("appliance_start", appliances="web", **{kind: image})
    assert result.errors == ()
    plan = newest(center)
    assert grants(plan, "authorize") == sorted([("web-0", False), (image, direction == "install")])
    assert grants(plan, "revoke") == [(image, direction == "install")]
    during, after = told(plan)
    assert (during["direction"], during["name"], during["overwrite"]) == (direction, image, False)
    assert (during["id"], during["timeout_s"]) == (plan.id, 3000)
    assert after is None
    assert {item["deadline_s"] for item in items(plan, "wait_up")} == {3020}
    (manifest,) = (center.root / "boot/manifests").glob("52-*.json")
    assert "transfer" not in json.loads(manifest.read_text())
    assert left(center) is None
    assert center.run("appliance_stop", appliances="web").errors == ()
    assert granted(center) == []
    assert center.run("appliance_start", appliances="web").errors == ()
    assert told(newest(center)) == [None]


def test_a_start_that_fails_takes_the_grants_back_and_keeps_the_transfer(center: FakeCenter) -> None:
    center.fault({"verb": "reset", "fault": "fail", "times": 3})
    assert not center.run("appliance_start", **BASE).ok
    assert granted(center) == []
    first = left(center)
    assert first
    assert (first.kind, first.other) == ("install_from", "base")
    center.fault()
    assert center.run("appliance_start", appliances="web", overwrite=True, install_from="base").errors == ()
    during, _ = told(newest(center))
    assert (during["id"], during["overwrite"]) == (first.number, True)
    assert left(center) is None


def test_a_disk_needs_no_grant(center: FakeCenter) -> None:
    arguments = {"appliances": "web", "transfer_to_disk": "/dev/disk/by-id/nvme-x", "overwrite": True}
    made = center.prepare("start", owner="elsewhere:1:1", **arguments)
    with center.store.read() as tx:
        plan = tx.plan(made.plan)
    assert grants(plan, "authorize") == [("web-0", False)]
    assert told(plan)[0]["device"] == "/dev/disk/by-id/nvme-x"
    assert told(plan)[0]["overwrite"] is True


def test_an_archive_is_a_source_without_a_grant(center: FakeCenter) -> None:
    with center.store.write("test", "archive") as tx:
        parameters = {"archive": "a" * 64, "archive_format": "squashfs"}
        tx.save([replace(tx.image("memory"), parameters=parameters)])
    made = center.prepare("start", owner="elsewhere:1:1", appliances="web", install_from="memory")
    with center.store.read() as tx:
        plan = tx.plan(made.plan)
    assert grants(plan, "authorize") == [("web-0", False)]
    assert told(plan)[0]["archive"] == {"digest": "a" * 64, "format": "squashfs"}


def test_no_other_plan_uses_an_image_that_is_copied(center: FakeCenter) -> None:
    with center.store.write("test", "own") as tx:
        tx.save([replace(tx.appliance("other"), image="copy", clone=False)])
    center.prepare("start", owner="elsewhere:1:1", appliances="web", transfer_to="copy")
    with pytest.raises(OpenqrmError) as caught:
        center.prepare("start", owner="elsewhere:1:1", appliances="other")
    assert "Image copy is part of plan" in str(caught.value)
    with pytest.raises(OpenqrmError):
        center.prepare("image_remove", owner="elsewhere:1:1", images="copy", destroy_data=True)


def test_an_image_that_runs_is_not_copied_to(center: FakeCenter) -> None:
    with center.store.write("test", "own") as tx:
        tx.save([replace(tx.appliance("other"), image="copy", clone=False)])
    assert center.run("appliance_start", appliances="other").errors == ()
    with pytest.raises(OpenqrmError) as caught:
        center.prepare("start", owner="elsewhere:1:1", appliances="web", transfer_to="copy")
    assert "appliance other, member 0, runs from it" in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (BASE | {"transfer_to": "copy"}, "both given"),
        (BASE | {"appliances": "web,other"}, "several appliances"),
        ({"appliances": "web", "overwrite": True}, "without a transfer"),
        (BASE | {"install_from": "none"}, "does not exist"),
        (BASE | {"install_from": "../x"}, "not valid"),
        (BASE | {"install_from": "golden-san1"}, "its own image"),
        (BASE | {"install_from": "block"}, "deployed by iscsi"),
        ({"appliances": "web", "transfer_to": "memory"}, "cannot write an image that is deployed by tmpfs"),
        ({"appliances": "web", "install_from_disk": "sda"}, "is no device"),
        ({"appliances": "web", "install_from_disk": "/dev/../etc/passwd"}, "is no device"),
        ({"appliances": "web", "transfer_to_disk": "/dev/sda; reboot"}, "is no device"),
        ({"appliances": "web", "transfer_to_disk": 7}, "is no device"),
    ],
)
def test_what_cannot_be_is_refused(center: FakeCenter, arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(OpenqrmError) as caught:
        center.prepare("start", owner="elsewhere:1:1", **arguments)
    assert words in str(caught.value)
    assert left(center) is None


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"members": 2}, "2 members"),
        ({"root_mode": "overlay"}, "not its own to keep"),
        ({"image": "memory"}, "not its own to keep"),
        ({"parameters": {"transfer": "eat base 1"}}, "none that a start has set"),
    ],
)
def test_roots_that_cannot_be_installed_into_are_refused(
    center: FakeCenter, fields: dict[str, Any], words: str
) -> None:
    with center.store.write("test", "fields") as tx:
        tx.save([replace(tx.appliance("web"), **fields)])
    with pytest.raises(OpenqrmError) as caught:
        center.prepare("start", owner="elsewhere:1:1", **BASE)
    assert words in str(caught.value)
