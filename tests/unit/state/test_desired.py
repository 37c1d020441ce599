"""Described objects against a store: what they refer to, what uses them, and that all or nothing is written."""

from __future__ import annotations

from typing import Any

import pytest
from openqrm import desired
from openqrm.desired.references import Types
from openqrm.errors import ConflictError, InUseError, InvalidValueError, NotFoundError, OpenqrmError
from openqrm.store import Store

from tests.support.fleet import make_fleet

IMAGE = {"name": "new", "storage": "san1", "volume": "new", "deployment": "nfs"}


def ensure(store: Store, types: Types, kind: str, *entries: dict[str, Any]) -> list[bool]:
    """Makes the objects as described; whether each changed."""
    with store.write("test", "ensure") as writer:
        changes = desired.present(writer, types, kind, entries)
        desired.apply(writer, changes)
    return [change.changed for change in changes]


def remove(store: Store, types: Types, kind: str, *names: str) -> list[bool]:
    """Removes the objects; whether each was there."""
    with store.write("test", "remove") as writer:
        changes = desired.absent(writer, types, kind, [{"name": name} for name in names])
        desired.apply(writer, changes)
    return [change.changed for change in changes]


OBJECTS: list[tuple[str, dict[str, Any]]] = [
    (
        "resource",
        {
            "name": "node3",
            "macs": ["52:54:00:00:00:03"],
            "power_driver": "redfish",
            "tags": ["a"],
            "parameters": {"x": 1},
        },
    ),
    (
        "kernel",
        {
            "name": "k2",
            "version": "6.2",
            "vmlinuz": "b" * 64,
            "initramfs": "c" * 64,
            "modules": "d" * 64,
            "default": True,
        },
    ),
    ("storage", {"name": "san3", "type": "disk", "host": "san3", "location": "/d", "address": "10.78.0.12"}),
    ("image", IMAGE),
    (
        "appliance",
        {"name": "app", "image": "web", "members": 3, "requirements": {"cores": 2, "anti_affinity": "rack"}},
    ),
]


@pytest.mark.parametrize(("kind", "entry"), OBJECTS)
def test_life_of_an_object(store: Store, types: Types, kind: str, entry: dict[str, Any]) -> None:
    """Made, unchanged the second time, removed, unchanged the second time."""
    assert ensure(store, types, kind, entry) == [True]
    assert ensure(store, types, kind, entry) == [False]
    if entry.get("default"):
        assert ensure(store, types, kind, {"name": "debian12", "default": True}) == [True]
    assert remove(store, types, kind, entry["name"]) == [True]
    assert remove(store, types, kind, entry["name"]) == [False]


def test_life_on_postgresql(postgresql_url: str, types: Types) -> None:
    """The same on the other database."""
    store = make_fleet(postgresql_url)
    for kind, entry in OBJECTS:
        assert (ensure(store, types, kind, entry), ensure(store, types, kind, entry)) == ([True], [False])
    ensure(store, types, "kernel", {"name": "debian12", "default": True})
    for kind, entry in reversed(OBJECTS):
        assert [remove(store, types, kind, entry["name"]) for _ in range(2)] == [[True], [False]]
    store.close()


def test_image_brings_and_takes_its_volume(store: Store, types: Types) -> None:
    """The volume of an image is recorded with it."""
    ensure(store, types, "image", IMAGE)
    with store.read() as reader:
        assert [item.name for item in reader.volumes("san1")] == ["new", "web"]
    remove(store, types, "image", "new")
    with store.read() as reader:
        assert [item.name for item in reader.volumes("san1")] == ["web"]


def test_objects_of_one_list_may_refer_to_each_other(store: Store, types: Types) -> None:
    """A child and its parent in one list, and a MAC address that changes hands."""
    assert ensure(store, types, "image", IMAGE | {"name": "child", "volume": "c", "parent": "new"}, IMAGE) == [
        True,
        True,
    ]
    moved = (
        {"name": "node1", "macs": ["52:54:00:00:00:09"], "purge_nics": True},
        {"name": "node9", "macs": ["52:54:00:00:00:01"]},
    )
    assert ensure(store, types, "resource", *moved) == [True, True]


