"""A small data centre in a store of its own, for tests of what reads and changes it."""

from __future__ import annotations

from openqrm.model import Appliance, Image, Kernel, Nic, Operation, Plan, Requirements, Resource, Storage, Volume
from openqrm.store import Store, open_store

DIGEST = "a" * 64


def make_fleet(url: str) -> Store:
    """An open store: node1 is idle, node2 runs web/0 of two members, web is on san1, debian12 is the default kernel."""
    store = open_store(url, create=True)
    with store.write("test", "set-up") as writer:
        writer.save(
            [
                Resource(
                    0,
                    "node1",
                    cores=4,
                    memory_mib=4096,
                    nics=(Nic("52:54:00:00:00:01", "eth0"),),
                    tags=frozenset({"ssd"}),
                    address="10.77.0.51",
                    parameters={"owner": "ops", "rack": 7},
                ),
                Resource(
                    0,
                    "node2",
                    nics=(Nic("52:54:00:00:00:02"), Nic("52:54:00:00:01:02", role="storage")),
                    address="10.77.0.52",
                    tags=frozenset({"rack:r2"}),
                ),
                Kernel(0, "debian12", "6.1.0", "x86_64", DIGEST, DIGEST, DIGEST),
                Kernel(0, "arm", "6.1.0", "aarch64", DIGEST, DIGEST, DIGEST),
                Storage(0, "san1", "directory", "san1", "/srv/volumes", "10.78.0.10"),
                Storage(0, "san2", "disk", "san2", "/srv/disks", "10.78.0.11"),
                Volume(0, "web", "san1"),
                Image(0, "web", "san1", "web", "nfs"),
                Appliance(
                    0, "web", "debian12", "web", members=2, requirements=Requirements(cores=2, tags=frozenset({"ssd"}))
                ),
                Appliance(0, "db", "debian12", "web"),
            ]
        )
        writer.set_setting("default_kernel", "debian12")
        writer.set_state("resource", ["node1", "node2"], "idle")
        plan = writer.add_plan(Plan(0, "start", "planned", "", ()))
        writer.assign([("web", 0, "node2", "web", plan.id)])
    return store


def add_plan(store: Store) -> int:
    """The number of a plan that starts web/0 on node2, with operations on san1 and on localhost."""
    objects = (
        {"kind": "appliance", "name": "web"},
        {"kind": "resource", "name": "node2"},
        {"kind": "member", "name": "web", "member": 0, "resource": "node2"},
    )
    operations = (
        Operation(1, 1, "san1", "openqrm.datacenter.deployment_nfs", "authorize", "deployment_grants", ()),
        Operation(2, 2, "localhost", "openqrm.datacenter.power_redfish", "on", "power_endpoints", ()),
        Operation(3, 2, "boot1", "openqrm.datacenter.service_boot", "present", "service_entries", ()),
    )
    with store.write("test", "plan") as writer:
        return writer.add_plan(Plan(0, "start", "planned", "", operations, objects=objects)).id
