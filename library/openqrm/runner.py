"""Playbooks of the collection, driven by ansible-runner: in a private directory in memory that nothing is left of."""

from __future__ import annotations

import difflib
import getpass
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from openqrm import stepping
from openqrm.config import Config
from openqrm.paths import COLLECTION, collection_root

NODE = f"{COLLECTION}.node"

Event = Mapping[str, object]
COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
FAST_DIRECTORY = Path("/dev/shm")  # noqa: S108 - a parent for a private directory of mode 0700


@dataclass(frozen=True)
class RunResult:
    """The outcome of a playbook. `status`: successful, failed, canceled, timeout. `stats`: what it gave to set_stats.

    `errors`: messages of failed tasks, the last one is what ended the run; `exit_code`: that error's. `diff`: the
    plan's lines in check mode. `changed`: whether any task changed something.
    """

    status: str
    stats: Mapping[str, Any] = field(default_factory=dict)
    errors: tuple[str, ...] = ()
    exit_code: int = 0
    diff: tuple[str, ...] = ()
    changed: bool = False

    @property
    def ok(self) -> bool:
        """Whether it ran to its end without an error."""
        return self.status == "successful"


# How playbooks/tasks/operation.yml names its tasks.
OPERATION = "Operation | "
BEGIN = f"{OPERATION}Begin "
OPERATION_ENDS = {f"{OPERATION}Journal its end": "done", f"{OPERATION}Journal its failure": "failed"}
# How plugin_utils/progress.py begins its lines.
NOTE = "openqrm: "
INTERNAL = (OPERATION, "Carry out the operations")


@dataclass
class _Collector:
    """Gathers from the stream of events what a result consists of, and tells the caller about steps.

    It tells `{kind: step, name, state, detail}` for each operation of a plan, `kind: task` for every other task, and
    `kind: wait` when an operation waits for its turn on a storage server, `kind: note` for how far long work is.
    """

    on_event: Callable[[Event], None]
    stats: Mapping[str, Any] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    exit_code: int = 1
    diff: list[str] = field(default_factory=list)
    changed: bool = False
    operations: dict[str, str] = field(default_factory=dict)

    def __call__(self, event: Mapping[str, Any]) -> bool:
        """Takes one event; returns False, so that ansible-runner keeps no file of it."""
        kind, data = event.get("event"), event.get("event_data") or {}
        found = data.get("res")
        result: Mapping[str, Any] = found if isinstance(found, dict) else {}
        task, host = str(data.get("task") or data.get("name") or ""), str(data.get("host") or "")
        if kind == "playbook_on_task_start" and task.startswith(f"{BEGIN}{NODE} "):
            self._tell("step", task.rpartition(".")[2], "started", "localhost")
        elif kind == "playbook_on_task_start" and not task.startswith(INTERNAL):
            self._tell("task", task, "started")
        elif kind in ("runner_on_failed", "runner_on_unreachable"):
            self._failed(task, data, result)
        elif kind == "runner_on_ok":
            self._ok(task, host, result)
        elif kind == "verbose" and str(event.get("stdout", "")).startswith(NOTE):
            self._tell("note", " ".join(str(event["stdout"]).removeprefix(NOTE).split()), "started")
        elif kind == "playbook_on_stats":
            self.stats = data.get("artifact_data") or {}
        return False

    def _tell(self, kind: str, name: str, state: str, detail: str = "") -> None:
        self.on_event({"kind": kind, "name": name, "state": state, "detail": detail})

    def waits(self, reason: str) -> None:
        """An operation waits for its turn."""
        self._tell("wait", reason, "started")

    def _ok(self, task: str, host: str, result: Mapping[str, Any]) -> None:
        self.changed = self.changed or bool(result.get("changed"))
        self._take_diff(result)
        if task.startswith(BEGIN):
            self._begun(task, host, result)
        elif task in OPERATION_ENDS:
            self._tell("step", self.operations.pop(host, task), OPERATION_ENDS[task], host)
        elif task.startswith(OPERATION) and "." in task:
            self.operations[host] = task.removeprefix(OPERATION).rpartition(".")[2]
            self._tell("step", self.operations[host], "started", host)

    def _begun(self, task: str, host: str, result: Mapping[str, Any]) -> None:
        """The controller's own operations are over with their begin."""
        if "error_of_operation" in result:
            error = str(result["error_of_operation"])
            self._tell("step", task.rpartition(".")[2], "failed" if error else "done", error or host)

    def _failed(self, task: str, data: Mapping[str, Any], result: Mapping[str, Any]) -> None:
        message = _message(result)
        self._tell("task", task, "failed", message)
        known = result.get("error")
        if isinstance(known, dict):
            self.exit_code = int(known.get("exit_code", 1))
        if not data.get("ignore_errors"):
            self.errors.append(message)

    def _take_diff(self, result: Mapping[str, Any]) -> None:
        found = result.get("diff")
        for part in found if isinstance(found, list) else [found] if found else []:
            if isinstance(part, dict) and part.get("after") != part.get("before"):
                self.diff += _diff_lines(part)


