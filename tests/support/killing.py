"""SIGKILL for a whole command: the process, and everything that it started, in whatever session that is."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from openqrm.store import Store

POLL_S = 0.02


def openqrm(config: Path, *arguments: str) -> subprocess.Popen[str]:
    """The command line, started in a session of its own."""
    command = [str(Path(sys.executable).with_name("openqrm")), "--config", str(config), *arguments]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def kill_when(process: subprocess.Popen[str], reached: Callable[[], bool], *, timeout_s: float) -> None:
    """Kills the command and all that it started as soon as `reached` says so.

    Raises: AssertionError if the command ends before, or that takes too long; nothing is left running then either.
    """
    ends = time.monotonic() + timeout_s
    try:
        while not reached():
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < ends, f"not reached in {timeout_s} s"
            time.sleep(POLL_S)
    finally:
        kill_tree(process.pid)
        process.communicate()


def kill_tree(pid: int) -> None:
    """Kills a process and its descendants; they are stopped first, so that none starts another one meanwhile."""
    tree = [pid]
    for parent in tree:
        _signal(parent, signal.SIGSTOP)
        tree += _children(parent)
    for member in tree:
        _signal(member, signal.SIGKILL)


def _children(pid: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(path.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[1]) == pid:
                found.append(int(path.parent.name))
        except (OSError, IndexError):
            continue  # it has ended meanwhile
    return found


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def begun(store: Store, verb: str, operation: str, *, attempts: int = 1) -> Callable[[], bool]:
    """Whether the newest plan of this verb has begun an operation of this verb and not journalled its end."""

    def reached() -> bool:
        with store.read() as tx:
            plans = [plan for plan in tx.plans(["applying"], limit=5) if plan.verb == verb]
        return any(
            found.verb == operation and found.state == "pending" and found.attempts >= attempts
            for plan in plans[:1]
            for found in plan.operations
        )

    return reached


def journalled(store: Store, verb: str, done: int) -> Callable[[], bool]:
    """Whether the newest plan of this verb has so many operations done."""

    def reached() -> bool:
        with store.read() as tx:
            plans = [plan for plan in tx.plans(["applying"], limit=5) if plan.verb == verb]
        return any(sum(found.state == "done" for found in plan.operations) >= done for plan in plans[:1])

    return reached


def run(config: Path, *arguments: str, timeout_s: float = 300) -> Sequence[object]:
    """Exit code and output of the command line."""
    process = openqrm(config, *arguments)
    try:
        output = process.communicate(timeout=timeout_s)[0]
    except subprocess.TimeoutExpired:
        kill_tree(process.pid)
        raise
    return process.returncode, output
