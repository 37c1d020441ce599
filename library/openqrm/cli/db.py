"""`openqrm db`: the schema of the store, and its backups."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from openqrm.cli.framework import Group, changes_something
from openqrm.cli.output import print_json
from openqrm.cli.parameters import yes_option
from openqrm.cli.session import Session, actor, with_session

if TYPE_CHECKING:
    from openqrm.store.backup import Summary

FILE = click.argument("file", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))


@click.group(cls=Group)
def db() -> None:
    """The store: which schema it has, bringing it to the newest, backups."""


@db.command()
@with_session
def current(session: Session) -> None:
    """Say which schema the store has, and which one this version needs."""
    from openqrm import store

    found, wanted = store.current(session.config.store), store.head()
    if session.json:
        print_json({"current": found, "needed": wanted})
        return
    click.echo(f"The store has schema {found or 'none'}; this version needs {wanted}.")


@db.command()
@changes_something
@with_session
def upgrade(session: Session) -> None:
    """Create the store, or bring it to the newest schema."""
    from openqrm import store

    before, after = store.current(session.config.store), store.head()
    if before != after:
        after = store.upgrade(session.config.store, check=session.check)
    if session.json:
        print_json({"changed": before != after, "check": session.check, "before": before, "after": after})
    elif before == after:
        session.say(f"The store has schema {after} already.")
    else:
        done = "would be upgraded" if session.check else "was upgraded"
        session.say(f"The store {done} from schema {before or 'none'} to {after}.")


@db.command()
@FILE
@click.option("--replace", is_flag=True, help="Replace the file if there is one.")
@changes_something
@with_session
def backup(session: Session, file: Path, replace: bool) -> None:
    """Write the whole store into FILE, while others work on it. Either kind of database can be restored from it."""
    from openqrm.store.backup import backup as write

    made = write(session.config.store, file, replace=replace, check=session.check, on_table=_progress(session))
    words = "Check mode: nothing was written; it would back up" if session.check else "Backed up"
    _report(session, made, file, f"{words} {sum(made.rows.values())} rows into {file}.")


@db.command()
@FILE
@click.option("--replace", is_flag=True, help="Lose what the store holds, if it is not empty.")
@yes_option
@changes_something
@with_session
def restore(session: Session, file: Path, replace: bool, yes: bool) -> None:
    """Fill the store from a backup, and bring it to the newest schema. All of it or nothing is done."""
    from openqrm.planning.owner import lives
    from openqrm.store.backup import restore as read

    if replace:
        session.confirm("Lose what the store holds now?", yes=yes)
    done = read(
        session.config.store,
        file,
        actor=actor(),
        lives=lives,
        replace=replace,
        check=session.check,
        on_table=_progress(session),
    )
    rows = sum(done.rows.values())
    words = "Check mode: nothing was changed; it would restore" if session.check else "Restored"
    _report(session, done, file, f"{words} {rows} rows of {done.created} (schema {done.schema}).")


@db.command()
@click.option(
    "--older-than",
    "days",
    type=click.IntRange(1, 36_500),
    required=True,
    metavar="DAYS",
    help="What is older than this.",
)
@yes_option
@changes_something
@with_session
def prune(session: Session, days: int, yes: bool) -> None:
    """Remove old events, audit rows, and orders and plans that ended. Failed plans and those of what runs stay."""
    from datetime import UTC, datetime, timedelta

    from openqrm.store.pruning import prune as remove

    before = datetime.now(UTC) - timedelta(days=days)
    session.confirm(f"Remove the history of before {before:%F}?", yes=yes)
    counts = remove(session.config.store, before, actor=actor(), check=session.check)
    if session.json:
        print_json({"changed": any(counts.values()), "check": session.check, "before": before, "rows": counts})
    elif not any(counts.values()):
        session.say(f"Nothing to do: there is no history of before {before:%F}.")
    else:
        shown = ", ".join(f"{number} {table}" for table, number in counts.items())
        session.say(f"{'Would remove' if session.check else 'Removed'} {shown}.")


def _progress(session: Session) -> Callable[[str, int], None]:
    def tell(table: str, rows: int) -> None:
        if session.show_progress and rows:
            click.echo(f"{table}: {rows}", err=True)

    return tell


def _report(session: Session, summary: Summary, file: Path, text: str) -> None:
    if session.json:
        print_json({"file": str(file), "check": session.check, **vars(summary)})
    else:
        session.say(text)
