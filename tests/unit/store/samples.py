"""Objects that the store's tests use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from openqrm.model import Appliance, Image, Kernel, Nic, Operation, Plan, Requirements, Resource, Storage, Volume
from openqrm.store import Writer


def resource(number: int, **fields: Any) -> Resource:
    """An idle machine `node<number>` with one management NIC."""
    mac = f"52:54:00:00:{number >> 8:02x}:{number & 255:02x}"
    values: dict[str, Any] = {
        "state": "idle",
        "cores": 2,
        "memory_mib": 2048,
        "nics": (Nic(mac, "eth0", "management"),),
    }
    return Resource(id=0, name=f"node{number:02}", **{**values, **fields})


def storage(name: str = "san1") -> Storage:
    """A directory on a storage server."""
    return Storage(0, name, "directory", "san1.example", "/srv/volumes", "10.78.0.10", {"quota": True})


def kernel(name: str = "default") -> Kernel:
    """A kernel."""
    return Kernel(0, name, "6.1.0-9-cloud-amd64", "x86_64", "a" * 64, "b" * 64, "c" * 64, {"vmlinuz": 7_000_000})


def appliance(name: str = "web01", **fields: Any) -> Appliance:
    """An appliance of the golden image."""
    return Appliance(0, name, **{"kernel": "default", "image": "golden", **fields})


def plan(
    *operations: Operation, objects: Sequence[dict[str, object]] = ({"kind": "appliance", "name": "web01"},)
) -> Plan:
    """A plan that starts something."""
    return Plan(0, "start", "planned", "digest", operations, tuple(objects))


def operation(seq: int) -> Operation:
    """One call of a role."""
    return Operation(
        seq,
        1,
        "san1.example",
        "storage_directory",
        "volume_clone",
        "storage_volumes",
        ({"name": "web01-0"},),
        undo="volume_remove",
    )


def fill(writer: Writer, resources: int = 3, members: int = 2) -> None:
    """A small data centre: nodes, one storage with two volumes, a golden and a shared image, the appliance web01."""
    writer.save([resource(number) for number in range(resources)])
    writer.save(
        [
            kernel(),
            storage(),
            Volume(0, "golden", "san1", 2048),
            Volume(0, "web01-0", "san1", parent="golden"),
            Image(0, "golden", "san1", "golden", "nfs", shared=True),
            Image(0, "web01-0", "san1", "web01-0", "nfs", "clone", parent="golden"),
            appliance(requirements=Requirements(memory_mib=1024, tags=frozenset({"ssd"})), members=members),
        ]
    )
