"""`openqrm storage`: storage servers."""

from __future__ import annotations

from typing import Any

import click

from openqrm.cli.framework import Group, changes_something
from openqrm.cli.output import print_details, print_json, print_table, size
from openqrm.cli.parameters import Name, TypeName, given, listed, names_argument, pairs_option, yes_option
from openqrm.cli.session import Session, with_session


@click.group(cls=Group)
def storage() -> None:
    """Storage servers: where volumes live, on which host, under which type of back end."""


@storage.command()
@click.argument("name", type=Name("storage", existing=False))
@click.option(
    "--type", "type_", required=True, type=TypeName("storage"), metavar="TYPE", help="Back end, as `directory`."
)
@click.option("--host", required=True, help="Inventory host of the server.")
@click.option("--location", required=True, metavar="PATH", help="Where on the host its volumes live.")
@click.option("--address", required=True, metavar="IP", help="Address at which nodes reach it.")
@pairs_option("--parameter", "parameters", help="Free parameter; `KEY=` takes it away.")
@changes_something
@with_session
def add(session: Session, name: str, type_: str, **fields: Any) -> None:
    """Add a storage server, or change one."""
    session.run_entry("storage", {"name": name, "type": type_, **given(fields)})


@storage.command("list")
@with_session
def list_(session: Session) -> None:
    """List storage servers."""
    with session.read() as reader:
        found, volumes = reader.storages(), reader.count("volume")
    if session.json:
        from openqrm.desired import view

        print_json([{**view(item), "volumes": volumes.get(item.name, 0)} for item in found])
        return
    rows = [(item.name, item.type, item.host, item.location, item.address, volumes.get(item.name, 0)) for item in found]
    print_table(
        ("NAME", "TYPE", "HOST", "LOCATION", "ADDRESS", "VOLUMES"),
        rows,
        "No storage servers. Add one with `openqrm storage add`.",
    )


@storage.command()
@click.argument("name", type=Name("storage"))
@with_session
def show(session: Session, name: str) -> None:
    """Show a storage server and its volumes."""
    with session.read() as reader:
        item, volumes = reader.storage(name), reader.volumes(name)
    if session.json:
        from openqrm.desired import view

        print_json({**view(item), "volumes": [volume.name for volume in volumes]})
        return
    print_details(
        [
            ("Name", item.name),
            ("Type", item.type),
            ("Host", item.host),
            ("Location", item.location),
            ("Address", item.address),
            ("Parameters", item.parameters),
            ("Volumes", [volume.name for volume in volumes]),
        ]
    )


@storage.command()
@names_argument("storage")
@yes_option
@changes_something
@with_session
def remove(session: Session, names: tuple[str, ...], yes: bool) -> None:
    """Forget storage servers. One that holds volumes is not removed; nothing on the server is touched."""
    session.require("storage", names)
    session.confirm(f"Remove storage {listed(names)}?", yes=yes)
    session.change("storage_remove", {"storages": list(names)}, f"removed storage {listed(names)}")


@storage.command("volumes")
@names_argument("storage")
@with_session
def volumes_(session: Session, names: tuple[str, ...]) -> None:
    """Ask storage servers which volumes they have, with the space that they use."""
    session.require("storage", names)
    found = session.results(session.run("storage_volumes", {"storages": list(names)}), "volumes")
    if session.json:
        print_json(found)
        return
    rows = [
        (
            item.get("storage"),
            item.get("name"),
            size(int(item.get("size_mib") or 0)),
            size(int(item.get("used_mib") or 0)),
            item.get("path"),
        )
        for item in found
    ]
    print_table(("STORAGE", "VOLUME", "SIZE", "USED", "PATH"), rows, "No volumes.")
