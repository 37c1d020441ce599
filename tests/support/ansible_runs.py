"""Ansible's commands on a store of the test, as a user would run them from the checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
COLLECTION = "openqrm.datacenter"


@dataclass(frozen=True)
class Run:
    """What a command printed, and how it ended."""

    code: int
    output: str
    errors: str


@dataclass(frozen=True)
class Ansible:
    """Ansible with one data centre: its configuration file, and inventory sources."""

    config: Path
    inventory: tuple[str, ...] = (str(REPOSITORY / "inventory" / "datacenter.openqrm.yml"),)
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, command: str, *arguments: str) -> Run:
        """Runs a command of Ansible with the inventory."""
        sources = [word for source in self.inventory for word in ("-i", source)]
        environment = os.environ | {"OPENQRM_CONFIG": str(self.config), "ANSIBLE_NOCOLOR": "1"} | self.environment
        argv = [str(Path(sys.executable).parent / command), *sources, *arguments]
        done = subprocess.run(
            argv, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        return Run(done.returncode, done.stdout, done.stderr)

    def inventory_json(self, *arguments: str) -> Any:
        """The JSON that `ansible-inventory` prints, without the marks of text that is no template; it must not warn."""
        done = self.run("ansible-inventory", *arguments)
        assert (done.code, done.errors) == (0, ""), done
        return json.loads(done.output, object_hook=lambda found: found.get("__ansible_unsafe", found))

    def playbook(self, name: str, variables: dict[str, Any] | None = None, *flags: str) -> dict[str, Any]:
        """What a playbook gave: `code`, `stats` of set_stats, `changed`, `messages` of failures, `diff`."""
        quiet = {"ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json", "ANSIBLE_SHOW_CUSTOM_STATS": "1"}
        runner = Ansible(self.config, self.inventory, self.environment | quiet)
        done = runner.run("ansible-playbook", f"{COLLECTION}.{name}", "-e", json.dumps(variables or {}), *flags)
        assert done.errors == "", done
        found = json.loads(done.output)
        results = [host for play in found["plays"] for task in play["tasks"] for host in task["hosts"].values()]
        return {
            "code": done.code,
            "stats": found.get("global_custom_stats", {}).get("openqrm", {}),
            "changed": any(result.get("changed") for result in results),
            "messages": [result["msg"] for result in results if result.get("failed")],
            "diff": [part for result in results for part in _parts(result.get("diff", []))],
        }


def _parts(diff: Any) -> list[Any]:
    """The differences of a result, which are a list or a single one."""
    return diff if isinstance(diff, list) else [diff]
