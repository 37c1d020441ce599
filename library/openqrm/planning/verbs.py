"""The verbs that are plans: how each selects its objects, draws its steps, commits, undoes and closes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from openqrm.errors import InvalidValueError, NotFoundError
from openqrm.model import Plan
from openqrm.planning.context import Context
from openqrm.planning.operations import Step

Objects = tuple[Mapping[str, object], ...]
Arguments = Mapping[str, object]


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


@dataclass(frozen=True)
class Verb:
    """One kind of plan. `undone` says in a word to the user what is left after an undo."""

    name: str
    kind: str
    select: Callable[[Context, Arguments], Selection]
    draw: Callable[[Context, Sequence[str], Arguments, int], Drawing]
    commit: Callable[[Context, Plan], None]
    undo: Callable[[Context, Plan], Sequence[Step]]
    close: Callable[[Context, Plan, bool], None]
    undone: str = "What it had done was undone."


def names_of(arguments: Arguments, key: str) -> list[str]:
    """The names under `key`, a list or comma-separated text, each once. Raises: InvalidValueError."""
    value = arguments.get(key)
    names = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
    if not isinstance(names, list) or not names:
        raise InvalidValueError(f"No {key[:-1]} is named.", remedy=f"Give {key}, as `-e {key}=one,two`.")
    return list(dict.fromkeys(str(name) for name in names))


def known() -> dict[str, Verb]:
    """All verbs by name."""
    from openqrm.planning import appliances, images, kernels, machines, storages

    return {
        verb.name: verb for verb in (*appliances.VERBS, *images.VERBS, *kernels.VERBS, *machines.VERBS, *storages.VERBS)
    }


def get(name: str) -> Verb:
    """The verb of that name. Raises: NotFoundError."""
    verbs = known()
    if name not in verbs:
        raise NotFoundError("Verb", name, verbs)
    return verbs[name]
