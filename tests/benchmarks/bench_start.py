"""Controller time of one start with fake types against an `ansible-playbook` with one no-op task on localhost.

Run: .venv/bin/python -m tests.benchmarks.bench_start [RUNS]. Prints both medians and their ratio; the pairs alternate,
so that the machine's speed cancels out.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from openqrm.runner import environment

from tests.support.center import FakeCenter, make_center

NO_OP = """---
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.debug:
        msg: nothing
"""


def seconds_of(command: list[str], center: FakeCenter) -> float:
    """Wall seconds of a command, which must succeed."""
    import os

    begun = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env=os.environ | environment(center.config))
    return time.perf_counter() - begun


def main() -> None:
    """Measure and print."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    bin_dir = Path(sys.executable).parent
    with tempfile.TemporaryDirectory() as directory:
        center = make_center(Path(directory))
        names = [f"web{number:02}" for number in range(runs + 1)]
        center.add_nodes(runs + 1)
        center.add_appliances(names)
        playbook = Path(directory, "no_op.yml")
        playbook.write_text(NO_OP)
        pairs = []
        for name in names:
            no_op = seconds_of([str(bin_dir / "ansible-playbook"), str(playbook)], center)
            start = seconds_of([str(bin_dir / "openqrm"), "appliance", "start", name], center)
            pairs.append((start, no_op))
    counted = pairs[1:]
    ratios = [start / no_op for start, no_op in counted]
    print(f"start of one appliance: median {statistics.median(row[0] for row in counted):.2f} s")
    print(f"no-op playbook:         median {statistics.median(row[1] for row in counted):.2f} s")
    print(f"ratio: median {statistics.median(ratios):.2f} (min {min(ratios):.2f}, max {max(ratios):.2f}), wanted <= 4")


if __name__ == "__main__":
    main()
