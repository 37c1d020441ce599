"""One start in a fleet of 10,000 resources against one in a fleet of 10: the controller's time, and its peak memory.

Run: PYTHONPATH=. python tests/benchmarks/bench_fleet.py [--resources 10000] [--rounds 9]. Memory is that of the command
and all of its descendants together; it is measured in runs of its own, because looking takes time.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from tests.benchmarks.measuring import Template, finish, judge, pairs, peak_mib, seconds

FEW = 10
TIME_BAR, MEMORY_BAR = 1.15, 1.2


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--resources", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        small, large = (
            Template(Path(name, str(size)), resources=size, appliances=1) for size in (FEW, options.resources)
        )
        for center in (small, large):
            center.start(seconds, "web0")
        times, memory = (
            pairs(options.rounds, lambda: large.start(how, "web0"), lambda: small.start(how, "web0"))  # noqa: B023
            for how in (seconds, peak_mib)
        )
    what = f"one start in a fleet of {options.resources}, of {FEW}"
    finish(
        judge(f"time of {what}", times, bar=TIME_BAR),
        judge(f"peak memory of {what}", memory, bar=MEMORY_BAR, unit="MiB"),
    )


if __name__ == "__main__":
    main()
