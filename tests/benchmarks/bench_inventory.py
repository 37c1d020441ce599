"""Prints the time of the inventory plug-in against one that only calls add_host and set_variable for the same data.

Run: PYTHONPATH=. python tests/benchmarks/bench_inventory.py [--resources 10000] [--appliances 1000] [--rounds 5].
All groups are included.
"""

from __future__ import annotations

import argparse
import gc
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

from tests.benchmarks.fleets import fill  # noqa: E402
from tests.benchmarks.measuring import finish, judge, pairs  # noqa: E402

BAR = 0.6

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
        found = pairs(options.rounds, lambda: load(ours)[0], lambda: load(baseline)[0])
    what = f"inventory plug-in with {options.resources} resources and {options.appliances} appliances"
    finish(judge(f"{what}, add_host and set_variable alone", found, bar=BAR))


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
