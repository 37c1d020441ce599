"""`openqrm db`: the schema of the store."""

from __future__ import annotations

import click

from openqrm.cli.framework import Group, changes_something
from openqrm.cli.output import print_json
from openqrm.cli.session import Session, with_session


@click.group(cls=Group)
def db() -> None:
    """The store: which schema it has, and bringing it to the newest."""


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
    if before != after and not session.check:
        after = store.upgrade(session.config.store)
    if session.json:
        print_json({"changed": before != after, "check": session.check, "before": before, "after": after})
    elif before == after:
        session.say(f"The store has schema {after} already.")
    else:
        done = "would be upgraded" if session.check else "was upgraded"
        session.say(f"The store {done} from schema {before or 'none'} to {after}.")
