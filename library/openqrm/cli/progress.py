"""Progress of long work, on stderr: a live line on a terminal, one line per step elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.progress import Progress as Live
    from rich.progress import TaskID

SLOW_S = 1.0
# Tasks of the machinery itself: shown if `verbose`.
INTERNAL = ("Validating arguments", "Prepare the plan", "Commit the round", "Say what failed", "Report ")
DONE, FAILED, WAITING = "\N{CHECK MARK}", "\N{MULTIPLICATION SIGN}", "\N{HORIZONTAL ELLIPSIS}"


class Progress:
    """Shows what a playbook run tells; call it with each event. Use it as a context manager.

    An event has `kind`, `name`, `state` (started, done, failed) and `detail`. Of kind `step`, the operations of a plan,
    each is shown, with its host as the detail; of kind `wait` what one of them waits for; of kind `task` those that
    take SLOW_S, all of them if `verbose`.
    Of kind `note`, how far something is, the last one is on the live line, elsewhere all are.
    """

    def __init__(self, enabled: bool, *, verbose: bool = False) -> None:
        self._enabled = enabled
        self._verbose = verbose
        self._live: Live | None = None
        self._line: TaskID | None = None
        self._task = ""
        self._task_begun = 0.0
        self._steps: dict[tuple[str, str], float] = {}

    def __enter__(self) -> Progress:
        """Starts the live line."""
        if self._enabled and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import Progress as Live
            from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

            columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
            self._live = Live(*columns, console=Console(stderr=True), transient=True)
            self._line = self._live.add_task("starting", total=None)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the live line; says how long the last task took."""
        self._finish_task()
        if self._live:
            self._live.stop()

    def __call__(self, event: Mapping[str, object]) -> None:
        """Takes one event."""
        if not self._enabled:
            return
        name, state, detail = (str(event.get(key) or "") for key in ("name", "state", "detail"))
        if event.get("kind") == "wait":
            self.line(WAITING, name)
            return
        if event.get("kind") == "note":
            self._note(name)
            return
        self._finish_task()
        if event.get("kind") == "step":
            self._take_step(name, state, detail)
        elif state == "started" and self._is_shown(_title(name)):
            self._task, self._task_begun = _title(name), time.monotonic()
            self._show(self._task)
        elif state == "failed":
            self.line(FAILED, f"{_title(name)}: {detail or 'failed'}")

    def line(self, mark: str, text: str) -> None:
        """Prints a line that stays."""
        if not self._enabled:
            return
        if self._live:
            from rich.text import Text

            self._live.console.print(Text(f"{mark} {text}"))
        else:
            click.echo(f"{mark} {text}", err=True)

    def _take_step(self, name: str, state: str, host: str) -> None:
        if state == "started":
            self._steps[name, host] = time.monotonic()
            self._show(f"{host}: {name}")
            return
        begun = self._steps.pop((name, host), None)
        took = f" ({time.monotonic() - begun:.1f} s)" if begun is not None else ""
        self.line(DONE if state == "done" else FAILED, f"{host}: {name}{took}")

    def _note(self, text: str) -> None:
        if self._live:
            self._show(text)
        else:
            click.echo(f"  {text}", err=True)

    def _finish_task(self) -> None:
        seconds = time.monotonic() - self._task_begun
        if self._task and (self._verbose or seconds >= SLOW_S):
            self.line(DONE, f"{self._task} ({seconds:.1f} s)")
        self._task = ""

    def _is_shown(self, task: str) -> bool:
        """Whether a task is shown by itself: within an operation the operation is."""
        return self._verbose or not (self._steps or task.startswith(INTERNAL))

    def _show(self, text: str) -> None:
        if self._live and self._line is not None:
            from rich.markup import escape

            self._live.reset(self._line, description=escape(text))


def _title(name: str) -> str:
    """The task's own name, without role and task file."""
    return name.rsplit(" : ", 1)[-1].rsplit(" | ", 1)[-1]
