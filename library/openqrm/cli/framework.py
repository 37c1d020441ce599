"""Commands that load late, and the options that every command takes before and after its verb."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

F = TypeVar("F", bound=Callable[..., Any])
# Keys of Context.meta, which all contexts of one command line share.
META = "openqrm.cli"
# Characters of the first sentence of a verb's help; more is cut.
SENTENCE = 200


def _remember(key: str) -> Callable[[click.Context, click.Parameter, Any], Any]:
    """A callback that notes an option's value for the whole command line, if it was given."""

    def callback(ctx: click.Context, parameter: click.Parameter, value: Any) -> Any:
        if value is not None and value is not False and value != 0:
            ctx.meta[f"{META}.{key}"] = value
        return value

    return callback


def common_options(*, everywhere: bool) -> list[click.Parameter]:
    """The options of every command. `everywhere`: as verbs have them, where only `--json` is shown by --help."""
    hidden = everywhere

    def option(*names: str, key: str, **settings: Any) -> click.Option:
        return click.Option([*names, f"_{key}"], expose_value=False, is_eager=True, callback=_remember(key), **settings)

    return [
        option(
            "--config",
            key="config",
            metavar="FILE",
            hidden=hidden,
            help="Configuration file. Default: $OPENQRM_CONFIG, ./openqrm.yml, /etc/openqrm/openqrm.yml.",
        ),
        option("--lab", key="lab", metavar="NAME", hidden=hidden, help="Work on this lab. Default: $OPENQRM_LAB."),
        option("--json", key="json", is_flag=True, help="Print JSON."),
        option(
            "-q", "--quiet", key="quiet", is_flag=True, hidden=hidden, help="No progress, no confirmations of success."
        ),
        option("-v", "--verbose", key="verbose", count=True, hidden=hidden, help="Show every step."),
    ]


class Command(click.Command):
    """A command that takes the common options too."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.extend(common_options(everywhere=True))


class Group(click.Group):
    """A group of `Command`s, the verbs of one object, in the order in which they are defined."""

    command_class = Command
    group_class = type

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.extend(common_options(everywhere=True))

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The verbs, as ordered in the source."""
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the verbs, each with the first sentence of its help, whole."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, verb.get_short_help_str(SENTENCE)) for name, verb in self.commands.items()])


class LazyGroup(click.Group):
    """A group whose commands live in modules that are imported on use: name -> (module, one line of help).

    The module has the command under its own name, as `appliance` in `openqrm.cli.appliance`.
    """

    def __init__(self, *args: Any, commands_table: Mapping[str, tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._table = commands_table

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of the table."""
        return list(self._table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now; None for an unknown one."""
        if cmd_name not in self._table:
            return None
        command: click.Command = getattr(importlib.import_module(self._table[cmd_name][0]), cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the first argument names. Raises: click.UsageError with the closest names."""
        close = [] if args[0] in self._table else get_close_matches(args[0], self._table)
        if close and not ctx.resilient_parsing:
            ctx.fail(f"No such command {args[0]!r}. Did you mean {', '.join(close)}?")
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The names of the table, without an import, and the options."""
        names = [
            CompletionItem(name, help=text) for name, (_, text) in self._table.items() if name.startswith(incomplete)
        ]
        return [*names, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the table, without an import."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self._table.items()])


def changes_something(function: F) -> F:
    """Adds `--check` and `--diff` to a verb; `Session.run` obeys them."""
    for name, text in (
        ("diff", "Show what would be, or is, different."),
        ("check", "Show what would be done; change nothing."),
    ):
        function = click.option(
            f"--{name}", f"_{name}", is_flag=True, expose_value=False, help=text, callback=_remember(name)
        )(function)
    return function
