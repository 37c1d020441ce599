"""`openqrm plugin`: roles with hooks."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from openqrm.cli.framework import Group, changes_something
from openqrm.cli.output import print_json, print_table
from openqrm.cli.parameters import TypeName, listed
from openqrm.cli.session import Session, with_session
from openqrm.paths import COLLECTION
from openqrm.types import FAMILIES

PLUGIN = TypeName("plugin")


@click.group(cls=Group)
def plugin() -> None:
    """Plug-ins: roles whose hooks run when something happens, as a DNS entry at the start of an appliance."""


@plugin.command("list")
@with_session
def list_(session: Session) -> None:
    """List plug-ins, and whether they are enabled."""
    with session.read() as reader:
        rows = reader.plugins()
    found = [
        {
            "name": info.name,
            "enabled": bool(rows.get(info.name, {}).get("enabled")),
            "role": info.role,
            "hooks": list(info.hooks),
            "description": info.description,
        }
        for info in session.center.types.family("plugin")
    ]
    if session.json:
        print_json(found)
        return
    print_table(
        ("NAME", "ENABLED", "HOOKS", "DESCRIPTION"),
        [(item["name"], item["enabled"], item["hooks"], item["description"]) for item in found],
        "No plug-ins.",
    )


@plugin.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True, type=PLUGIN)
@changes_something
@with_session
def enable(session: Session, names: tuple[str, ...]) -> None:
    """Enable plug-ins: their hooks run from the next change on."""
    _switch(session, names, enabled=True)


@plugin.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True, type=PLUGIN)
@changes_something
@with_session
def disable(session: Session, names: tuple[str, ...]) -> None:
    """Disable plug-ins: their hooks run no more."""
    _switch(session, names, enabled=False)


@plugin.command("services")
@with_session
def services_(session: Session) -> None:
    """List boot services, programs of plug-ins that deployed systems run, and where they do."""
    from openqrm.services import scopes_of, services_of

    known = services_of(session.center.types.family("plugin"))
    with session.read() as reader:
        rows, scopes = reader.plugins(), scopes_of(reader)
    found = [
        {
            "name": name,
            "enabled": bool(rows.get(service.plugin, {}).get("enabled")),
            "scopes": list(scopes.get(name, ())),
        }
        for name, service in sorted(known.items())
    ]
    if session.json:
        print_json(found)
        return
    lines = [(item["name"], item["enabled"], item["scopes"]) for item in found]
    print_table(("NAME", "ENABLED", "RUNS IN"), lines, "No boot services.")


@plugin.command()
@click.argument("service", metavar="PLUGIN/SERVICE")
@click.argument("scopes", metavar="SCOPE...", nargs=-1, required=True)
@changes_something
@with_session
def attach(session: Session, service: str, scopes: tuple[str, ...]) -> None:
    """Run a boot service where SCOPE says, from the next start of each system on.

    SCOPE is resources, appliances or images for all of them, or one as resource:NAME, appliance:NAME, image:NAME.
    """
    variables = {"services": [service], "scopes": list(scopes)}
    session.change("boot_service_attach", variables, f"attached {service} to {listed(scopes)}")


@plugin.command()
@click.argument("service", metavar="PLUGIN/SERVICE")
@click.argument("scopes", metavar="SCOPE...", nargs=-1, required=True)
@changes_something
@with_session
def detach(session: Session, service: str, scopes: tuple[str, ...]) -> None:
    """Do not run a boot service where SCOPE says, from the next start of each system on."""
    variables = {"services": [service], "scopes": list(scopes)}
    session.change("boot_service_detach", variables, f"detached {service} from {listed(scopes)}")


def _switch(session: Session, names: tuple[str, ...], *, enabled: bool) -> None:
    for name in names:
        session.center.types.get("plugin", name)
    verb = "enable" if enabled else "disable"
    session.change(f"plugin_{verb}", {"plugins": list(names)}, f"{verb}d {listed(names)}")


@plugin.command()
@click.argument("name")
@click.option("--family", type=click.Choice(FAMILIES), default="plugin", show_default=True, help="Family of the type.")
@click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("roles"),
    show_default=True,
    help="The directory `roles` of the collection; the role is named FAMILY_NAME.",
)
@click.option("--collection", default=COLLECTION, show_default=True, help="The collection that the role belongs to.")
@changes_something
@with_session
def create(session: Session, name: str, family: str, directory: Path, collection: str) -> None:
    """Write the skeleton of a type: a role that passes the contract test as it is."""
    from openqrm.skeleton import write_skeleton

    if session.check:
        with tempfile.TemporaryDirectory() as scratch:
            paths = [path.relative_to(scratch) for path in write_skeleton(name, family, Path(scratch), collection)]
        paths = [directory / path for path in paths]
    else:
        paths = write_skeleton(name, family, directory, collection)
    if session.json:
        print_json({"changed": True, "check": session.check, "files": [str(path) for path in paths]})
        return
    for path in paths:
        session.say(f"{'Would write' if session.check else 'Wrote'} {path}")
