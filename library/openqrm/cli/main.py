"""The root command: which objects there are, and how errors become messages and exit codes."""

from __future__ import annotations

import gc
import json
import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from openqrm import __version__
from openqrm.cli.framework import LazyGroup, common_options
from openqrm.errors import OpenqrmError

INTERRUPTED = 130
BUG = 70
# Objects made until Python looks for garbage: a command that reads a fleet makes many and drops few, and ends soon.
COLLECT_AFTER = 200_000

COMMANDS = {
    "appliance": ("openqrm.cli.appliance", "Services: a kernel, an image and what they need of a machine."),
    "resource": ("openqrm.cli.resource", "Machines: servers and virtual machines that boot from the network."),
    "kernel": ("openqrm.cli.kernel", "Kernels with their initramfs and modules."),
    "image": ("openqrm.cli.image", "Root file systems: a volume and how it is deployed."),
    "shelf": ("openqrm.cli.shelf", "Catalogues of root file systems, to make images from."),
    "storage": ("openqrm.cli.storage", "Storage servers that hold volumes."),
    "volume": ("openqrm.cli.volume", "Volumes on storage servers."),
    "operation": ("openqrm.cli.operation", "Plans: what runs, ran or failed, step by step."),
    "event": ("openqrm.cli.event", "What happened."),
    "plugin": ("openqrm.cli.plugin", "Plug-ins with hooks: list, enable, disable, create."),
    "lab": ("openqrm.cli.lab", "A data centre in a box, on this machine."),
    "serve": ("openqrm.cli.serve", "Run the APIs that nodes and operators call."),
    "token": ("openqrm.cli.token", "Tokens of operators for the API: create, list, revoke."),
    "cache": ("openqrm.cli.cache", "Large files that nothing refers to any more."),
    "db": ("openqrm.cli.db", "The store: its schema, backups, history."),
    "pki": ("openqrm.cli.pki", "The data centre's certificate authority."),
    "completion": ("openqrm.cli.completion", "Print a shell completion script."),
}

EPILOG = """Exit codes: 0 done, 1 failed, 2 wrong use, value or configuration, 3 not found, 4 in use or conflict,
5 no fitting resource, 6 wrong state, 7 store unusable, 8 an operation failed, 9 stale plan, 10 too late, 70 a bug in
openQRM, 130 interrupted."""


class Root(LazyGroup):
    """The group `openqrm`: the one place that turns exceptions into messages on stderr and exit codes."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Runs a command line. With `standalone_mode` (the default) it exits with the documented code."""
        gc.set_threshold(COLLECT_AFTER)
        words = list(sys.argv[1:] if args is None else args)
        if not standalone_mode:
            return super().main(words, prog_name, complete_var, False, **extra)
        try:
            code = super().main(words, prog_name, complete_var, False, **extra)
        except (OpenqrmError, click.ClickException, click.Abort, KeyboardInterrupt, OSError) as error:
            code = report(error, as_json="--json" in words)
        except Exception as error:  # the last resort: a bug is told without a traceback
            if os.environ.get("OPENQRM_DEBUG"):
                raise
            code = report(error, as_json="--json" in words)
        sys.exit(code if isinstance(code, int) else 0)


def report(error: BaseException, *, as_json: bool) -> int:
    """Prints the error on stderr, as text or as one JSON object, and returns the exit code."""
    message, remedy, code = explain(error)
    if as_json:
        click.echo(json.dumps({"error": message, "remedy": remedy, "exit_code": code}), err=True)
    elif isinstance(error, click.UsageError):
        error.show()
    else:
        click.echo(f"Error: {message}" if code != INTERRUPTED else message, err=True)
        if remedy:
            click.echo(f"  {remedy}", err=True)
    return code


def explain(error: BaseException) -> tuple[str, str, int]:
    """The message, the remedy and the exit code for an exception."""
    if isinstance(error, OpenqrmError):
        return error.message, error.remedy, error.exit_code
    if isinstance(error, click.ClickException):
        return error.format_message(), "See `openqrm --help`.", error.exit_code
    if isinstance(error, (click.Abort, KeyboardInterrupt)):
        return "Interrupted.", "Running the same command again continues from where it stopped.", INTERRUPTED
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror or error}.", "Check the path, its permissions and the disk.", 1
    what = f"{type(error).__name__}: {error}"
    return f"This is a bug in openQRM: {what}", "Set OPENQRM_DEBUG=1 to see where, and report it.", BUG


@click.group(
    cls=Root,
    commands_table=COMMANDS,
    epilog=EPILOG,
    context_settings={"max_content_width": 100},
    params=common_options(everywhere=False),
)
@click.version_option(__version__, prog_name="openqrm")
def main() -> None:
    """Provision a data centre: services are files that any machine boots from the network.

    Name an object and a verb, as in `openqrm appliance start web01`; `openqrm appliance --help` lists its verbs.
    """
