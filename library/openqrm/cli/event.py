"""`openqrm event`: what happened."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from openqrm.cli.framework import Group
from openqrm.cli.output import print_json, print_lines
from openqrm.cli.parameters import Name, list_option
from openqrm.cli.session import Session, with_session
from openqrm.errors import InvalidValueError, NotFoundError

if TYPE_CHECKING:
    from openqrm.model import Event

POLL_S = 0.5


@click.group(cls=Group)
def event() -> None:
    """What happened: to machines, appliances and plans."""


@event.command("list")
@list_option("--severity", "severities", type=click.Choice(["info", "warning", "error"]), help="Only of this severity.")
@click.option("--resource", type=Name("resource"), help="Only about this machine.")
@click.option("--appliance", type=Name("appliance"), help="Only about this appliance.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="The newest so many.")
@click.option("-f", "--follow", is_flag=True, help="Go on with new ones until Ctrl-C.")
@with_session
def list_(
    session: Session,
    severities: list[str] | None,
    resource: str | None,
    appliance: str | None,
    limit: int,
    follow: bool,
) -> None:
    """List events, the oldest first. With --json --follow: one JSON object per line."""
    if resource and appliance:
        raise InvalidValueError("--resource and --appliance are both given.", remedy="Give one of them.")
    kind = "resource" if resource else "appliance" if appliance else ""
    last = 0
    while True:
        with session.read() as reader:
            name = resource or appliance or ""
            found = reader.events(severities, kind, name, last, limit)
            if kind and not (last or found or reader.named(kind, [name])):
                raise NotFoundError(kind, name, reader.names(kind))
        _print(session, found, follow)
        last = found[-1].id if found else last
        if not follow:
            return
        time.sleep(POLL_S)


def _print(session: Session, events: Sequence[Event], follow: bool) -> None:
    if session.json and not follow:
        print_json(events)
    elif session.json:
        for item in events:
            click.echo(json.dumps({**vars(item), "time": item.time.isoformat(), "data": dict(item.data)}))
    else:
        print_lines(f"{item.time:%F %T} {item.severity:7} {item.kind} {item.name}: {item.message}" for item in events)
        if not events and not follow:
            session.say("No events.")
