"""The verbs that are plans: how each selects its objects, draws its steps, commits, undoes and closes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module

from openqrm.errors import InvalidValueError, NotFoundError
from openqrm.model import Plan
from openqrm.names import check_name
from openqrm.planning.context import Context
from openqrm.planning.operations import Step

Objects = tuple[Mapping[str, object], ...]
Arguments = Mapping[str, object]
# The modules with verbs; they need this one, and are imported when a verb is asked for.
MODULES = (
    *("adoption", "appliances", "archives", "diskgrabs", "images", "kernels", "machines"),
    *("private", "shelves", "storages", "systemcopies", "versions"),
)


@dataclass(frozen=True)
class Selection:
    """The names to act on, and for those that need nothing the reason."""

    names: tuple[str, ...]
    unchanged: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Drawing:
    """A plan before it is stored: its steps, and the objects it is about (`kind`, `name`, and more for members)."""

    steps: Sequence[Step]
    objects: Objects


Trouble = Mapping[str, str]


@dataclass(frozen=True)
class Onward:
    """What a plan does after something was taken back: go `forward` again, or take back more. None of both: it ends."""

    drawing: Drawing
    forward: bool


def _nothing(_context: Context, _plan: Plan, _trouble: Trouble, _left: Trouble) -> Onward | None:
    return None


def _not_withdrawn(_context: Context, _plan: Plan) -> bool:
    return False


@dataclass(frozen=True)
class Verb:
    """One kind of plan. `undone` says in a word to the user what is left after an undo.

    The functions get the part of the plan that they are to act on (openqrm.planning.rounds.part).

    - `commit`: all of it was done.
    - `undo`: the steps that take back what was done of it; the trouble is member -> why. None: what was done stays, and
      carrying the plan out again goes on with it.
    - `again`: the steps of `undo` were carried out (but for what is `left`): what comes next.
    - `close`: it is given up; the last argument says whether everything was taken back.
    - `withdraw`: nothing of it was begun: the store as it was before. Returns whether that can be.
    - `waiting`: the state of its appliances while it is applied.
    - `replaces`: verbs whose plans it may take the place of when their controller died, as it takes all of it back.
    """

    name: str
    kind: str
    select: Callable[[Context, Arguments], Selection]
    draw: Callable[[Context, Sequence[str], Arguments, int], Drawing]
    commit: Callable[[Context, Plan], None]
    undo: Callable[[Context, Plan, Trouble], Sequence[Step]] | None
    close: Callable[[Context, Plan, bool], None]
    undone: str = "What it had done was undone."
    again: Callable[[Context, Plan, Trouble, Trouble], Onward | None] = _nothing
    withdraw: Callable[[Context, Plan], bool] = _not_withdrawn
    replaces: frozenset[str] = frozenset()
    waiting: str = ""


def names_of(arguments: Arguments, key: str) -> list[str]:
    """The names under `key`, a list or comma-separated text, each once and valid. Raises: InvalidValueError."""
    value = arguments.get(key)
    names = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
    if not isinstance(names, list) or not names:
        raise InvalidValueError(f"No {key[:-1]} is named.", remedy=f"Give {key}, as `-e {key}=one,two`.")
    for name in names:
        for part in name.split("/", 1) if key == "volumes" and isinstance(name, str) else [name]:
            check_name(key[:-1].capitalize(), part)
    return list(dict.fromkeys(names))


def known() -> dict[str, Verb]:
    """All verbs by name."""
    modules = [import_module(f"openqrm.planning.{name}") for name in MODULES]
    return {verb.name: verb for module in modules for verb in module.VERBS}


def get(name: str) -> Verb:
    """The verb of that name. Raises: NotFoundError."""
    verbs = known()
    if name not in verbs:
        raise NotFoundError("Verb", name, verbs)
    return verbs[name]