def test_one_bad_object_changes_nothing(store: Store, types: Types) -> None:
    """All are checked before any is written."""
    with pytest.raises(InvalidValueError, match="Resource node9: cores -1"):
        ensure(store, types, "resource", {"name": "node1", "cores": 64}, {"name": "node9", "cores": -1})
    with store.read() as reader:
        assert [(item.name, item.cores) for item in reader.resources()] == [("node1", 4), ("node2", 0)]


def test_reading_only_writes_nothing(store: Store, types: Types) -> None:
    """What check mode does: the same answer from a reader."""
    with store.read() as reader:
        changes = desired.present(reader, types, "resource", [{"name": "node1", "cores": 64}])
        assert [change.changed for change in changes] == [True]
        assert reader.resource("node1").cores == 4


REFUSED: list[tuple[str, dict[str, Any], type[OpenqrmError], str]] = [
    (
        "resource",
        {"name": "node9", "macs": ["52:54:00:00:00:01"]},
        ConflictError,
        "Resource node9: MAC address 52:54:00:00:00:01 belongs to resource node1",
    ),
    (
        "resource",
        {"name": "node9", "power_driver": "redfsh"},
        NotFoundError,
        "Resource node9: Power type redfsh does not exist",
    ),
    (
        "resource",
        {"name": "node2", "macs": ["52:54:00:00:00:02"], "purge_nics": True},
        InUseError,
        "appliance web (member 0)",
    ),
    (
        "storage",
        {"name": "s", "type": "tape", "host": "h", "location": "/", "address": "::1"},
        NotFoundError,
        "directory, disk",
    ),
    (
        "storage",
        {"name": "san1", "location": "/elsewhere"},
        InUseError,
        "Storage san1: location cannot be changed: it is used by image web",
    ),
    (
        "image",
        IMAGE | {"storage": "san9"},
        NotFoundError,
        "Image new: storage san9 does not exist. Did you mean san",
    ),
    ("image", IMAGE | {"deployment": "floppy"}, NotFoundError, "Image new: Deployment type floppy does not exist"),
    (
        "image",
        IMAGE | {"deployment": "iscsi"},
        InvalidValueError,
        "needs a block volume, storage san1 (directory) presents filesystem",
    ),
    ("image", IMAGE | {"parent": "none"}, NotFoundError, "Image new: image none does not exist"),
    ("image", IMAGE | {"parent": "new"}, NotFoundError, "Image new: image new does not exist"),
    ("image", IMAGE | {"volume": "web"}, ConflictError, "volume web of storage san1 is image web already"),
    (
        "image",
        {"name": "web", "volume": "other"},
        InUseError,
        "Image web: volume cannot be changed: it is used by appliance web",
    ),
    ("appliance", {"name": "a", "image": "none"}, NotFoundError, "Appliance a: image none does not exist"),
    ("appliance", {"name": "a", "image": "web", "kernel": "debian11"}, NotFoundError, "Did you mean debian12"),
    ("appliance", {"name": "a", "image": "web", "kernel": "arm"}, InvalidValueError, "kernel arm is for aarch64"),
    (
        "appliance",
        {"name": "a", "image": "web", "members": 2, "clone": False},
        InvalidValueError,
        "which is not shared",
    ),
    (
        "appliance",
        {"name": "a", "image": "web", "root_mode": "overlay"},
        InvalidValueError,
        "Appliance a has root mode overlay, but image web is not shared",
    ),
    (
        "appliance",
        {"name": "a", "image": "web", "root_mode": "private"},
        InvalidValueError,
        "Appliance a has root mode private, but no private directory",
    ),
    (
        "appliance",
        {"name": "a", "image": "web", "root_mode": "tmpfs"},
        InvalidValueError,
        "root_mode 'tmpfs' is not valid",
    ),
    (
        "appliance",
        {"name": "a", "image": "web", "requirements": {"resource": "node7"}},
        NotFoundError,
        "resource node7 does not exist",
    ),
    (
        "appliance",
        {"name": "web", "root_mode": "read-write", "clone": False, "members": 1},
        InUseError,
        "member 0 on node2",
    ),
]


@pytest.mark.parametrize(("kind", "entry", "error", "message"), REFUSED)
def test_what_does_not_fit_is_refused(
    store: Store, types: Types, kind: str, entry: dict[str, Any], error: type[OpenqrmError], message: str
) -> None:
    """The error names the object, what it collides with, and a remedy."""
    with pytest.raises(error) as caught:
        ensure(store, types, kind, entry)
    assert message in str(caught.value)
    assert caught.value.remedy


