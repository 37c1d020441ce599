"""`openqrm resource list` with 10,000 resources, and `openqrm --help`, against importing what they are built on.

Run: PYTHONPATH=. python tests/benchmarks/bench_cli.py [--resources 10000] [--rounds 15].
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.benchmarks.fleets import fill
from tests.benchmarks.measuring import BIN, finish, judge, pairs, seconds

LIST_BAR, HELP_BAR = 3, 1.5
IMPORT = [str(BIN / "python"), "-c", "import sqlalchemy, click"]


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--resources", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        configuration, url = Path(name, "openqrm.yml"), f"sqlite:///{name}/openqrm.db"
        configuration.write_text(f"store: {url}\n", encoding="utf-8")
        fill(url, options.resources, options.resources // 10)

        def run(*command: str) -> Callable[[], float]:
            return partial(seconds, command, {"OPENQRM_CONFIG": str(configuration)})

        listing, helping = run(str(BIN / "openqrm"), "resource", "list"), run(str(BIN / "openqrm"), "--help")
        pairs(1, listing, helping)
        lists, helps = (pairs(options.rounds, measure, run(*IMPORT)) for measure in (listing, helping))
    finish(
        judge(f"openqrm resource list of {options.resources}, imports alone", lists, bar=LIST_BAR),
        judge("openqrm --help, imports alone", helps, bar=HELP_BAR),
    )


if __name__ == "__main__":
    main()
