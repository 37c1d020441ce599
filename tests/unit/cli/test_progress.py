"""Progress on a terminal: a live line, and lines that stay for operations and slow tasks."""

from __future__ import annotations

import io

import pytest
from openqrm.cli import progress as progresses
from openqrm.cli.progress import Progress


class Terminal(io.StringIO):
    """Standard error that is a terminal."""

    def isatty(self) -> bool:
        """Whether it is one."""
        return True


def a_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal that is standard error from now on; pytest would take it back between a fixture and its test."""
    stream = Terminal()
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    return stream


def event(kind: str, name: str, state: str, detail: str = "") -> dict[str, object]:
    """What a playbook run tells."""
    return {"kind": kind, "name": name, "state": state, "detail": detail}


def test_operations_and_failures_stay_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = a_terminal(monkeypatch)
    with Progress(True) as progress:
        progress(event("task", "Validating arguments against arg spec", "started"))
        progress(event("task", "Build [bold]it[/bold]", "started"))
        progress(event("step", "storage_fake volume_clone", "started", "san1"))
        progress(event("task", "role : Clone | Copy", "started"))
        progress(event("step", "storage_fake volume_clone", "done", "san1"))
        progress(event("step", "node [wait_up]", "failed", "localhost"))
    shown = terminal.getvalue()
    assert "\N{CHECK MARK} san1: storage_fake volume_clone (" in shown
    assert "\N{MULTIPLICATION SIGN} localhost: node [wait_up]" in shown
    assert "Validating" not in shown
    assert "Copy" not in shown


@pytest.mark.parametrize(("slow_s", "expected"), [(0.0, True), (1e9, False)])
def test_slow_tasks_stay(monkeypatch: pytest.MonkeyPatch, slow_s: float, expected: bool) -> None:
    terminal = a_terminal(monkeypatch)
    monkeypatch.setattr(progresses, "SLOW_S", slow_s)
    with Progress(True) as progress:
        progress(event("task", "lab : Up | Build the disk", "started"))
    assert ("\N{CHECK MARK} Build the disk (" in terminal.getvalue()) is expected


def test_nothing_is_shown_when_it_is_not_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = a_terminal(monkeypatch)
    with Progress(False, verbose=True) as progress:
        progress(event("step", "x", "done"))
        progress.line("-", "x")
    assert terminal.getvalue() == ""
