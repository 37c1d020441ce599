"""`openqrm shelf`: catalogues of root file systems."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from openqrm.cli.framework import Group, changes_something
from openqrm.cli.output import print_json, print_table, size
from openqrm.cli.parameters import Name, TypeName, given, listed, names_argument, pairs_option, yes_option
from openqrm.cli.session import Session, with_session
from openqrm.errors import InvalidValueError

FILE = click.Path(exists=True, dir_okay=False, resolve_path=True, path_type=Path)


@click.group(cls=Group)
def shelf() -> None:
    """Catalogues of root file systems, in a directory or on a web server, to make images from."""


@shelf.command()
@click.argument("name", type=Name("shelf", existing=False))
@click.argument("url")
@click.option("--key", "keys", type=FILE, multiple=True, help="Public SSH key of its publisher. May be repeated.")
@click.option("--unsigned", is_flag=True, help="Take what it offers without a signature.")
@changes_something
@with_session
def add(session: Session, name: str, url: str, keys: tuple[Path, ...], unsigned: bool) -> None:
    """Add a shelf, or change it. URL is http(s)://..., or the absolute path of a directory."""
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in keys]
    entry = {"name": name, "url": url, "keys": texts, "unsigned": unsigned}
    session.carry_out("shelf_add", {"shelves": [entry]}, f"added shelf {name}")


@shelf.command()
@names_argument("shelf")
@yes_option
@changes_something
@with_session
def remove(session: Session, names: tuple[str, ...], yes: bool) -> None:
    """Remove shelves; images that were made from them stay."""
    from openqrm.planning.shelves import shelf_of

    with session.read() as reader:
        for name in names:
            shelf_of(reader, name)
    session.confirm(f"Remove shelf {listed(names)}?", yes=yes)
    session.carry_out("shelf_remove", {"shelves": list(names)}, f"removed shelf {listed(names)}")


@shelf.command("list")
@with_session
def list_(session: Session) -> None:
    """List shelves."""
    from openqrm.planning.shelves import known_shelves

    with session.read() as reader:
        found = list(known_shelves(reader).values())
    if session.json:
        print_json([{**vars(item), "keys": list(item.keys)} for item in found])
        return
    rows = [(item.name, item.url, "unsigned" if item.unsigned else len(item.keys)) for item in found]
    print_table(("NAME", "URL", "KEYS"), rows, "No shelves. Add one with `openqrm shelf add`.")


@shelf.command()
@click.argument("names", metavar="[NAME]...", nargs=-1, type=Name("shelf"))
@with_session
def templates(session: Session, names: tuple[str, ...]) -> None:
    """List what shelves offer, all of them or those that are named."""
    from openqrm.planning.shelves import known_shelves, shelf_of
    from openqrm.shelf.reading import read_index

    with session.read() as reader:
        shelves = [shelf_of(reader, name) for name in names] or list(known_shelves(reader).values())
    found = [(item.name, template) for item in shelves for template in read_index(item)]
    if session.json:
        print_json([{"shelf": name, **vars(template)} for name, template in found])
        return
    rows = [
        (
            f"{name}/{item.name}",
            item.version,
            item.distribution,
            item.architecture,
            size(item.size >> 20),
            item.description,
        )
        for name, item in found
    ]
    print_table(("TEMPLATE", "VERSION", "DISTRIBUTION", "ARCH", "SIZE", "DESCRIPTION"), rows, "No templates.")


@shelf.command()
@click.argument("template", metavar="SHELF/TEMPLATE[:VERSION]")
@click.argument("name", type=Name("image", existing=False))
@click.option("--storage", required=True, type=Name("storage"), help="Storage server for its volume.")
@click.option(
    "--deployment",
    required=True,
    type=TypeName("deployment"),
    metavar="TYPE",
    help="How nodes get it as their root, as `nfs`.",
)
@click.option("--architecture", metavar="ARCH", help="As x86_64. Default: this machine's.")
@click.option("--with-kernel", is_flag=True, help="Add the kernel that is in it too, under the name of the image.")
@click.option("--kernel-version", metavar="VERSION", help="Which kernel, where there are several in it.")
@click.option("--volume", metavar="VOLUME", help="Name of the volume. Default: the image's.")
@click.option("--size-mib", type=int, help="Size of the volume; without it, what the back end gives.")
@click.option("--shared", is_flag=True, default=None, help="Several members may run from it at once.")
@pairs_option("--parameter", "parameters", help="Free parameter.")
@changes_something
@with_session
def get(session: Session, template: str, name: str, with_kernel: bool, **fields: Any) -> None:
    """Create an image from a template: fetched, its signature and digest checked, unpacked into a volume."""
    entry = {"name": name, "template": template, **given(fields | {"kernel": name if with_kernel else None})}
    session.refuse_early("shelf_fetch", {"images": [entry]})
    session.change("shelf_get", {"images": [entry]}, f"created image {name}{' and its kernel' if with_kernel else ''}")


@shelf.command()
@click.argument("directory", type=click.Path(exists=True, file_okay=False, resolve_path=True, path_type=Path))
@click.option("--key", type=FILE, help="SSH key that signs: the private one, or the public one of a key in ssh-agent.")
@click.option("--unsigned", is_flag=True, help="Publish it without a signature.")
@changes_something
@with_session
def publish(session: Session, directory: Path, key: Path | None, unsigned: bool) -> None:
    """Make a directory a shelf: write index.json for what its templates.yml describes, and sign it."""
    from openqrm.shelf.publishing import described
    from openqrm.shelf.publishing import publish as publish_shelf

    if unsigned == bool(key):
        raise InvalidValueError("Either --key or --unsigned is needed.", remedy="Give one of them.")
    found = described(directory)
    if not session.check:
        publish_shelf(directory, found, key)
    if session.json:
        rows = [vars(template) for template in found]
        print_json({"changed": True, "check": session.check, "templates": rows})
        return
    session.say(f"{'Would publish' if session.check else 'Published'} {len(found)} templates in {directory}.")
