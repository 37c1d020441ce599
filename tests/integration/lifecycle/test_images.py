"""Images, volumes and storages through the playbooks: with real directories on this machine, and fakes that fail."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from openqrm.datacenter import Datacenter
from openqrm.errors import OpenqrmError
from openqrm.model import Appliance, Storage
from openqrm.planning import changes

from tests.support.center import FakeCenter, make_center


@pytest.fixture
def center(tmp_path: Path) -> Iterator[FakeCenter]:
    made = make_center(tmp_path)
    yield made
    made.store.close()


@pytest.fixture
def archive(tmp_path: Path) -> str:
    """A root file system of one file, as an archive."""
    content = tmp_path / "content"
    (content / "etc").mkdir(parents=True)
    (content / "etc/hostname").write_text("golden\n")
    path = tmp_path / "golden.tar.zst"
    subprocess.run(["tar", "-C", str(content), "--zstd", "-cf", str(path), "."], check=True, timeout=60)
    return str(path)


def add_storage(center: FakeCenter, storage_type: str, name: str) -> Path:
    """A storage on this machine, made by the playbook; its location."""
    location = center.root / name
    entry = {"name": name, "type": storage_type, "host": "localhost", "location": str(location), "address": "10.78.0.1"}
    result = center.run("storage_create", storages=[entry])
    assert result.errors == ()
    return location


def volumes(center: FakeCenter) -> list[str]:
    with center.store.read() as tx:
        return [f"{volume.storage}/{volume.name}" for volume in tx.volumes()]


def images(center: FakeCenter) -> list[str]:
    with center.store.read() as tx:
        return [image.name for image in tx.images()]


def fake_volumes(center: FakeCenter) -> list[str]:
    """The volumes and locations that the fake storage type holds on this machine."""
    path = center.root / "fake/storage.localhost.json"
    return sorted(json.loads(path.read_text())["objects"]) if path.exists() else []


def entries(location: Path) -> list[str]:
    return sorted(entry.name for entry in location.iterdir())


def test_images_from_an_archive_until_their_data_is_destroyed(center: FakeCenter, archive: str) -> None:
    location = add_storage(center, "directory", "disk1")
    assert entries(location) == [], "the server was prepared"
    rows = [{"name": name, "storage": "disk1", "deployment": "fake", "archive": archive} for name in ("golden", "two")]

    checked = center.run("image_create", check=True, images=rows)
    assert checked.ok
    assert "storage_directory volume_create" in "\n".join(checked.diff)
    assert (images(center), entries(location)) == ([], [])

    created = center.run("image_create", images=rows)
    assert (created.errors, created.changed) == ((), True)
    assert (location / "golden/etc/hostname").read_text() == "golden\n"
    assert (images(center), volumes(center)) == (["golden", "two"], ["disk1/golden", "disk1/two"])
    again = center.run("image_create", images=rows)
    assert (again.ok, again.changed) == (True, False)
    assert again.stats["openqrm"]["unchanged"] == ["image golden exists already", "image two exists already"]

    with center.store.write("test", "appliance") as tx:
        tx.save([Appliance(0, "web01", "default", "golden")])
    refused = center.run("image_remove", images="golden,two", destroy_data=True)
    message = "Image golden is used by appliance web01. Remove or change these first."
    assert (refused.exit_code, refused.errors, entries(location)) == (4, (message,), ["golden", "two"])
    with center.store.write("test", "appliance") as tx:
        tx.remove("appliance", ["web01"])

    assert center.run("image_remove", images="golden").errors == ()
    assert (images(center), volumes(center)) == (["two"], ["disk1/golden", "disk1/two"])
    assert (location / "golden/etc/hostname").exists(), "the data stays unless its destruction is asked for"
    destroyed = center.run("image_remove", images="golden,two", destroy_data=True)
    assert (destroyed.errors, destroyed.stats["openqrm"]["unchanged"]) == ((), ["image golden does not exist"])
    assert (images(center), volumes(center), entries(location)) == ([], ["disk1/golden"], ["golden"])


def test_volumes_are_made_cloned_and_removed(center: FakeCenter) -> None:
    location = add_storage(center, "directory", "disk1")
    assert center.run("volume_create", volumes=[{"name": "data", "storage": "disk1", "size_mib": 64}]).errors == ()
    (location / "data/kept").write_text("kept\n")
    clone = {"name": "copy", "storage": "disk1", "source": "data"}
    assert center.run("volume_create", volumes=[clone]).errors == ()
    assert (location / "copy/kept").read_text() == "kept\n"
    with center.store.read() as tx:
        assert [(volume.name, volume.parent) for volume in tx.volumes("disk1")] == [("copy", "data"), ("data", "")]
    again = center.run("volume_create", volumes=[clone])
    assert (again.changed, again.stats["openqrm"]["unchanged"]) == (False, ["volume disk1/copy exists already"])
    unknown = center.run("volume_create", volumes=[clone | {"name": "other", "source": "dta"}])
    assert unknown.exit_code == 3

    kept = center.run("volume_remove", volumes="disk1/copy")
    assert (kept.exit_code, kept.errors) == (
        2,
        ("Removing volume disk1/copy destroys its data. Say so: destroy_data=true.",),
    )
    assert entries(location) == ["copy", "data"]
    assert center.run("volume_remove", volumes="disk1/copy,disk1/data", destroy_data=True).errors == ()
    assert (volumes(center), entries(location)) == ([], [])


def test_a_volume_that_an_image_uses_stays(center: FakeCenter) -> None:
    add_storage(center, "fake", "disk1")
    assert center.run("image_create", images=[{"name": "web", "storage": "disk1", "deployment": "fake"}]).errors == ()
    refused = center.run("volume_remove", volumes="disk1/web", destroy_data=True)
    assert (refused.exit_code, refused.errors) == (
        4,
        ("Volume disk1/web is used by image web. Remove the image first.",),
    )
    assert f"{center.root}/disk1/web" in fake_volumes(center)


def test_a_failed_creation_leaves_nothing(center: FakeCenter) -> None:
    add_storage(center, "fake", "disk1")
    before = fake_volumes(center)
    rows = [{"name": name, "storage": "disk1", "deployment": "fake"} for name in ("one", "two")]
    center.fault({"verb": "volume_create", "item": "two", "fault": "fail", "times": 3})
    failed = center.run("image_create", images=rows)
    assert failed.exit_code == 8
    assert "volume_create of two: the fault that was asked for" in failed.errors[-1]
    assert "What it had done was undone." in failed.errors[-1]
    assert (images(center), volumes(center), fake_volumes(center)) == ([], [], before)
    with center.store.read() as tx:
        assert tx.plans()[0].state == "undone"
    assert center.run("image_create", images=rows).errors == ()
    assert images(center) == ["one", "two"]


def test_an_undo_that_fails_too_says_what_is_left(center: FakeCenter) -> None:
    add_storage(center, "fake", "disk1")
    center.fault({"verb": "volume_create", "item": "one", "fault": "fail"}, {"verb": "volume_remove", "fault": "fail"})
    failed = center.run("image_create", images=[{"name": "one", "storage": "disk1", "deployment": "fake"}])
    assert failed.exit_code == 8
    assert "Undoing it failed too: localhost: storage_fake volume_remove" in failed.errors[-1]
    with center.store.read() as tx:
        assert (tx.plans()[0].state, tx.images()) == ("failed", [])


BAD: dict[str, tuple[str, dict[str, object], int, str]] = {
    "no image": ("image_create", {}, 2, "No image is given. Give images: a list of name, storage, deployment"),
    "unknown key": (
        "image_create",
        {"images": [{"name": "a", "storage": "disk1", "deployment": "fake", "size": 1}]},
        2,
        "Image a: size is not known. Known: name, storage,",
    ),
    "recipe and archive": (
        "image_create",
        {"images": [{"name": "a", "storage": "disk1", "deployment": "fake", "recipe": {"suite": "x"}, "archive": "/"}]},
        2,
        "Image a: recipe and archive are both given.",
    ),
    "unknown storage": (
        "image_create",
        {"images": [{"name": "a", "storage": "disk2", "deployment": "fake"}]},
        3,
        "Image a: storage disk2 does not exist. Did you mean disk1?",
    ),
    "unknown deployment": (
        "image_create",
        {"images": [{"name": "a", "storage": "disk1", "deployment": "fakes"}]},
        3,
        "Deployment type fakes does not exist. Known deployment types:",
    ),
    "volume without storage": ("volume_remove", {"volumes": "data"}, 2, "Volume 'data' names no storage."),
    "no image named": ("image_remove", {}, 2, "No image is named. Give images, as `-e images=one,two`."),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_before_anything_is_planned(center: FakeCenter, case: str) -> None:
    verb, arguments, code, message = BAD[case]
    with center.store.write("test", "storage") as tx:
        tx.save([Storage(0, "disk1", "fake", "localhost", "/srv", "10.78.0.1")])
    datacenter = Datacenter(center.config, center.store)
    with pytest.raises(OpenqrmError) as caught:
        changes.prepare(datacenter, verb, arguments, owner="", actor="test")
    assert (caught.value.exit_code, str(caught.value)[: len(message)]) == (code, message)
    with center.store.read() as tx:
        assert tx.plans() == []


def test_a_storage_whose_server_cannot_be_prepared_says_so(center: FakeCenter) -> None:
    center.fault({"verb": "prepare", "fault": "fail", "times": 3})
    entry = {"name": "san1", "type": "fake", "host": "san1", "location": "/srv", "address": "10.78.0.10"}
    failed = center.run("storage_create", storages=[entry])
    assert failed.exit_code == 8
    assert failed.errors[-1].startswith("san1: storage_fake prepare: ")
    assert "Run the command again to finish it." in failed.errors[-1]
    again = center.run("storage_create", storages=[entry])
    assert again.errors == ()
    assert json.loads((center.root / "fake/storage.san1.json").read_text())["objects"].keys() == {"/srv"}
