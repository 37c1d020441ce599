"""Errors of the library: one class per cause, each with what was found and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping


class OpenqrmError(Exception):
    """Base of all errors that a user may see.

    `message` says which object, what was asked and what was found; `remedy` says what to do; `exit_code` is
    the exit status of the command line.
    """

    exit_code = 1

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()

    def parts(self) -> dict[str, str | int]:
        """The error for programs: `kind`, `message`, `remedy`, `exit_code`."""
        return {
            "kind": type(self).__name__,
            "message": self.message,
            "remedy": self.remedy,
            "exit_code": self.exit_code,
        }


class InvalidValueError(OpenqrmError):
    """A value that cannot be: a malformed name, MAC, size, path or an unknown key."""

    exit_code = 2


class ConfigError(OpenqrmError):
    """The configuration file is missing, unreadable or wrong."""

    exit_code = 2


class NotFoundError(OpenqrmError):
    """An object that does not exist; the message carries the closest names."""

    exit_code = 3

    def __init__(self, kind: str, name: str, known: Iterable[str] = ()) -> None:
        names = sorted(known)
        close = difflib.get_close_matches(name, names, n=3)
        hint = (
            f"Did you mean {', '.join(close)}?"
            if close
            else f"Known: {', '.join(names[:10])}."
            if names
            else "There is none yet."
        )
        shown = name if name.isprintable() and len(name) <= 130 else f"{name[:60]!r}..."
        super().__init__(f"{kind[:1].upper()}{kind[1:]} {shown} does not exist.", remedy=hint)
        self.kind = kind
        self.name = name


class InUseError(OpenqrmError):
    """An object cannot be changed or removed because others use it."""

    exit_code = 4


class ConflictError(OpenqrmError):
    """The wanted change collides with what is there: a taken name, MAC, volume, or a running plan."""

    exit_code = 4


class NoResourceError(OpenqrmError):
    """No idle resource fits; the message names the nearest miss and what it lacks."""

    exit_code = 5


class StateError(OpenqrmError):
    """The object's state does not allow the wanted transition."""

    exit_code = 6


class StoreError(OpenqrmError):
    """The store cannot be read or written, or its schema is of another version."""

    exit_code = 7


class TransactionLostError(StoreError):
    """The database broke a transaction off, and nothing of it was written: it may be done again."""


class ApplyError(OpenqrmError):
    """An operation of a plan failed; what the plan had done was undone unless the message says otherwise."""

    exit_code = 8


class StalePlanError(OpenqrmError):
    """The state changed since the plan was made."""

    exit_code = 9


class DeadlineError(OpenqrmError):
    """Something did not happen in time. `missing`: object -> what it did instead."""

    exit_code = 10

    def __init__(self, message: str, *, remedy: str = "", missing: Mapping[str, str] | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.missing = dict(missing or {})
