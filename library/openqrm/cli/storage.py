"""`openqrm storage`: storage servers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from openqrm.cli.framework import Group, changes_something
from openqrm.cli.output import print_details, print_json, print_table, size
from openqrm.cli.parameters import Name, TypeName, given, listed, names_argument, pairs_option, yes_option
from openqrm.cli.session import Session, with_session

if TYPE_CHECKING:
    from openqrm.spaces import Space


@click.group(cls=Group)
def storage() -> None:
    """Storage servers: where volumes live, on which host, under which type of back end."""


@storage.command()
@click.argument("name", type=Name("storage", existing=False))
@click.option(
    "--type", "type_", required=True, type=TypeName("storage"), metavar="TYPE", help="Back end, as `directory`."
)
@click.option("--host", help="Inventory host of the server.")
@click.option("--location", required=True, metavar="PATH", help="Where on the host its volumes live.")
@click.option("--address", metavar="IP", help="Address at which nodes reach it.")
@click.option("--appliance", type=Name("appliance"), help="The appliance that is the server, in place of both.")
@click.option("--resource", type=Name("resource"), help="The resource that runs this appliance now.")
@pairs_option("--parameter", "parameters", help="Free parameter; `KEY=` takes it away.")
@changes_something
@with_session
def add(session: Session, name: str, type_: str, **fields: Any) -> None:
    """Add a storage server, or change one: a host of the inventory, or an appliance, whose address it follows."""
    session.run_entry("storage", {"name": name, "type": type_, **given(fields)})


@storage.command("list")
@with_session
def list_(session: Session) -> None:
    """List storage servers."""
    from openqrm.spaces import spaces

    with session.read() as reader:
        found, volumes = reader.storages(), reader.count("volume")
        seen = spaces(reader, found)
    if session.json:
        from openqrm.desired import view

        print_json(
            [{**view(s), "volumes": volumes.get(s.name, 0), "space": _space_view(seen.get(s.name))} for s in found]
        )
        return
    rows = [
        (s.name, s.type, s.host, s.location, s.address, volumes.get(s.name, 0), *_space_cells(seen.get(s.name)))
        for s in found
    ]
    print_table(
        ("NAME", "TYPE", "HOST", "LOCATION", "ADDRESS", "VOLUMES", "SIZE", "USED", "SPACE"),
        rows,
        "No storage servers. Add one with `openqrm storage add`.",
    )


@storage.command()
@click.argument("name", type=Name("storage"))
@with_session
def show(session: Session, name: str) -> None:
    """Show a storage server and its volumes."""
    from openqrm.spaces import spaces

    with session.read() as reader:
        item, volumes = reader.storage(name), reader.volumes(name)
        seen = spaces(reader, [item]).get(name)
    if session.json:
        from openqrm.desired import view

        print_json({**view(item), "volumes": [volume.name for volume in volumes], "space": _space_view(seen)})
        return
    print_details(
        [
            ("Name", item.name),
            ("Type", item.type),
            ("Host", item.host),
            ("Location", item.location),
            ("Address", item.address),
            ("Parameters", item.parameters),
            ("Space", _space_text(seen)),
            ("Volumes", [volume.name for volume in volumes]),
        ]
    )


@storage.command()
@names_argument("storage", required=False)
@with_session
def check(session: Session, names: tuple[str, ...]) -> None:
    """Ask storage servers how full they are. Who crosses a level, or cannot be asked, leaves an event, once."""
    session.require("storage", names)
    found = session.results(session.run("storage_check", {"storages": list(names)}), "storages")
    if session.json:
        print_json(found)
        return
    rows = [(item["name"], *_cells(item), item["what"] or item["message"]) for item in found]
    print_table(("NAME", "SIZE", "USED", "SPACE", "OF"), rows, "No storage servers.")


def _space_view(space: Space | None) -> dict[str, Any] | None:
    return None if space is None else {key: value for key, value in vars(space).items() if key != "id"}


def _space_text(space: Space | None) -> str:
    if space is None:
        return "not known: run `openqrm storage check`"
    if space.level == "unknown":
        return f"unknown at {space.checked}: {space.message}"
    return f"{space.level} at {space.checked}: {space.what}, {space.used_percent:.0f} % of {size(space.total_mib)}"


def _space_cells(space: Space | None) -> tuple[str, str, str]:
    return ("-", "-", "-") if space is None else _cells(vars(space))


def _cells(space: Mapping[str, Any]) -> tuple[str, str, str]:
    """Size, use and level of what was last seen of a storage."""
    if space["level"] == "unknown":
        return ("-", "-", "unknown")
    return (size(space["total_mib"]), f"{space['used_percent']:.0f} %", str(space["level"]))


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
