"""`openqrm cache`: large files of the boot tree and of the controller's cache."""

from __future__ import annotations

import click

from openqrm.cli.framework import Group, changes_something
from openqrm.cli.output import print_json, print_table, size
from openqrm.cli.parameters import yes_option
from openqrm.cli.session import Session, with_session

DAY_S = 24 * 60 * 60


@click.group(cls=Group)
def cache() -> None:
    """Large files of the boot tree, and what the controller keeps of builds and downloads."""


@cache.command()
@click.option(
    "--older-than",
    "days",
    type=click.IntRange(1, 36_500),
    default=30,
    show_default=True,
    metavar="DAYS",
    help="What was neither read nor written for so long.",
)
@yes_option
@changes_something
@with_session
def prune(session: Session, days: int, yes: bool) -> None:
    """Remove files that no kernel, image, machine or plan refers to any more, and half-made ones."""
    session.confirm(f"Remove files that nothing refers to and that were not used for {days} days?", yes=yes)
    result = session.run("cache_prune", {"cache_prune_older_than_days": days})
    found = session.results(result, "files")
    if session.json:
        print_json({"changed": bool(found), "check": session.check, "files": found})
        return
    if not found:
        session.say("Nothing to do: there is nothing unused.")
        return
    rows = [(item["what"], size(item["size_mib"]), f"{item['age_s'] // DAY_S} days", item["path"]) for item in found]
    print_table(("WHAT", "SIZE", "NOT USED FOR", "FILE"), rows, "")
    words = "Check mode: nothing was changed; it would remove" if session.check else "Removed"
    session.say(f"{words} {len(found)} files, {size(sum(item['size_mib'] for item in found))}.")
