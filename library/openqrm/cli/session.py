"""What every command works with: the options that were given, the data centre, playbook runs and output."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, update_wrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from openqrm.cli.framework import META
from openqrm.cli.output import print_json, print_lines
from openqrm.errors import ApplyError, ConfigError, InvalidValueError, NotFoundError
from openqrm.names import check_name

if TYPE_CHECKING:
    from openqrm.config import Config
    from openqrm.datacenter import Datacenter
    from openqrm.runner import RunResult
    from openqrm.store import Reader

LABS = Path("/var/lib/openqrm/labs")
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
T = TypeVar("T")


class Session:
    """One command line. The configuration is read, and the store opened, when a command first asks for them."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = options
        self.json = bool(options.get("json"))
        self.quiet = bool(options.get("quiet"))
        self.verbose = int(options.get("verbose") or 0)
        self.check = bool(options.get("check"))
        self.diff = bool(options.get("diff"))

    @property
    def lab(self) -> str:
        """The lab that `--lab` or $OPENQRM_LAB names, else empty."""
        return str(self._options.get("lab") or os.environ.get("OPENQRM_LAB") or "")

    @cached_property
    def config(self) -> Config:
        """The configuration: of `--config`, of the lab, else as `openqrm.config` finds it. Raises: ConfigError."""
        from openqrm.config import load_config

        return load_config(self._config_path())

    @cached_property
    def center(self) -> Datacenter:
        """The data centre, open. Raises: ConfigError, StoreError."""
        from openqrm.datacenter import Datacenter

        return Datacenter.open(self.config)

    @contextlib.contextmanager
    def read(self) -> Iterator[Reader]:
        """A consistent view of the store. Raises: StoreError."""
        with self.center.store.read() as reader:
            yield reader

    def run(
        self, playbook: str, variables: Mapping[str, object], *, config: Config | None = None, plan: int | None = None
    ) -> RunResult:
        """Runs a playbook of the collection with progress on stderr, obeying --check and --diff.

        Raises: ApplyError with what failed; click.Abort when it was interrupted.
        """
        from openqrm.cli.progress import Progress
        from openqrm.runner import run_playbook

        cancel = threading.Event()
        with _interrupts(cancel), Progress(self.show_progress, verbose=self.verbose > 0) as progress:
            result = run_playbook(
                config or self.config,
                playbook,
                variables,
                check=self.check,
                diff=self.diff,
                plan=plan,
                on_event=progress,
                cancel=cancel,
            )
        if result.status == "canceled" or (cancel.is_set() and not result.ok):
            raise click.Abort
        if not result.ok:
            raise _failure(playbook, result)
        return result

    def run_lab(self, playbook: str, name: str, variables: Mapping[str, object]) -> RunResult:
        """Runs a playbook on a lab, whether or not the lab exists. Raises: OpenqrmError."""
        from openqrm.config import Config
        from openqrm.lab import lab_dir, require_root

        require_root()
        config = dataclasses.replace(Config(), path=lab_dir(name) / "openqrm.yml")
        return self.run(playbook, {"lab_name": name, **variables}, config=config)

    def for_lab(self, name: str) -> Session:
        """A session with the same options for another lab, which need not exist yet."""
        return Session({**self._options, "config": None, "lab": name})

    @property
    def show_progress(self) -> bool:
        """Whether progress is wanted on stderr."""
        return not self.quiet and not self.json

    def change(self, playbook: str, variables: Mapping[str, object], done: str, *, plan: int | None = None) -> None:
        """Runs a playbook that changes something and says what came of it: `done`, or that nothing had to be done."""
        result = self.run(playbook, variables, plan=plan)
        report = result.stats.get("openqrm")
        details = dict(report) if isinstance(report, Mapping) else {}
        self._report(details, done, changed=bool(details.get("changed", result.changed)), diff=result.diff)

    def _report(self, details: Mapping[str, Any], done: str, *, changed: bool, diff: Sequence[str] = ()) -> None:
        if self.json:
            print_json({**details, "changed": changed, "check": self.check, "diff": list(diff)})
            return
        if self.check or self.diff:
            print_lines(diff)
        self.say(self._outcome(done, changed, details))

    def run_entry(self, kind: str, *entries: Mapping[str, object], playbook: str = "") -> None:
        """Makes objects as described, or changes those that exist, by the playbook `<kind>_create` unless it is named.

        What can be known to be wrong is found before anything starts. Raises: OpenqrmError.
        """
        from openqrm.desired import present

        with self.read() as reader:
            changes = present(reader, lambda: self.center.types, kind, list(entries))
        names = ", ".join(change.name for change in changes)
        what = "changed" if all(change.before for change in changes) else "created"
        self.change(playbook or f"{kind}_create", {f"{kind}s": list(entries)}, f"{what} {kind} {names}")

    def carry_out(self, verb: str, arguments: Mapping[str, object], done: str, *, playbook: str = "") -> None:
        """Plans a change and applies the plan by the playbook, which is called as the verb unless it is named.

        The plan comes first: what cannot work is refused before anything starts, and the run's inventory holds only the
        plan's hosts. Raises: OpenqrmError.
        """
        from openqrm.planning import changes
        from openqrm.planning.owner import owner_of

        center, who = self.center, actor()
        prepared = center.store.again(
            lambda: changes.prepare(center, verb, arguments, owner=owner_of(), actor=who, check=self.check)
        )
        if self.check:
            self.change(playbook or verb, arguments, done)
        elif not prepared.plan:
            self._report({"plan": 0, "verb": verb, "unchanged": list(prepared.unchanged.values())}, done, changed=False)
        else:
            variables = {**arguments, "openqrm_plans": {verb: prepared.plan}}
            self.change(playbook or verb, variables, done, plan=prepared.plan)

    def refuse_early(self, verb: str, arguments: Mapping[str, object]) -> None:
        """Returns if the change can be planned; nothing is written. Raises: OpenqrmError."""
        from openqrm.planning import changes
        from openqrm.planning.owner import owner_of

        changes.prepare(self.center, verb, arguments, owner=owner_of(), actor=actor(), check=True)

    def require(self, kind: str, names: Sequence[str]) -> None:
        """Returns if all these objects exist. Raises: NotFoundError with the closest names."""
        with self.read() as reader:
            known = set(reader.names(kind))
        for name in names:
            if name not in known:
                raise NotFoundError(kind.capitalize(), name, known)

    def results(self, result: RunResult, key: str) -> list[Mapping[str, Any]]:
        """The list that a playbook reported under this key."""
        found = (result.stats.get("openqrm") or {}).get(key)
        return [dict(item) for item in found] if isinstance(found, list) else []

    def _outcome(self, done: str, changed: bool, details: Mapping[str, Any]) -> str:
        unchanged = details.get("unchanged")
        reasons = [str(line) for line in unchanged] if isinstance(unchanged, list) else []
        if not changed:
            return f"Nothing to do: {'; '.join(reasons)}." if reasons else "Nothing to do: it is so already."
        if self.check:
            return "Check mode: nothing was changed."
        return f"{done[:1].upper()}{done[1:]}."

    def say(self, text: str) -> None:
        """Prints a line for a person on stdout, unless --quiet or --json."""
        if not self.quiet and not self.json:
            click.echo(text)

    def confirm(self, question: str, *, yes: bool) -> None:
        """Returns if the user agrees. Raises: InvalidValueError where nobody can be asked; click.Abort for no."""
        if yes or self.check:
            return
        if not _can_ask():
            raise InvalidValueError(f"{question} This needs a yes.", remedy="Add --yes where nobody can be asked.")
        click.confirm(question, abort=True, err=True)

    def close(self) -> None:
        """Closes what was opened."""
        if "center" in self.__dict__:
            self.center.close()

    def _config_path(self) -> str | None:
        explicit = self._options.get("config")
        # What was typed wins over the environment, and a file that the environment names over its lab.
        is_named = "OPENQRM_CONFIG" in os.environ and not self._options.get("lab")
        if explicit or is_named or not self.lab:
            return str(explicit) if explicit else None
        check_name("Lab", self.lab)
        path = lab_config(self.lab)
        if not path.is_file():
            raise ConfigError(
                f"Lab {self.lab} does not exist: there is no {path}.",
                remedy=f"Run `openqrm lab up {self.lab}`, or see `openqrm lab list`.",
            )
        return str(path)


