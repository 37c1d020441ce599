"""Kinds of arguments: names that complete from the store, KEY=VALUE pairs; and options that several commands share."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

from openqrm.cli.session import session_of
from openqrm.errors import OpenqrmError
from openqrm.names import check_name, check_type

F = TypeVar("F", bound=Callable[..., Any])
NUMBER = re.compile(r"-?[0-9]{1,18}")
if TYPE_CHECKING:
    from openqrm.store import Reader

    ParamType = click.ParamType[Any]
else:  # not generic in every version of click
    ParamType = click.ParamType


class Name(ParamType):
    """The name of an object of a kind. `existing`: complete it from the store."""

    def __init__(self, kind: str, *, existing: bool = True) -> None:
        self.name = kind
        self._existing = existing

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The name, checked. A volume's is `STORAGE/NAME`. Raises: InvalidValueError."""
        if isinstance(value, str):
            for part in value.split("/", 1) if self.name == "volume" else [value]:
                check_name(self.name.capitalize(), part)
        return value

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The names in the store that begin so; none when it cannot be read."""
        if not self._existing:
            return []
        session = session_of(ctx)
        try:
            with session.read() as reader:
                names = self._names(reader)
        except OpenqrmError:
            return []
        finally:
            session.close()
        return [CompletionItem(name) for name in sorted(names) if name.startswith(incomplete)]

    def _names(self, reader: Reader) -> list[str]:
        if self.name == "token":
            return [token.name for token in reader.api_tokens()]
        return list(reader.setting("shelves", {})) if self.name == "shelf" else reader.names(self.name)


class TypeName(ParamType):
    """The name of a type of a family, as `directory` of storages, checked; whether a role provides it is for the types
    to say. The known ones are completed, also those of the configured collections."""

    name = "type"

    def __init__(self, family: str) -> None:
        self._family = family

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The name, checked. Raises: InvalidValueError."""
        return check_type(self._family.capitalize(), value) if isinstance(value, str) else value

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The types that begin so; without a configuration those of this collection."""
        from openqrm.types import TypeRegistry

        try:
            try:
                types = TypeRegistry.load(session_of(ctx).config.collections)
            except OpenqrmError:
                types = TypeRegistry.load(())
            names = [info.name for info in types.family(self._family)]
        except OpenqrmError:
            return []
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]


class Pair(ParamType):
    """KEY=VALUE; the value is a number, true or false where it looks so. `KEY=` takes the key away."""

    name = "key=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, object]:
        """The key and its value, None for an empty one."""
        if isinstance(value, tuple):
            return value
        key, separator, word = str(value).partition("=")
        if not separator or not key:
            self.fail(f"{value!r} is not KEY=VALUE.", param, ctx)
        return key, _scalar(word)


def _scalar(word: str) -> object:
    if word in ("true", "false"):
        return word == "true"
    if NUMBER.fullmatch(word):
        return int(word)
    return word or None


def _mapping(
    ctx: click.Context, param: click.Parameter, value: tuple[tuple[str, object], ...]
) -> dict[str, object] | None:
    return dict(value) or None


def _several(ctx: click.Context, param: click.Parameter, value: tuple[Any, ...]) -> list[Any] | None:
    return list(value) or None


def pairs_option(*names: str, help: str) -> Callable[[F], F]:  # noqa: A002 - click's own word
    """An option that is given several times as KEY=VALUE and becomes a mapping, None without any."""
    return click.option(*names, type=Pair(), multiple=True, callback=_mapping, metavar="KEY=VALUE", help=help)


def list_option(*names: str, help: str, **settings: Any) -> Callable[[F], F]:  # noqa: A002 - click's own word
    """An option that is given several times and becomes a list, None without any."""
    return click.option(*names, multiple=True, callback=_several, help=f"{help} May be repeated.", **settings)


def names_argument(kind: str, *, required: bool = True) -> Callable[[F], F]:
    """One or more names of objects that exist; where they are not required, none stands for all."""
    metavar = "NAME..." if required else "[NAME...]"
    return click.argument("names", metavar=metavar, nargs=-1, required=required, type=Name(kind))


def yes_option(function: F) -> F:
    """`--yes`, for verbs that destroy something."""
    return click.option("-y", "--yes", is_flag=True, help="Do not ask.")(function)


def given(fields: Mapping[str, object]) -> dict[str, object]:
    """The fields that were given on the command line."""
    return {key: value for key, value in fields.items() if value is not None}


def listed(names: tuple[str, ...] | list[str], limit: int = 5) -> str:
    """The names as a phrase, shortened."""
    rest = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {rest} more" if rest > 0 else "")
