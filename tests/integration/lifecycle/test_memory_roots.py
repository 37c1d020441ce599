"""Roots in memory: archives published and started from by the real playbooks, and what is granted without one."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from openqrm.datacenter import Datacenter
from openqrm.desired import present
from openqrm.errors import NoResourceError, OpenqrmError
from openqrm.model import Image, Plan, Volume
from openqrm.planning import changes

from tests.support.center import FakeCenter, make_center


@pytest.fixture
def center(tmp_path: Path) -> Iterator[FakeCenter]:
    """Three machines of 2 GiB, and the appliance `kiosk` of two members with roots in memory."""
    made = make_center(tmp_path)
    made.add_nodes(3)
    made.add_appliances(["kiosk"], members=2)
    with made.store.write("test", "image") as tx:
        tx.save([Volume(0, "kiosk", "san1")])
        tx.save([Image(0, "kiosk", "san1", "kiosk", "tmpfs", shared=True, parameters={"memory_size_mib": 300})])
        tx.save([replace(tx.appliance("kiosk"), image="kiosk")])
    yield made
    made.store.close()


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "kiosk.tar.zst"
    (tmp_path / "content").mkdir()
    (tmp_path / "content/hostname").write_text("kiosk\n")
    subprocess.run(["tar", "-C", tmp_path / "content", "--zstd", "-cf", path, "."], check=True, timeout=60)
    return path


def planned(center: FakeCenter, verb: str, **arguments: object) -> Plan:
    """The plan of a verb."""
    made = center.prepare(verb, owner="elsewhere:1:1", **arguments)
    with center.store.read() as tx:
        return tx.plan(made.plan)


def items(plan: Plan, verb: str) -> list[dict[str, Any]]:
    return [dict(item) for operation in plan.operations if operation.verb == verb for item in operation.items]


def manifests(center: FakeCenter) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted((center.root / "boot/manifests").glob("52-*.json"))]


def change_image(center: FakeCenter, **entry: object) -> None:
    """Checks a change of the image as every way of describing it does."""
    types = Datacenter(center.config, center.store).types
    with center.store.read() as tx:
        present(tx, lambda: types, "image", [{"name": "kiosk", **entry}])


def test_a_volume_is_granted_for_reading_and_never_cloned(center: FakeCenter) -> None:
    plan = planned(center, "start", appliances="kiosk")
    assert [(item["volume"], item["read_only"]) for item in items(plan, "authorize")] == [("kiosk", True)] * 2
    assert not [operation for operation in plan.operations if operation.verb.startswith("volume_")]
    texts = [json.loads(str(item["content"])) for item in items(plan, "present") if "manifests/" in str(item["name"])]
    assert [text["memory"] for text in texts] == [{"size_mib": 300}] * 2
    assert {text["deployment"]["parameters"]["source"] for text in texts} == {"10.78.0.10:/srv/fake/kiosk"}
    waits = {item["deadline_s"] for item in items(plan, "wait_up")}
    assert waits == {20}, "a root that is filled is given the whole time, also where it is taken over in place"


def test_the_root_counts_to_the_memory_that_is_needed(center: FakeCenter) -> None:
    with center.store.write("test", "size") as tx:
        has = tx.resources()[0].memory_mib
        tx.save([replace(tx.image("kiosk"), parameters={"memory_size_mib": has})])
    with pytest.raises(NoResourceError) as caught:
        center.prepare("start", owner="elsewhere:1:1", appliances="kiosk")
    assert "memory" in f"{caught.value} {caught.value.remedy}"


def test_an_archive_is_published_and_fills_roots_without_a_grant(center: FakeCenter, archive: Path) -> None:
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    blob = center.root / "boot/blobs" / digest
    checked = center.run("image_publish", check=True, image="kiosk", archive=str(archive))
    assert checked.errors == ()
    assert not blob.exists()
    for changed in (True, False):
        result = center.run("image_publish", image="kiosk", archive=str(archive))
        assert (result.errors, result.changed) == ((), changed)
        assert blob.read_bytes() == archive.read_bytes()
    result = center.run("appliance_start", appliances="kiosk")
    assert result.errors == ()
    source = {"archive": {"digest": digest, "format": "tar.zst"}}
    assert [manifest["memory"] for manifest in manifests(center)] == [{"size_mib": 300} | source] * 2
    with center.store.read() as tx:
        assert not items(tx.plans()[0], "authorize")
    for refused in ("image_publish", "image_set"):
        more = {"image": "kiosk", "archive": str(archive), "sha256": "a" * 64}
        entry = {"images": [{"name": "kiosk", "parameters": {"archive": None}}]}
        taken = center.run(refused, **(more if refused == "image_publish" else entry))
        assert any("kiosk" in error and "appliance" in error for error in taken.errors), taken.errors
    assert center.run("appliance_stop", appliances="kiosk").errors == ()
    with center.store.read() as tx:
        assert not items(tx.plans()[0], "revoke")


def test_a_file_that_is_another_one_meanwhile_is_not_published(center: FakeCenter, archive: Path) -> None:
    result = center.run("image_publish", image="kiosk", archive=str(archive), sha256="a" * 64)
    assert any("has the SHA-256" in error for error in result.errors), result.errors
    with center.store.read() as tx:
        assert dict(tx.image("kiosk").parameters) == {"memory_size_mib": 300}
    assert not (center.root / f"boot/blobs/{'a' * 64}").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"image": "golden-san1"}, "fetch no archive"),
        ({"image": "none"}, "does not exist"),
        ({"archive": "/srv/kiosk.zip"}, "of no known kind"),
        ({"archive": "kiosk.tar.zst"}, "not valid"),
        ({"sha256": "abc"}, "sha256"),
        ({"archive": None}, "archive"),
    ],
)
def test_what_cannot_be_published_is_refused(center: FakeCenter, arguments: dict[str, Any], words: str) -> None:
    given = {"image": "kiosk", "archive": "/srv/kiosk.tar.zst", "sha256": "a" * 64, **arguments}
    with pytest.raises(OpenqrmError) as caught:
        changes.prepare(
            Datacenter(center.config, center.store), "image_publish", given, owner="elsewhere:1:1", actor="test"
        )
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"parameters": {"memory_size_mib": 0}}, "memory_size_mib"),
        ({"parameters": {"memory_size_mib": "big"}}, "memory_size_mib"),
        ({"parameters": {"archive": "abc", "archive_format": "squashfs"}}, "archive"),
        ({"parameters": {"archive": "a" * 64, "archive_format": "zip"}}, "archive_format"),
        ({"shared": False}, "shared"),
    ],
)
def test_settings_that_cannot_be_are_refused(center: FakeCenter, entry: dict[str, Any], words: str) -> None:
    with pytest.raises(OpenqrmError) as caught:
        change_image(center, **entry)
    assert words in str(caught.value)


def test_members_need_an_image_that_is_shared_and_a_root_of_their_own(center: FakeCenter) -> None:
    types = Datacenter(center.config, center.store).types
    with center.store.write("test", "unshare") as tx:
        tx.save([Volume(0, "own", "san1"), Image(0, "own", "san1", "own", "tmpfs")])
    for entry, words in (
        ({"name": "kiosk", "image": "own"}, "is not shared"),
        ({"name": "kiosk", "root_mode": "overlay"}, "boot mode is memory"),
    ):
        with center.store.read() as tx, pytest.raises(OpenqrmError) as caught:
            present(tx, lambda: types, "appliance", [entry])
        assert words in str(caught.value)
