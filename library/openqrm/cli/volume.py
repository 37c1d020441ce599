"""`openqrm volume`: volumes on storage servers."""

from __future__ import annotations

import click

from openqrm.cli.framework import Group, changes_something
from openqrm.cli.output import print_json, print_table, size
from openqrm.cli.parameters import Name, given, listed, names_argument, yes_option
from openqrm.cli.session import Session, with_session
from openqrm.errors import InvalidValueError


@click.group(cls=Group)
def volume() -> None:
    """Volumes on storage servers, named STORAGE/VOLUME."""


@volume.command("list")
@click.option("--storage", type=Name("storage"), help="Only of this storage server.")
@with_session
def list_(session: Session, storage: str | None) -> None:
    """List the volumes that are known; `openqrm storage volumes` asks the server itself."""
    with session.read() as reader:
        if storage:
            reader.storage(storage)
        found = reader.volumes(storage)
        images = {f"{item.storage}/{item.volume}": item.name for item in reader.images()}
    if session.json:
        from openqrm.store.kinds import plain

        print_json([{**plain(item), "image": images.get(f"{item.storage}/{item.name}", "")} for item in found])
        return
    rows = [
        (f"{item.storage}/{item.name}", size(item.size_mib), item.parent, images.get(f"{item.storage}/{item.name}", ""))
        for item in found
    ]
    print_table(("VOLUME", "SIZE", "PARENT", "IMAGE"), rows, "No volumes.")


@volume.command()
@click.argument("name", metavar="STORAGE/VOLUME", type=Name("volume", existing=False))
@click.option("--size-mib", type=int, help="Size; file systems that share the space of their server need none.")
@click.option("--presents", type=click.Choice(["filesystem", "block"]), help="What it is, where the storage has both.")
@changes_something
@with_session
def create(session: Session, name: str, size_mib: int | None, presents: str | None) -> None:
    """Create an empty volume."""
    storage, volume_name = _parts(name)
    row = {"name": volume_name, "storage": storage, "size_mib": size_mib, "presents": presents}
    arguments = {"volumes": [given(row)]}
    session.carry_out("volume_create", arguments, f"created volume {name}")


def _parts(name: str) -> tuple[str, str]:
    """Storage and name of a volume. Raises: InvalidValueError."""
    storage, separator, volume_name = name.partition("/")
    if not separator:
        raise InvalidValueError(f"Volume {name} names no storage.", remedy="Give it as STORAGE/VOLUME.")
    return storage, volume_name


@volume.command()
@click.argument("source", metavar="STORAGE/VOLUME", type=Name("volume"))
@click.argument("name", metavar="NEW", type=Name("volume", existing=False))
@changes_something
@with_session
def clone(session: Session, source: str, name: str) -> None:
    """Clone a volume on its own storage server; NEW is a name without the server's."""
    storage, original = _parts(source)
    arguments = {"volumes": [{"name": name, "storage": storage, "source": original}]}
    session.carry_out("volume_create", arguments, f"cloned volume {source} to {storage}/{name}")


@volume.command()
@names_argument("volume")
@yes_option
@changes_something
@with_session
def remove(session: Session, names: tuple[str, ...], yes: bool) -> None:
    """Remove volumes with their data."""
    session.require("volume", names)
    session.confirm(f"Remove volume {listed(names)} and all data in it?", yes=yes)
    session.carry_out(
        "volume_remove", {"volumes": list(names), "destroy_data": True}, f"removed volume {listed(names)}"
    )
