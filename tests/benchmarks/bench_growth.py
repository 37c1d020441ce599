"""Starting 10,000 appliances in one command against starting 1,000.

Run: PYTHONPATH=. python tests/benchmarks/bench_growth.py [--appliances 1000] [--times 10] [--rounds 2].
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from tests.benchmarks.measuring import Template, finish, judge, pairs, seconds

# For ten times the appliances; for other numbers of times, in proportion.
BAR = 12


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--appliances", type=int, default=1000)
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    few, many = options.appliances, options.appliances * options.times
    with tempfile.TemporaryDirectory() as name:
        small, large = (
            Template(Path(name, str(size)), resources=size, appliances=size, storages=4) for size in (few, many)
        )
        small.start(seconds, "web0")
        found = pairs(options.rounds, lambda: large.start(seconds, "--all"), lambda: small.start(seconds, "--all"))
    finish(judge(f"start of {many} appliances, of {few}", found, bar=BAR * options.times / 10))


if __name__ == "__main__":
    main()
