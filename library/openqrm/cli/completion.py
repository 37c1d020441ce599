"""`openqrm completion`: scripts for the shells."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from openqrm.cli.framework import Command
from openqrm.errors import InvalidValueError

SHELLS = ("bash", "zsh", "fish")


@click.command(cls=Command)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script of a shell.

    \b
    bash: openqrm completion bash > /etc/bash_completion.d/openqrm
    zsh:  openqrm completion zsh > "${fpath[1]}/_openqrm"
    fish: openqrm completion fish > ~/.config/fish/completions/openqrm.fish
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise InvalidValueError(f"Shell {shell} is not known.", remedy=f"Use one of {', '.join(SHELLS)}.")
    completer = kind(ctx.find_root().command, {}, "openqrm", "_OPENQRM_COMPLETE")
    click.echo(completer.source_template % completer.source_vars())
