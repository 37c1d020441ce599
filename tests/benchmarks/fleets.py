"""A store full of resources that have what real ones have."""

from __future__ import annotations

from datetime import UTC, datetime

from openqrm.model import Appliance, Image, Kernel, Nic, Resource, Storage, Volume
from openqrm.store import open_store


def fill(url: str, resources: int, appliances: int) -> None:
    """Makes a store with so many resources and appliances."""
    store = open_store(url, create=True)
    with store.write("benchmark", "benchmark") as writer:
        writer.save(
            [
                Kernel(0, "debian12", "6.1.0", "x86_64", "a" * 64, "b" * 64, "c" * 64),
                Storage(0, "san1", "directory", "san1", "/srv/openqrm/volumes", "10.78.0.10"),
                Volume(0, "debian12", "san1"),
                Image(0, "debian12", "san1", "debian12", "nfs"),
                *(resource(number) for number in range(resources)),
                *(Appliance(0, f"service{number}", "debian12", "debian12") for number in range(appliances)),
            ]
        )
    store.close()


def resource(number: int) -> Resource:
    """A resource with what a real one has."""
    low = f"{number >> 16:02x}:{number >> 8 & 255:02x}:{number & 255:02x}"
    return Resource(
        0,
        f"node{number}",
        cores=8,
        memory_mib=32768,
        disk_mib=102400,
        nics=(Nic(f"52:54:00:{low}", "eth0", "management"), Nic(f"52:54:01:{low}", "eth1", "storage")),
        tags=frozenset({f"rack:r{number % 100}", "ssd"}),
        address=f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}",
        power_driver="redfish",
        last_seen=datetime.now(UTC),
        power={"address": f"https://10.99.0.1/{number}", "system": str(number)},
    )
