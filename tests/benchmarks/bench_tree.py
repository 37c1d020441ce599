"""Changing one resource in a boot tree of 10,000 against changing one in a tree of 10.

Run: PYTHONPATH=. python tests/benchmarks/bench_tree.py [--resources 10000] [--rounds 300]. A change renders the
manifest and the boot entry of one resource and writes both by the module that publishes them, as far as to the disk.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from openqrm.boot import manifest, tree
from openqrm.config import Config

from tests.benchmarks.measuring import Measure, finish, judge, pairs
from tests.support.center import KERNEL

sys.path.append(str(Path(__file__).resolve().parents[2] / "collection"))
from ansible_collections.openqrm.datacenter.plugins.modules import boot_file

FEW = 10
BAR = 1.2
WARM = 20


def mac(number: int) -> str:
    """A MAC of its own for each number."""
    return f"52:54:00:{number >> 16:02x}:{number >> 8 & 255:02x}:{number & 255:02x}"


def entries(config: Config, number: int, epoch: int) -> list[tree.Entry]:
    """The files of one resource in one epoch."""
    content = manifest.idle_manifest(KERNEL, "d" * 64, "quiet") | {"mode": "assigned", "epoch": epoch}
    kernel = replace(KERNEL, name=f"kernel{epoch}")
    return tree.node_entries(config, mac(number), kernel, manifest.encode(content))


def publish(files: list[tree.Entry]) -> None:
    """Writes files, each of which must be a change."""
    result = boot_file.perform({"entries": files, "state": "present"}, False)
    if not all(item["changed"] for item in result["items"]):
        raise RuntimeError("A file that differs was not written.")


def changes(root: Path, resources: int) -> Measure:
    """A tree of so many resources, and the measure of the next change in it."""
    config = replace(Config(), boot=replace(Config().boot, root=str(root)))
    publish([entry for number in range(resources) for entry in entries(config, number, 0)])
    epoch = 0

    def change() -> float:
        nonlocal epoch
        epoch += 1
        begun = time.perf_counter()
        publish(entries(config, epoch * 7 % resources, epoch))
        return time.perf_counter() - begun

    return change


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--resources", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=300)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        small, large = (changes(Path(name, str(size)), size) for size in (FEW, options.resources))
        pairs(WARM, large, small)
        found = pairs(options.rounds, large, small)
    finish(judge(f"change of one resource in a tree of {options.resources}, of {FEW}", found, bar=BAR))


if __name__ == "__main__":
    main()
