"""`openqrm pki`: the certificate authority of the data centre."""

from __future__ import annotations

from pathlib import Path

import click

from openqrm.cli.framework import Group, changes_something
from openqrm.cli.output import print_json, print_lines
from openqrm.cli.session import Session, with_session


@click.group(cls=Group)
def pki() -> None:
    """The data centre's own certificate authority, the only one that nodes trust."""


@pki.command()
@changes_something
@with_session
def init(session: Session) -> None:
    """Make the authority if there is none, and say where its certificate is."""
    from openqrm.pki import ensure_ca

    directory = Path(session.config.state_dir) / "pki"
    changed = not (directory / "ca.pem").exists()
    path = directory / "ca.pem" if session.check else ensure_ca(directory)
    if session.json:
        print_json({"changed": changed, "check": session.check, "ca": str(path)})
    elif not session.quiet:
        click.echo(path)


@pki.command("known-hosts")
@with_session
def known_hosts(session: Session) -> None:
    """Print the SSH host keys of what runs, as known_hosts has them."""
    from openqrm import knownhosts

    with session.read() as reader:
        lines = knownhosts.known_hosts(reader)
    if session.json:
        print_json(lines)
    else:
        print_lines(lines)
