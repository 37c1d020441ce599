"""Storages whose server is an appliance: described by its name, found where it runs, and kept from going away."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.openqrm.datacenter.plugins.plugin_utils import inventory_data
from openqrm import desired
from openqrm.datacenter import Datacenter
from openqrm.errors import InUseError, InvalidValueError, NotFoundError, OpenqrmError, StateError
from openqrm.model import Appliance, Image, Nic, Storage, Volume
from openqrm.planning.context import Context
from openqrm.planning.owner import owner_of
from openqrm.storageservers import following, refuse_serving

from tests.support.center import FakeCenter, make_center

PLACE = {"name": "nas1", "type": "fake", "location": "/srv"}


@pytest.fixture
def center(tmp_path: Path) -> Iterator[FakeCenter]:
    """The appliances nas, which runs on node00001, and web, which does not run; node00002 idles."""
    made = make_center(tmp_path)
    made.add_nodes(2)
    with made.store.write("test", "fill") as tx:
        tx.save([Storage(0, "san1", "fake", "san1", "/srv/fake", "10.78.0.10")])
        tx.save([Volume(0, name, "san1") for name in ("nas", "web")])
        tx.save([Image(0, name, "san1", name, "fake") for name in ("nas", "web")])
        tx.save([Appliance(0, name, "default", name, clone=False) for name in ("nas", "web")])
        tx.assign([("nas", 0, "node00001", "nas", 1)])
    yield made
    made.store.close()


def add(center: FakeCenter, **fields: object) -> Storage:
    """The storage as it is stored then."""
    with center.store.write("test", "add") as tx:
        types = Datacenter(center.config, center.store).types
        desired.apply(tx, desired.present(tx, lambda: types, "storage", [PLACE | fields]))
        return tx.storage("nas1")


def addresses(center: FakeCenter) -> list[str]:
    with center.store.read() as tx:
        return [storage.address for storage in following(tx, tx.storages())]


@pytest.mark.parametrize("server", [{"appliance": "nas"}, {"resource": "node00001"}])
def test_the_address_is_that_of_the_resource_that_runs_the_appliance(
    center: FakeCenter, server: dict[str, object]
) -> None:
    made = add(center, **server, parameters={"concurrent_operations": 2})
    assert (made.host, made.address) == ("nas", "10.77.0.1")
    assert made.parameters == {"appliance": "nas", "concurrent_operations": 2}
    with center.store.write("test", "move") as tx:
        tx.release("nas", [0])
        tx.assign([("nas", 0, "node00002", "nas", 2)])
    assert addresses(center) == ["10.77.0.2", "10.78.0.10"]
    assert add(center, appliance="nas").address == "10.77.0.2"


def test_nodes_reach_it_over_the_storage_network_where_it_has_one(center: FakeCenter) -> None:
    with center.store.write("test", "nic") as tx:
        node = tx.resource("node00001")
        tx.save([replace(node, nics=(*node.nics, Nic("52:54:00:aa:00:01", role="storage", address="10.78.0.101/24")))])
    assert add(center, appliance="nas").address == "10.78.0.101"


@pytest.mark.parametrize(
    ("server", "error", "words"),
    [
        ({"appliance": "web"}, StateError, "its appliance web does not run"),
        ({"appliance": "none"}, NotFoundError, "none"),
        ({"resource": "node00002"}, StateError, "resource node00002 runs no appliance"),
        ({"resource": "none"}, NotFoundError, "none"),
        ({"appliance": "nas", "host": "nas"}, InvalidValueError, "Storage nas1 has appliance and host"),
        ({"appliance": "nas", "resource": "node00001"}, InvalidValueError, "has appliance and resource"),
        ({"appliance": "nas", "address": "10.0.0.1"}, InvalidValueError, "has appliance and address"),
        ({"appliance": "../x"}, InvalidValueError, "Storage nas1: appliance"),
        ({"appliance": "nas", "parameters": 3}, InvalidValueError, "is new and has no host, address"),
        ({}, InvalidValueError, "is new and has no host, address"),
    ],
)
def test_what_cannot_be_is_refused(
    center: FakeCenter, server: dict[str, object], error: type[OpenqrmError], words: str
) -> None:
    with pytest.raises(error, match=words):
        add(center, **server)


def test_an_appliance_of_several_members_is_no_server(center: FakeCenter) -> None:
    with center.store.write("test", "members") as tx:
        tx.save([Appliance(0, "many", "default", "web", members=2)])
    with pytest.raises(InvalidValueError, match="has 2 members"):
        add(center, appliance="many")


def served(center: FakeCenter) -> None:
    """Has web run from the storage that nas serves."""
    add(center, appliance="nas")
    with center.store.write("test", "serve") as tx:
        tx.save([Volume(0, "site", "nas1")])
        tx.save([Image(0, "site", "nas1", "site", "fake")])
        tx.save([replace(tx.appliance("web"), image="site")])
        tx.assign([("web", 0, "node00002", "site", 1)])


def test_a_server_that_others_run_from_is_neither_stopped_nor_moved_nor_removed(center: FakeCenter) -> None:
    served(center)
    with center.store.write("test", "active") as tx:
        for state in ("reserved", "starting", "active"):
            tx.set_state("resource", ["node00001"], state)
        for state in ("starting", "active"):
            tx.set_state("appliance", ["nas"], state)
    for verb in ("stop", "move"):
        with pytest.raises(InUseError, match="nas is the server of storage nas1, from which appliance web runs"):
            center.prepare(verb, owner=owner_of(), appliances=["nas"])
    assert center.prepare("stop", owner=owner_of(), appliances=["nas"], force=True).plan
    with center.store.write("test", "stop") as tx:
        tx.release("web", [0])
        refuse_serving(tx, ["nas"])
        tx.release("nas", [0])
        types = Datacenter(center.config, center.store).types
        with pytest.raises(InUseError, match="Appliance nas cannot be removed: it is used by storage nas1"):
            desired.absent(tx, lambda: types, "appliance", [{"name": "nas"}])


def test_nothing_starts_from_a_server_that_does_not_run(center: FakeCenter) -> None:
    served(center)
    with center.store.write("test", "down") as tx:
        tx.release("nas", [0])
        context = Context(tx, center.config, Datacenter(center.config, center.store).types)
        (member,) = context.members(tx.assignments(appliances=["web"]))
        with pytest.raises(StateError, match="storage nas1 is served by appliance nas, which does not run"):
            context.manifest(member)
    assert addresses(center) == ["", "10.78.0.10"]


def test_its_host_in_the_inventory_is_that_of_the_appliance(center: FakeCenter) -> None:
    add(center, appliance="nas")
    number = center.prepare("volume_create", owner=owner_of(), volumes=[{"name": "site", "storage": "nas1"}]).plan
    for gather in (
        lambda hosts, tx: inventory_data.collect(hosts, tx, inventory_data.Filters()),
        lambda hosts, tx: inventory_data.collect_plan(hosts, tx, number),
    ):
        hosts = inventory_data.Hosts()
        with center.store.read() as tx:
            gather(hosts, tx)
        variables = hosts.hosts["nas"]
        assert (variables["ansible_host"], variables["openqrm_kind"]) == ("10.77.0.1", "appliance")
        assert [storage["name"] for storage in variables["openqrm_storages"]] == ["nas1"]
        assert {"openqrm_storage", "openqrm_appliances"} <= {
            group for group, names in hosts.groups.items() if "nas" in names
        }
        assert not [name for name in hosts.hosts if name.startswith("nas.")]
