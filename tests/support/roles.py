"""Runs verbs of roles on localhost by ansible-playbook and returns what they gave."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 300


@dataclass(frozen=True)
class Step:
    """One verb of a role (with its collection) and the variables that it gets."""

    role: str
    verb: str
    variables: Mapping[str, Any] = field(default_factory=dict)
    check: bool = False


@dataclass(frozen=True)
class Outcome:
    """What a step gave: the role's result, or the message it failed with."""

    result: Mapping[str, Any]
    failed: str = ""

    @property
    def changed(self) -> bool:
        """Whether the step changed something."""
        return bool(self.result["changed"])

    @property
    def items(self) -> list[dict[str, Any]]:
        """The step's results, one per object."""
        return list(self.result["items"])


def run(directory: Path, steps: Sequence[Step], variables: Mapping[str, Any], collections: str = "") -> list[Outcome]:
    """The outcomes of the steps, carried out in order by one playbook; a step that fails does not end the play.

    `collections`: further directories that hold `ansible_collections`. Any warning of the run is a failure.
    """
    playbook = directory / "playbook.yml"
    play = {
        "hosts": "localhost",
        "gather_facts": False,
        "connection": "local",
        "vars": {"ansible_python_interpreter": sys.executable, **variables},
        "tasks": [_task(number, step) for number, step in enumerate(steps)],
    }
    playbook.write_text(yaml.safe_dump([play], sort_keys=False), encoding="utf-8")
    (directory / "hosts").write_text("localhost\n", encoding="utf-8")
    data = _play(playbook, collections)
    facts: dict[str, Any] = {}
    for task in data["plays"][0]["tasks"]:
        facts |= task["hosts"].get("localhost", {}).get("ansible_facts", {})
    return [_outcome(facts[f"outcome_{number}"]) for number in range(len(steps))]


def _task(number: int, step: Step) -> dict[str, Any]:
    role = step.role.rpartition(".")[2]
    include: dict[str, Any] = {"name": step.role, "tasks_from": step.verb}
    if step.check:
        include["apply"] = {"check_mode": True}
    return {
        "name": f"Step {number}",
        "vars": dict(step.variables),
        "block": [
            {"name": "Run the verb", "ansible.builtin.include_role": include},
            {"name": "Note", "ansible.builtin.set_fact": {f"outcome_{number}": {"result": f"{{{{ {role}_result }}}}"}}},
        ],
        "rescue": [
            {
                "name": "Note the failure",
                "ansible.builtin.set_fact": {
                    f"outcome_{number}": {"result": {}, "failed": "{{ ansible_failed_result.msg }}"}
                },
            }
        ],
    }


def _play(playbook: Path, collections: str) -> dict[str, Any]:
    paths = os.pathsep.join(path for path in (str(ROOT / "collection"), collections) if path)
    settings = {
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": paths,
        "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
        "ANSIBLE_HOME": str(playbook.parent / "ansible"),
        "PYTHONPATH": str(ROOT / "library"),
    }
    done = subprocess.run(
        [sys.executable, "-m", "ansible", "playbook", "-i", str(playbook.parent / "hosts"), str(playbook)],
        env=os.environ | settings,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stderr, done.stderr
    data: dict[str, Any] = json.loads(done.stdout[done.stdout.index("{") :])
    return data


def _outcome(fact: Mapping[str, Any]) -> Outcome:
    return Outcome(fact["result"], fact.get("failed", ""))
