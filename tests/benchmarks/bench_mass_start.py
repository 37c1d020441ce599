"""Starting 1,000 appliances in one command, on four fake storage servers, against one no-op task on 1,000 hosts.

Run: PYTHONPATH=. python tests/benchmarks/bench_mass_start.py [--appliances 1000] [--rounds 3]. The no-op is `debug`,
which runs on the controller: the least that a task can cost.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import yaml

from tests.benchmarks.measuring import BIN, Template, finish, judge, pairs, seconds

BAR = 1.0
NO_OP = """---
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.debug:
        msg: nothing
"""


def no_op_command(directory: Path, hosts: int) -> list[str]:
    """The command that runs a no-op task on so many hosts."""
    inventory, playbook = directory / "hosts.yml", directory / "no_op.yml"
    names = {f"host{number}": {} for number in range(hosts)}
    inventory.write_text(yaml.safe_dump({"all": {"hosts": names, "vars": {"ansible_connection": "local"}}}))
    playbook.write_text(NO_OP)
    return [str(BIN / "ansible-playbook"), "-i", str(inventory), str(playbook)]


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--appliances", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        center = Template(directory / "dc", resources=options.appliances, appliances=options.appliances, storages=4)
        no_op = no_op_command(directory, options.appliances)
        center.start(seconds, "web0")
        found = pairs(options.rounds, lambda: center.start(seconds, "--all"), lambda: seconds(no_op, center.settings))
    finish(judge(f"start of {options.appliances} appliances, no-op task on as many hosts", found, bar=BAR))


if __name__ == "__main__":
    main()
