"""`openqrm token`: who may use the operator API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from openqrm.cli.framework import Group, changes_something
from openqrm.cli.output import print_json, print_table
from openqrm.cli.parameters import Name, listed, yes_option
from openqrm.cli.session import Session, actor, with_session
from openqrm.errors import NotFoundError


@click.group(cls=Group)
def token() -> None:
    """Tokens of operators for the API: a viewer reads, an operator also runs appliances, an admin does everything."""


@token.command()
@click.argument("name", type=Name("token", existing=False))
@click.option("--role", required=True, type=click.Choice(["viewer", "operator", "admin"]), help="What it allows.")
@click.option(
    "--expires-in",
    "days",
    type=click.IntRange(1, 36_500),
    metavar="DAYS",
    help="After so many days it is worth nothing. Default: it does not expire.",
)
@changes_something
@with_session
def create(session: Session, name: str, role: str, days: int | None) -> None:
    """Make a token. It is printed this once: the store keeps its digest alone."""
    from openqrm import operators

    made = operators.create(session.center.store, name, role, actor(), expires_in_days=days, check=session.check)
    if session.json:
        print_json(
            {
                "changed": True,
                "check": session.check,
                "name": name,
                "role": role,
                "expires_in_days": days,
                "token": made,
            }
        )
    elif session.check:
        session.say(f"Check mode: nothing was changed; it would make token {name} with role {role}.")
    else:
        click.echo(made)


@token.command("list")
@with_session
def list_(session: Session) -> None:
    """List tokens: whose they are, what they allow, and until when."""
    from openqrm.operators import view

    with session.read() as reader:
        found = [view(item) for item in reader.api_tokens()]
    if session.json:
        print_json(found)
        return
    rows = [(item["name"], item["role"], item["created"], _end(item)) for item in found]
    print_table(("NAME", "ROLE", "AGE", "EXPIRES"), rows, "No tokens. Make one with `openqrm token create`.")


def _end(token: Mapping[str, Any]) -> str:
    if token["expires"] is None:
        return "never"
    return "expired" if token["expired"] else f"{token['expires']:%F %H:%M} UTC"


@token.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True, type=Name("token"))
@yes_option
@changes_something
@with_session
def revoke(session: Session, names: tuple[str, ...], yes: bool) -> None:
    """Revoke tokens: from now on they are worth nothing."""
    from openqrm import operators

    names = tuple(dict.fromkeys(names))
    with session.read() as reader:
        known = {item.name for item in reader.api_tokens()}
    for name in names:
        if name not in known:
            raise NotFoundError("Token", name, known)
    session.confirm(f"Revoke {listed(names)}?", yes=yes)
    for name in names if not session.check else ():
        operators.revoke(session.center.store, name, actor())
    if session.json:
        print_json({"changed": True, "check": session.check, "names": list(names)})
    else:
        would = f"Check mode: nothing was changed; it would revoke token {listed(names)}."
        session.say(would if session.check else f"Revoked {listed(names)}.")
