"""Hosts and groups from objects: names, addresses, groups, filters, plans."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.openqrm.datacenter.plugins.plugin_utils import inventory_data
from ansible_collections.openqrm.datacenter.plugins.plugin_utils.inventory_data import Filters, Hosts
from openqrm.model import Resource
from openqrm.store import Store

from tests.support.fleet import add_plan

Collect = Callable[..., dict[str, Any]]


@pytest.fixture
def collect(store: Store) -> Collect:
    """What the inventory has for some filters."""

    def run(
        prefix: str = "", group_by: frozenset[str] = frozenset(inventory_data.GROUPINGS), **filters: Any
    ) -> dict[str, Any]:
        hosts = Hosts(group_by, prefix)
        with store.read() as reader:
            inventory_data.collect(hosts, reader, Filters(**filters))
        return hosts.data()

    return run


def test_all_hosts_and_groups(collect: Collect) -> None:
    """Resources, members and storage servers, in all their groups."""
    found = collect()
    assert sorted(found["hosts"]) == ["db", "node1", "node2", "san1", "san2", "web-0", "web-1"]
    assert found["groups"] == {
        "openqrm_storage": ["san1", "san2"],
        "storage_directory": ["san1"],
        "storage_disk": ["san2"],
        "openqrm_resources": ["node1", "node2"],
        "state_idle": ["node1", "node2"],
        "type_physical": ["node1", "node2", "db", "web-0", "web-1"],
        "tag_ssd": ["node1", "web-0", "web-1"],
        "tag_rack_r2": ["node2"],
        "openqrm_appliances": ["db", "web-0", "web-1"],
        "state_stopped": ["db", "web-0", "web-1"],
        "appliance_db": ["db"],
        "appliance_web": ["web-0", "web-1"],
    }


def test_a_member_has_the_address_of_its_resource(collect: Collect) -> None:
    """And none while it does not run."""
    hosts = collect()["hosts"]
    assert (hosts["web-0"]["ansible_host"], hosts["web-0"]["openqrm_resource"], hosts["web-0"]["openqrm_epoch"]) == (
        "10.77.0.52",
        "node2",
        1,
    )
    assert "ansible_host" not in hosts["web-1"]
    assert (hosts["node2"]["openqrm_appliance"], hosts["node2"]["openqrm_member"]) == ("web", 0)
    assert hosts["node1"]["openqrm_appliance"] == ""


@pytest.mark.parametrize(
    ("filters", "hosts"),
    [
        ({"kinds": frozenset({"resource"})}, ["node1", "node2"]),
        ({"kinds": frozenset({"appliance"})}, ["db", "web-0", "web-1"]),
        ({"kinds": frozenset({"storage"})}, ["san1", "san2"]),
        ({"states": frozenset({"idle"}), "kinds": frozenset({"resource", "appliance"})}, ["node1", "node2"]),
        ({"tags": frozenset({"ssd"}), "kinds": frozenset({"resource", "appliance"})}, ["node1", "web-0", "web-1"]),
        ({"types": frozenset({"kvm_vm"}), "kinds": frozenset({"resource", "appliance"})}, []),
    ],
)
def test_filters(collect: Collect, filters: dict[str, Any], hosts: list[str]) -> None:
    """All that are given must pass."""
    found = collect(**filters)
    assert sorted(found["hosts"]) == hosts
    if "appliance" in filters["kinds"] and "web-0" in hosts:
        assert found["hosts"]["web-0"]["ansible_host"] == "10.77.0.52"


def test_groupings_and_prefix(collect: Collect) -> None:
    """Only the wanted groups, with the prefix."""
    groups = collect("dc1_", frozenset({"state"}))["groups"]
    assert sorted(groups) == [
        "dc1_state_idle",
        "dc1_state_stopped",
        "openqrm_appliances",
        "openqrm_resources",
        "openqrm_storage",
    ]


def test_names_that_are_taken(store: Store) -> None:
    """A resource has its name; an appliance of that name, and names with a meaning, are told apart by their kind."""
    hosts = Hosts()
    inventory_data.add_resources(hosts, [Resource(1, "db"), Resource(2, "all"), Resource(3, "localhost")], {})
    with store.read() as reader:
        inventory_data.add_appliances(hosts, reader.appliances(["db"]), {}, {}, {})
    assert sorted(hosts.hosts) == ["all.resource", "db", "db.appliance", "localhost.resource"]
    assert (hosts.hosts["db"]["openqrm_kind"], hosts.hosts["db.appliance"]["openqrm_name"]) == ("resource", "db")
    assert hosts.groups["appliance_db"] == ["db.appliance"]


def test_only_the_hosts_of_a_plan(store: Store) -> None:
    """Where its operations run, and what it is about; the controller is no inventory host."""
    hosts = Hosts()
    number = add_plan(store)
    with store.read() as reader:
        inventory_data.collect_plan(hosts, reader, number)
    assert sorted(hosts.hosts) == ["boot1", "node2", "san1", "web-0", "web-1"]
    assert hosts.groups["storage_directory"] == ["san1"]
    assert hosts.hosts["web-0"]["ansible_host"] == "10.77.0.52"
