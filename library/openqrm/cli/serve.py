"""`openqrm serve`: the APIs."""

from __future__ import annotations

import click

from openqrm.cli.framework import Command
from openqrm.cli.session import Session, with_session


@click.command(cls=Command)
@with_session
def serve(session: Session) -> None:
    """Run the APIs for nodes and operators, in the foreground, until SIGTERM or Ctrl-C."""
    from openqrm.nodeapi.server import serve as run

    run(session.config)
