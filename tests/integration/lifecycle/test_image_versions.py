"""Images after their creation: clones, versions, going back, size, name; on real directories and with the fake type."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from openqrm.model import Appliance, Image

from tests.integration.lifecycle.test_images import add_storage, entries, images, volumes
from tests.support.center import FakeCenter, make_center


@pytest.fixture
def center(tmp_path: Path) -> Iterator[FakeCenter]:
    made = make_center(tmp_path)
    yield made
    made.store.close()


def image(center: FakeCenter, name: str) -> Image:
    """The image as stored."""
    with center.store.read() as tx:
        return tx.image(name)


def create(center: FakeCenter, name: str, **more: object) -> None:
    """An image on the storage `disk1`."""
    row = {"name": name, "storage": "disk1", "deployment": "fake", **more}
    assert center.run("image_create", images=[row]).errors == ()


def runs(center: FakeCenter, name: str) -> None:
    """Has an appliance run from the image."""
    with center.store.write("test", "runs") as tx:
        tx.save([Appliance(0, "web01", "default", name, clone=False)])
        tx.assign([("web01", 0, "node00001", name, 1)])


def test_going_back_to_a_version_loses_nothing(center: FakeCenter) -> None:
    location = add_storage(center, "directory", "disk1")
    create(center, "web")
    (location / "web/page").write_text("first\n")
    checked = center.run("image_snapshot", check=True, images="web")
    assert "name=web.v1" in "\n".join(checked.diff)
    assert entries(location) == ["web"]
    assert center.run("image_snapshot", images="web").errors == ()
    (location / "web/page").write_text("second\n")
    assert (location / "web.v1/page").read_text() == "first\n"

    assert center.run("image_rollback", image="web", version=1).errors == ()
    assert (image(center, "web").volume, entries(location)) == ("web.r2", ["web", "web.r2", "web.v1"])
    assert (location / "web.r2/page").read_text() == "first\n"
    (location / "web.r2/page").write_text("third\n")
    assert (location / "web.v1/page").read_text() == "first\n"
    assert center.run("image_rollback", image="web", version=2).errors == ()
    assert (location / image(center, "web").volume / "page").read_text() == "second\n"

    unknown = center.run("image_rollback", image="web", version=9)
    assert (unknown.exit_code, unknown.errors) == (3, ("Image web: version 9 does not exist. Known: 1, 2, 3.",))
    assert center.run("image_remove", images="web", destroy_data=True).errors == ()
    assert (images(center), volumes(center), entries(location)) == ([], [], [])


def test_a_clone_is_an_image_of_its_own(center: FakeCenter) -> None:
    location = add_storage(center, "directory", "disk1")
    create(center, "web", parameters={"role": "page"})
    (location / "web/page").write_text("first\n")
    row = {"name": "web2", "source": "web", "parameters": {"more": "x"}}
    assert center.run("image_clone", images=[row]).errors == ()
    again = center.run("image_clone", images=[row])
    assert (again.changed, again.stats["openqrm"]["unchanged"]) == (False, ["image web2 exists already"])
    (location / "web2/page").write_text("other\n")
    assert (location / "web/page").read_text() == "first\n"
    made = image(center, "web2")
    assert (made.kind, made.parent, made.parameters) == ("golden", "web", {"role": "page", "more": "x"})
    other = center.run("image_clone", images=[row | {"source": "web2"}])
    assert (other.exit_code, "is no clone of web2" in other.errors[0]) == (4, True)


def test_a_failed_clone_leaves_nothing(center: FakeCenter) -> None:
    add_storage(center, "fake", "disk1")
    create(center, "web")
    center.fault({"verb": "volume_clone", "item": "web2", "fault": "fail", "times": 3})
    assert not center.run("image_clone", images=[{"name": "web2", "source": "web"}]).ok
    assert (images(center), volumes(center)) == (["web"], ["disk1/web"])
    assert center.run("image_clone", images=[{"name": "web2", "source": "web"}]).errors == ()


def test_images_grow_and_never_shrink(center: FakeCenter) -> None:
    add_storage(center, "fake", "disk1")
    create(center, "web", size_mib=512)
    shrunk = center.run("image_resize", images=[{"name": "web", "size_mib": 256}])
    assert shrunk.errors == (
        "Image web has 512 MiB and cannot shrink to 256 MiB. Make a smaller image and copy the files.",
    )
    grown = [{"name": "web", "size_mib": 1024}]
    assert center.run("image_resize", images=grown).errors == ()
    with center.store.read() as tx:
        assert tx.volume("disk1", "web").size_mib == 1024
    assert center.run("image_resize", images=grown).changed is False
    add_storage(center, "directory", "disk2")
    assert center.run("image_create", images=[{"name": "dir", "storage": "disk2", "deployment": "fake"}]).ok
    refused = center.run("image_resize", images=[{"name": "dir", "size_mib": 64}])
    assert "Volume dir: a directory has no size of its own" in refused.errors[0]


def test_what_knows_an_image_follows_its_name(center: FakeCenter) -> None:
    add_storage(center, "fake", "disk1")
    create(center, "web")
    assert center.run("image_snapshot", images="web").errors == ()
    assert center.run("image_clone", images=[{"name": "web2", "source": "web"}]).errors == ()
    with center.store.write("test", "appliance") as tx:
        tx.save([Appliance(0, "web01", "default", "web")])
    assert center.run("image_rename", image="web", to="www").errors == ()
    again = center.run("image_rename", image="web", to="www")
    assert (again.errors, again.changed) == ((), False)
    assert center.run("image_rollback", image="www", version=1).errors == ()
    with center.store.read() as tx:
        assert tx.appliance("web01").image == "www"
        assert tx.image("web2").parent == "www"
    taken = center.run("image_rename", image="www", to="web2")
    assert taken.errors == ("Image web2 exists already. Choose another name.",)


@pytest.mark.parametrize(
    ("verb", "arguments"),
    [
        ("image_snapshot", {"images": "web"}),
        ("image_clone", {"images": [{"name": "x", "source": "web"}]}),
        ("image_rollback", {"image": "web", "version": 1}),
        ("image_resize", {"images": [{"name": "web", "size_mib": 1024}]}),
    ],
)
def test_an_image_that_something_runs_from_stays_as_it_is(
    center: FakeCenter, verb: str, arguments: dict[str, object]
) -> None:
    add_storage(center, "fake", "disk1")
    create(center, "web", size_mib=512)
    assert center.run("image_snapshot", images="web").errors == ()
    center.add_nodes(1)
    runs(center, "web")
    refused = center.run(verb, **arguments)
    assert refused.exit_code == 4
    assert "appliance web01, member 0, runs from it on node00001" in refused.errors[0]
    assert volumes(center) == ["disk1/web", "disk1/web.v1"]