def _message(result: Mapping[str, Any]) -> str:
    """What failed: of a loop the first item that did, of a file that cannot be loaded the reason."""
    items = [item for item in result.get("results") or () if isinstance(item, dict) and item.get("failed")]
    chosen = items[0] if items else result
    return str(chosen.get("msg") or chosen.get("reason") or chosen.get("stderr") or "failed").strip()


def _diff_lines(part: Mapping[str, Any]) -> list[str]:
    """One difference as lines: text that is new as it is, everything else as a unified diff."""
    before, after = (_as_text(part.get(key)) for key in ("before", "after"))
    if "prepared" in part or not before:
        return str(part.get("prepared") or after).splitlines()
    headers = str(part.get("before_header") or "before"), str(part.get("after_header") or "after")
    return list(difflib.unified_diff(before.splitlines(), after.splitlines(), *headers, lineterm=""))


def _as_text(value: object) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    import yaml

    return str(yaml.safe_dump(value, sort_keys=True))


@contextmanager
def _private_directory() -> Iterator[Path]:
    parent = FAST_DIRECTORY if os.access(FAST_DIRECTORY, os.W_OK) else None
    path = Path(tempfile.mkdtemp(prefix="openqrm-run-", dir=parent))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def environment(config: Config, actor: str = "") -> dict[str, str]:
    """The environment in which `ansible-playbook` finds this collection, configuration and inventory, and who acts."""
    collections = str(collection_root().parents[2])
    return {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "OPENQRM_CONFIG": str(config.path.resolve()),
        "OPENQRM_ACTOR": actor or os.environ.get("OPENQRM_ACTOR") or getpass.getuser(),
        "ANSIBLE_COLLECTIONS_PATH": os.pathsep.join(
            [collections, *filter(None, [os.environ.get("ANSIBLE_COLLECTIONS_PATH")])]
        ),
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
        "ANSIBLE_SHOW_CUSTOM_STATS": "false",
        "ANSIBLE_SSH_RETRIES": "3",
        "ANSIBLE_PIPELINING": "true",
    }


def run_playbook(
    config: Config,
    playbook: str,
    extra_vars: Mapping[str, object],
    *,
    check: bool = False,
    diff: bool = False,
    plan: int | None = None,
    on_event: Callable[[Event], None] = lambda _event: None,
    timeout_s: int = 0,
    cancel: threading.Event | None = None,
    actor: str = "",
) -> RunResult:
    """Runs `openqrm.datacenter.<playbook>` (or an FQCN of another collection) and returns its outcome.

    Variables go through a file of mode 0600, never argv. `plan`: the inventory then holds that plan's hosts only.
    `timeout_s` 0: no limit beyond the deadlines of the operations. Setting `cancel` ends the run and the tasks it is
    at; an open plan is then taken up by the next run. `actor`: who acts, for the audit log.
    """
    import ansible_runner

    name = playbook if "." in playbook else f"{COLLECTION}.{playbook}"
    collector = _Collector(on_event)
    flags = [flag for flag, wanted in (("--check", check), ("--diff", diff or check)) if wanted]
    with _private_directory() as directory, stepping.serve(directory, config, collector.waits) as served:
        variables = directory / "variables.json"
        variables.touch(mode=0o600)
        variables.write_text(json.dumps(dict(extra_vars)), encoding="utf-8")
        run = ansible_runner.run(
            private_data_dir=str(directory),
            playbook=name,
            inventory=list(config.inventory) or None,
            cmdline=" ".join(["-e", f"@{variables}", *flags]),
            envvars=environment(config, actor) | served | ({"OPENQRM_PLAN": str(plan)} if plan else {}),
            event_handler=collector,
            cancel_callback=cancel.is_set if cancel else None,
            settings={"job_timeout": timeout_s} if timeout_s else {},
            quiet=True,
            ident="run",
        )
        if run.status in ("canceled", "timeout"):
            _end_workers(variables)
        errors = tuple(dict.fromkeys(collector.errors)) or _stderr(run, directory)
    return _result("failed" if run.status == "error" else str(run.status), collector, errors)


def _result(status: str, collector: _Collector, errors: tuple[str, ...]) -> RunResult:
    failed = status != "successful"
    return RunResult(
        status,
        collector.stats,
        errors=errors if failed else (),
        exit_code=collector.exit_code if failed else 0,
        diff=tuple(collector.diff),
        changed=collector.changed,
    )


def _end_workers(variables: Path) -> None:
    """Ends what is left of a run that ansible-runner killed: workers of ansible-playbook are sessions of their own."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(variables).encode() in path.read_bytes():
                os.killpg(os.getpgid(int(path.parent.name)), signal.SIGKILL)
        except OSError:
            continue  # it has ended by itself


def _stderr(run: Any, directory: Path) -> tuple[str, ...]:
    """What ansible-playbook itself said, where it failed before any task did."""
    if run.status == "successful":
        return ()
    text = (directory / "artifacts/run/stdout").read_text(encoding="utf-8", errors="replace").strip()
    text = COLOURS.sub("", text).replace("\r", "")
    _, found, said = text.rpartition("[ERROR]: ")
    if found:
        text = said.partition("\n\n")[0].replace("\n", " ")
    return (text[-2000:] or f"ansible-playbook ended with status {run.status}.",)
