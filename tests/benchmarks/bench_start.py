"""Controller time of one start with fake types against an `ansible-playbook` with one no-op task on localhost.

Run: PYTHONPATH=. python tests/benchmarks/bench_start.py [--rounds 7].
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from tests.benchmarks.measuring import BIN, Template, finish, judge, pairs, seconds

BAR = 4
NO_OP = """---
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.debug:
        msg: nothing
"""


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        center = Template(Path(name, "dc"), resources=10, appliances=1)
        playbook = Path(name, "no_op.yml")
        playbook.write_text(NO_OP)
        no_op = [str(BIN / "ansible-playbook"), str(playbook)]

        def start() -> float:
            return center.start(seconds, "web0")

        pairs(1, start, lambda: seconds(no_op, center.settings))
        found = pairs(options.rounds, start, lambda: seconds(no_op, center.settings))
    finish(judge("start of one appliance, no-op playbook", found, bar=BAR))


if __name__ == "__main__":
    main()