def test_clone_needs_a_storage_that_can(store: Store, types: Types) -> None:
    """A storage type without the capability is named."""
    ensure(store, types, "image", {"name": "raw", "storage": "san2", "volume": "raw", "deployment": "iscsi"})
    with pytest.raises(InvalidValueError, match=r"storage san2 \(disk\) cannot clone"):
        ensure(store, types, "appliance", {"name": "a", "image": "raw"})
    assert ensure(store, types, "appliance", {"name": "a", "image": "raw", "clone": False}) == [True]


def test_members_beyond_the_running_ones_may_go(store: Store, types: Types) -> None:
    """Member 1 does not run, member 0 does."""
    assert ensure(store, types, "appliance", {"name": "web", "members": 1}) == [True]


def test_without_a_default_kernel(store: Store, types: Types) -> None:
    """A new appliance needs a kernel."""
    with store.write("test", "no default") as writer:
        writer.set_setting("default_kernel", None)
    with pytest.raises(InvalidValueError, match="Appliance a has no kernel and there is no default kernel"):
        ensure(store, types, "appliance", {"name": "a", "image": "web"})


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        ("resource", "node2", "Resource node2 cannot be removed: it is used by appliance web (member 0)"),
        ("kernel", "debian12", "it is the default kernel), appliance db, appliance web"),
        ("storage", "san1", "Storage san1 cannot be removed: it is used by image web"),
        ("image", "web", "it is used by appliance db, appliance web, appliance web (member 0)"),
        ("appliance", "web", "it is used by resource node2 (member 0). Run `openqrm appliance stop web` first"),
    ],
)
def test_what_is_used_is_not_removed(store: Store, types: Types, kind: str, name: str, message: str) -> None:
    """The error says by whom."""
    with pytest.raises(InUseError) as caught:
        remove(store, types, kind, name)
    assert message in str(caught.value)


def test_every_change_is_audited(store: Store, types: Types) -> None:
    """Who, what and why, in the same transaction."""
    ensure(store, types, "resource", {"name": "node1", "cores": 8})
    with store.read() as reader:
        row = reader.audit("resource", "node1", 1)[0]
    assert (row.actor, row.reason, row.before, row.after) == ("test", "ensure", {"cores": 4}, {"cores": 8})


def shared(deployment: str, storage: str) -> dict[str, Any]:
    """A shared image with this deployment on this storage."""
    return {"name": "common", "storage": storage, "volume": "common", "deployment": deployment, "shared": True}


LOG = {"private_directories": ["/var/log"]}


def test_members_of_a_shared_root_need_no_clones(store: Store, types: Types) -> None:
    ensure(store, types, "image", shared("iscsi", "san2"))
    entry = {"name": "a", "image": "common", "root_mode": "overlay", "members": 3}
    assert ensure(store, types, "appliance", entry) == [True]
    with pytest.raises(InUseError, match="Image common cannot stop being shared: it is used by appliance a"):
        ensure(store, types, "image", {"name": "common", "shared": False})


@pytest.mark.parametrize(
    ("image", "fields", "words"),
    [
        (("nfs", "san1"), {"clone": False}, "3 members that would all write to image common"),
        (("iscsi", "san2"), {"root_mode": "private", "parameters": LOG}, "has no file systems for it"),
        (("disk", "san2"), {"root_mode": "overlay"}, "mounts no root over the network (its boot mode is local)"),
        (("nfs", "san1"), {"root_mode": "overlay", "parameters": LOG}, "which root mode overlay does not have"),
    ],
)
def test_root_modes_that_do_not_fit_are_refused(
    store: Store, types: Types, image: tuple[str, str], fields: dict[str, Any], words: str
) -> None:
    ensure(store, types, "image", shared(*image))
    with pytest.raises(InvalidValueError) as caught:
        ensure(store, types, "appliance", {"name": "a", "image": "common", "members": 3, **fields})
    assert words in caught.value.message


def test_a_name_that_leaves_no_room_for_private_volumes_is_refused(store: Store, types: Types) -> None:
    ensure(store, types, "image", shared("nfs", "san1"))
    entry = {"name": "a" * 55, "image": "common", "root_mode": "private", "parameters": LOG}
    with pytest.raises(InvalidValueError, match="Volume name"):
        ensure(store, types, "appliance", entry)
