"""Runs verbs of roles by ansible-playbook, on localhost or another host, and returns what they gave."""

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
TRANSCRIPT = "transcript.txt"


@dataclass(frozen=True)
class Step:
    """One verb of a role (with its collection) and the variables that it gets."""

    role: str
    verb: str
    variables: Mapping[str, Any] = field(default_factory=dict)
    check: bool = False


@dataclass(frozen=True)
class Command:
    """One command, as a step between verbs; it may fail. `here`: on the controller, not on the host."""

    argv: Sequence[str]
    stdin: str = ""
    here: bool = False


@dataclass(frozen=True)
class Host:
    """Where steps run: a host of an inventory (a file or directory; None: localhost, by a local connection).

    `prefix`: what the command of the controller begins with, as `ip netns exec server`.
    """

    name: str = "localhost"
    inventory: Path | None = None
    prefix: Sequence[str] = ()


@dataclass(frozen=True)
class Outcome:
    """What a step gave: the role's or command's result, or the message it failed with."""

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


LOCALHOST = Host()


def run(
    directory: Path,
    steps: Sequence[Step | Command],
    variables: Mapping[str, Any],
    collections: str = "",
    host: Host = LOCALHOST,
    timeout_s: int = TIMEOUT_S,
) -> list[Outcome]:
    """The outcomes of the steps, carried out in order by one playbook; a step that fails does not end the play.

    `collections`: further directories that hold `ansible_collections`. On localhost a warning of the run is a failure.
    All that the run printed is in the file TRANSCRIPT of the directory.
    """
    playbook, inventory = directory / "playbook.yml", host.inventory or directory / "hosts"
    local = {"ansible_python_interpreter": sys.executable, "ansible_connection": "local"}
    play = {
        "hosts": host.name,
        "gather_facts": False,
        "vars": {**({} if host.inventory else local), **variables},
        "tasks": [_task(number, step) for number, step in enumerate(steps)],
    }
    playbook.write_text(yaml.safe_dump([play], sort_keys=False), encoding="utf-8")
    if not host.inventory:
        inventory.write_text(f"{host.name}\n", encoding="utf-8")
    data = _play(host, playbook, inventory, collections, timeout_s)
    facts: dict[str, Any] = {}
    for task in data["plays"][0]["tasks"]:
        facts |= task["hosts"].get(host.name, {}).get("ansible_facts", {})
    return [_outcome(facts[f"outcome_{number}"]) for number in range(len(steps))]


def _task(number: int, step: Step | Command) -> dict[str, Any]:
    if isinstance(step, Command):
        action = {"argv": list(step.argv), "stdin": step.stdin, "stdin_add_newline": False, "strip_empty_ends": False}
        task = {"name": "Run the command", "ansible.builtin.command": action, "register": "command_result"}
        if step.here:
            action["chdir"], task["delegate_to"] = str(ROOT), "localhost"
        return _noted(number, {**task, "failed_when": False}, "command", {})
    include: dict[str, Any] = {"name": step.role, "tasks_from": step.verb}
    if step.check:
        include["apply"] = {"check_mode": True}
    task = {"name": "Run the verb", "ansible.builtin.include_role": include}
    return _noted(number, task, step.role.rpartition(".")[2], step.variables)


def _noted(number: int, task: dict[str, Any], name: str, variables: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": f"Step {number}",
        "vars": dict(variables),
        "block": [
            task,
            {"name": "Note", "ansible.builtin.set_fact": {f"outcome_{number}": {"result": f"{{{{ {name}_result }}}}"}}},
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


def _play(host: Host, playbook: Path, inventory: Path, collections: str, timeout_s: int) -> dict[str, Any]:
    paths = os.pathsep.join(path for path in (str(ROOT / "collection"), collections) if path)
    settings = {
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": paths,
        "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
        "ANSIBLE_HOME": str(playbook.parent / "ansible"),
        "PYTHONPATH": str(ROOT / "library"),
    }
    done = subprocess.run(
        [*host.prefix, sys.executable, "-m", "ansible", "playbook", "-i", str(inventory), str(playbook)],
        env=os.environ | settings,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    (playbook.parent / TRANSCRIPT).write_text(done.stdout + done.stderr, encoding="utf-8")
    assert done.returncode == 0, done.stdout + done.stderr
    assert host.inventory or "WARNING" not in done.stderr, done.stderr
    data: dict[str, Any] = json.loads(done.stdout[done.stdout.index("{") :])
    return data


def _outcome(fact: Mapping[str, Any]) -> Outcome:
    return Outcome(fact["result"], fact.get("failed", ""))