def actor() -> str:
    """Who acts, for the audit log."""
    import getpass

    return os.environ.get("OPENQRM_ACTOR") or os.environ.get("SUDO_USER") or getpass.getuser()


def _failure(playbook: str, result: RunResult) -> ApplyError:
    """What ended the run, as an error with the exit code that the library gave it."""
    message = result.errors[-1] if result.errors else f"The playbook {playbook} ended with status {result.status}."
    error = ApplyError(message)
    error.exit_code = result.exit_code if result.exit_code > 1 else ApplyError.exit_code
    return error


def _can_ask() -> bool:
    return sys.stdin.isatty()


def lab_config(name: str) -> Path:
    """The configuration file of a lab."""
    return LABS / name / "openqrm.yml"


def session_of(ctx: click.Context) -> Session:
    """A session with the options of this command line."""
    return Session({key.removeprefix(f"{META}."): value for key, value in ctx.meta.items() if key.startswith(META)})


def with_session(function: Callable[..., T]) -> Callable[..., T]:
    """A command's function gets a session as its first argument; it is closed afterwards."""

    def wrapped(*args: Any, **kwargs: Any) -> T:
        session = session_of(click.get_current_context())
        try:
            return function(session, *args, **kwargs)
        finally:
            session.close()

    return update_wrapper(wrapped, function)


@contextlib.contextmanager
def _interrupts(cancel: threading.Event) -> Iterator[None]:
    """Ctrl-C, a lost terminal or SIGTERM asks the run to end; a second one ends it now."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupted(_number: int, _frame: object) -> None:
        if cancel.is_set():
            raise KeyboardInterrupt
        cancel.set()
        with contextlib.suppress(OSError):
            os.write(2, b"\nStopping; press Ctrl-C again to stop at once.\n")

    previous = {number: signal.signal(number, interrupted) for number in ENDING if not _is_ignored(number)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _is_ignored(number: signal.Signals) -> bool:
    """Whether whoever started this process wants the signal ignored, as nohup does."""
    return signal.getsignal(number) is signal.SIG_IGN
