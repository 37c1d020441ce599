"""Choosing appliances: by name, all of them, by state, by tag."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import update_wrapper
from typing import TYPE_CHECKING, Any, TypeVar

import click

from openqrm.cli.parameters import Name
from openqrm.errors import InvalidValueError, NotFoundError
from openqrm.states import APPLIANCE_STATES

if TYPE_CHECKING:
    from openqrm.model import Appliance
    from openqrm.store import Reader

T = TypeVar("T")


@dataclass(frozen=True)
class Selector:
    """What was said about which appliances. All kinds of filters must hold; values of one kind are alternatives."""

    names: tuple[str, ...] = ()
    everything: bool = False
    states: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing was said."""
        return not (self.names or self.everything or self.states or self.tags)

    def appliances(self, reader: Reader) -> list[Appliance]:
        """The appliances that pass. Raises: NotFoundError for a name that does not exist."""
        found = reader.appliances(self.names or None, self.states or None)
        if len(found) < len(set(self.names)):
            known = set(reader.names("appliance"))
            for name in self.names:
                if name not in known:
                    raise NotFoundError("Appliance", name, known)
        return [item for item in found if not self.tags or tags_of(item) & set(self.tags)]

    def chosen_names(self, reader: Reader) -> list[str]:
        """The names of the appliances that pass. Raises: InvalidValueError where there are none; NotFoundError."""
        if self.is_empty:
            raise InvalidValueError("No appliance is named.", remedy="Give names, --all, --state or --tag.")
        found = [item.name for item in self.appliances(reader)]
        if not found:
            raise InvalidValueError("No appliance is selected.", remedy="See `openqrm appliance list`.")
        return found


def tags_of(appliance: Appliance) -> set[str]:
    """The tags of an appliance: those of its parameter `tags`, and those that it needs of a machine."""
    own = appliance.parameters.get("tags", ())
    words = own if isinstance(own, (list, tuple)) else str(own).split(",")
    return {str(word).strip() for word in words} | set(appliance.requirements.tags)


def appliance_selector(*, required: bool) -> Callable[[Callable[..., T]], Callable[..., T]]:
    """Adds names, --all, --state and --tag to a command, which gets a `selector`."""

    def decorate(function: Callable[..., T]) -> Callable[..., T]:
        def wrapped(
            *args: Any,
            names: tuple[str, ...],
            everything: bool = False,
            states: tuple[str, ...],
            tags: tuple[str, ...],
            **rest: Any,
        ) -> T:
            if names and everything:
                raise InvalidValueError("Names and --all are both given.", remedy="Give one of them.")
            return function(*args, selector=Selector(names, everything, states, tags), **rest)

        options = [
            click.argument("names", metavar="[NAME]...", nargs=-1, type=Name("appliance")),
            click.option(
                "--state", "states", multiple=True, type=click.Choice(APPLIANCE_STATES), help="Those in this state."
            ),
            click.option("--tag", "tags", multiple=True, metavar="TAG", help="Those with this tag."),
        ]
        if required:
            options.insert(1, click.option("--all", "everything", is_flag=True, help="All appliances."))
        result = update_wrapper(wrapped, function)
        for option in reversed(options):
            result = option(result)
        return result

    return decorate
