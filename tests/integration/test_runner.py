"""Playbooks by ansible-runner: results, messages, exit codes, check mode, cancelling; and nothing is left of a run."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from openqrm import runner
from openqrm.runner import RunResult

from tests.support.center import FakeCenter, make_center

SECRET = "hunter2-is-in-no-argv"  # noqa: S105 - it is to be looked for
HANG = "import sys, time; time.sleep(300)"


@pytest.fixture
def center(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCenter]:
    made = make_center(tmp_path)
    (tmp_path / "memory").mkdir()
    monkeypatch.setattr(runner, "FAST_DIRECTORY", tmp_path / "memory")
    yield made
    made.store.close()
    assert list((tmp_path / "memory").iterdir()) == [], "something is left of a run"


def play(center: FakeCenter, *tasks: Mapping[str, Any], **options: Any) -> RunResult:
    """The result of a playbook of these tasks on localhost."""
    path = center.root / "playbook.yml"
    path.write_text(yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "tasks": list(tasks)}]))
    return runner.run_playbook(center.config, str(path), options.pop("variables", {}), **options)


def hang(center: FakeCenter) -> dict[str, Any]:
    """A task that does not end, and that the directory in its command line tells from all others."""
    return {"name": "Hang", "ansible.builtin.command": {"argv": [sys.executable, "-c", HANG, str(center.root)]}}


def command_lines() -> list[str]:
    """The command lines of all processes of this machine."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return found


def left_of(center: FakeCenter) -> list[str]:
    """The processes of a run that ended; those that were killed may take a moment to go."""
    for _ in range(100):
        found = [line for line in command_lines() if str(center.root) in line]
        if not found:
            break
        time.sleep(0.1)
    return found


def test_a_result_leaves_by_set_stats(center: FakeCenter) -> None:
    stats = {"ansible.builtin.set_stats": {"data": {"openqrm": {"answer": "{{ answer }}"}}}}
    result = play(center, stats, variables={"answer": 42})
    assert (result.status, result.ok, result.errors, result.exit_code) == ("successful", True, (), 0)
    assert (result.stats, result.changed) == ({"openqrm": {"answer": 42}}, False)


def test_a_changed_task_makes_a_changed_result(center: FakeCenter) -> None:
    copy = {"ansible.builtin.copy": {"content": "x", "dest": str(center.root / "made"), "mode": "0644"}}
    assert [play(center, copy).changed for _ in range(2)] == [True, False]


def test_check_mode_changes_nothing_and_has_the_differences(center: FakeCenter) -> None:
    made = center.root / "made"
    result = play(
        center, {"ansible.builtin.copy": {"content": "a line\n", "dest": str(made), "mode": "0644"}}, check=True
    )
    assert (result.ok, result.changed, result.diff) == (True, True, ("a line",))
    assert not made.exists()


def test_a_failed_task_gives_its_message(center: FakeCenter) -> None:
    rescued = {
        "block": [{"ansible.builtin.fail": {"msg": "first"}}],
        "rescue": [{"ansible.builtin.fail": {"msg": "second"}}],
    }
    result = play(center, rescued)
    assert (result.status, result.ok, result.exit_code) == ("failed", False, 1)
    assert result.errors == ("first", "second")


def test_a_failure_that_is_ignored_is_no_error(center: FakeCenter) -> None:
    result = play(center, {"ansible.builtin.fail": {"msg": "no matter"}, "ignore_errors": True})
    assert (result.ok, result.errors) == (True, ())


def test_an_error_of_the_library_has_its_exit_code(center: FakeCenter) -> None:
    result = play(center, {"openqrm.datacenter.plan": {"step": "prepare", "verb": "strat"}})
    assert (result.exit_code, result.errors) == (3, ("Verb strat does not exist. Did you mean start?",))


def test_a_playbook_that_does_not_parse_says_so(center: FakeCenter) -> None:
    result = play(center, {"no.such.module": {}})
    assert (result.ok, result.exit_code) == (False, 1)
    assert "no.such.module" in result.errors[0]
    missing = runner.run_playbook(center.config, "no_such_playbook", {})
    assert (missing.ok, missing.exit_code) == (False, 1)
    assert "no_such_playbook" in missing.errors[0]


def test_the_caller_is_told_of_tasks_and_operations(center: FakeCenter) -> None:
    told: list[Mapping[str, object]] = []
    entry = {"name": "san1", "type": "fake", "host": "san1", "location": "/srv", "address": "10.78.0.10"}
    result = runner.run_playbook(center.config, "storage_create", {"storages": [entry]}, on_event=told.append)
    assert result.errors == ()
    steps = [(event["name"], event["state"], event["detail"]) for event in told if event["kind"] == "step"]
    assert steps == [("storage_fake prepare", "started", "san1"), ("storage_fake prepare", "done", "san1")]
    assert {"kind": "task", "name": "Make the storages as described", "state": "started", "detail": ""} in told
    assert not [event for event in told if str(event["name"]).startswith("Operation |") and event["kind"] == "task"]


def test_variables_are_in_no_command_line(center: FakeCenter) -> None:
    seen: list[str] = []

    def look(_event: Mapping[str, object]) -> None:
        seen.extend(command_lines())

    result = play(
        center,
        {"ansible.builtin.debug": {"msg": "{{ secret | length }}"}, "name": "Look"},
        variables={"secret": SECRET},
        on_event=look,
    )
    assert result.ok
    assert any(str(center.root / "playbook.yml") in line for line in seen), "the run was looked at"
    assert not [line for line in seen if SECRET in line]


def test_a_run_is_cancelled(center: FakeCenter) -> None:
    cancel = threading.Event()
    result = play(center, hang(center), cancel=cancel, on_event=lambda _event: cancel.set())
    assert (result.status, result.ok) == ("canceled", False)
    assert left_of(center) == []


def test_a_run_has_a_time_limit(center: FakeCenter) -> None:
    result = play(center, hang(center), timeout_s=2)
    assert (result.status, result.ok) == ("timeout", False)
    assert left_of(center) == []


def test_a_run_knows_data_centre_plan_and_actor(center: FakeCenter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENQRM_ACTOR", "alice")
    names = ("OPENQRM_CONFIG", "OPENQRM_PLAN", "OPENQRM_ACTOR")
    words = {name: f"{{{{ lookup('ansible.builtin.env', '{name}') }}}}" for name in names}
    result = play(center, {"ansible.builtin.set_stats": {"data": words}}, plan=7)
    assert result.stats == {"OPENQRM_CONFIG": str(center.config.path), "OPENQRM_PLAN": "7", "OPENQRM_ACTOR": "alice"}
    assert "OPENQRM_PLAN" not in os.environ
