"""Prints the time of the inventory plug-in against one that only calls add_host and set_variable for the same data.

Run: python tests/benchmarks/bench_inventory.py [--resources 10000] [--appliances 1000] [--rounds 5]
The target is a ratio of 0.6 or less, all groups included.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
import tempfile
import time
import types
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "library")]

from ansible.plugins.loader import init_plugin_loader, inventory_loader  # noqa: E402

init_plugin_loader([str(REPOSITORY / "collection")])

from ansible.inventory.manager import InventoryManager  # noqa: E402
from ansible.parsing.dataloader import DataLoader  # noqa: E402
from openqrm.model import Appliance, Image, Kernel, Nic, Resource, Storage, Volume  # noqa: E402
from openqrm.store import open_store  # noqa: E402

BASELINE = """
from ansible.plugins.inventory import BaseInventoryPlugin
from openqrm_bench_data import HOSTS


class InventoryModule(BaseInventoryPlugin):
    NAME = "openqrm_baseline"

    def parse(self, inventory, loader, path, cache=True):
        super().parse(inventory, loader, path, cache)
        for name, variables in HOSTS.items():
            inventory.add_host(name)
            for key, value in variables.items():
                inventory.set_variable(name, key, value)
"""


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
        power={"address": f"https://10.99.0.1/{number}", "system": str(number)},
    )


def load(source: Path) -> tuple[float, InventoryManager]:
    """Seconds that an inventory source takes, and the inventory."""
    gc.collect()  # what the rounds before left behind
    started = time.perf_counter()
    inventory = InventoryManager(DataLoader(), [str(source)])
    return time.perf_counter() - started, inventory


def main() -> None:
    """Measures both in turn and prints the medians and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("resources", 10_000), ("appliances", 1_000), ("rounds", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        ours, baseline = prepare(directory, options.resources, options.appliances)
        times: dict[Path, list[float]] = {ours: [], baseline: []}
        for _ in range(options.rounds):
            for source, taken in times.items():
                taken.append(load(source)[0])
    mine, theirs = (statistics.median(times[source]) for source in (ours, baseline))
    print(f"{options.resources} resources, {options.appliances} appliances, median of {options.rounds}:")
    print(
        f"plug-in {mine:.3f} s, add_host and set_variable alone {theirs:.3f} s, ratio {mine / theirs:.2f} (target 0.60)"
    )


def prepare(directory: Path, resources: int, appliances: int) -> tuple[Path, Path]:
    """The two inventory sources, of the same data."""
    url = f"sqlite:///{directory}/openqrm.db"
    fill(url, resources, appliances)
    (directory / "openqrm.yml").write_text(f"store: {url}\n", encoding="utf-8")
    ours = directory / "bench.openqrm.yml"
    ours.write_text("plugin: openqrm.datacenter.datacenter\nconfig: openqrm.yml\n", encoding="utf-8")
    found = load(ours)[1].hosts
    data = types.ModuleType("openqrm_bench_data")
    hidden = ("inventory_file", "inventory_dir")
    data.HOSTS = {name: {k: v for k, v in host.vars.items() if k not in hidden} for name, host in found.items()}  # type: ignore[attr-defined]
    sys.modules[data.__name__] = data
    (directory / "openqrm_baseline.py").write_text(BASELINE, encoding="utf-8")
    inventory_loader.add_directory(str(directory))
    baseline = directory / "baseline.yml"
    baseline.write_text("plugin: openqrm_baseline\n", encoding="utf-8")
    return ours, baseline


if __name__ == "__main__":
    main()
