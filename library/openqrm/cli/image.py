"""`openqrm image`: root file systems."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from openqrm.cli.framework import Group, changes_something
from openqrm.cli.output import print_details, print_json, print_table
from openqrm.cli.parameters import Name, TypeName, given, listed, names_argument, pairs_option, yes_option
from openqrm.cli.session import Session, with_session
from openqrm.errors import InvalidValueError


@click.group(cls=Group)
def image() -> None:
    """Root file systems: a volume and how it is deployed. Golden images are cloned for each start."""


@image.command()
@click.argument("name", type=Name("image", existing=False))
@click.option("--storage", required=True, type=Name("storage"), help="Storage server for its volume.")
@click.option(
    "--deployment",
    required=True,
    type=TypeName("deployment"),
    metavar="TYPE",
    help="How nodes get it as their root, as `nfs`.",
)
@click.option("--volume", metavar="VOLUME", help="Name of the volume. Default: the image's.")
@click.option("--size-mib", type=int, help="Size of the volume; without it, what the back end gives.")
@click.option(
    "--recipe",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Build it from this YAML file: suite, variant, packages, files.",
)
@click.option(
    "--archive",
    type=click.Path(exists=True, dir_okay=False, resolve_path=True, path_type=Path),
    help="Fill it from this tar archive (.tar, .tar.zst).",
)
@click.option("--shared", is_flag=True, default=None, help="Several members may run from it at once.")
@pairs_option("--parameter", "parameters", help="Free parameter.")
@changes_something
@with_session
def create(session: Session, name: str, recipe: Path | None, archive: Path | None, **fields: Any) -> None:
    """Create an image: empty, built from a recipe, or filled from an archive."""
    entry = {
        "name": name,
        **given(
            {**fields, "archive": str(archive) if archive else None, "recipe": read_recipe(recipe) if recipe else None}
        ),
    }
    session.carry_out("image_create", {"images": [entry]}, f"created image {name}")


def read_recipe(path: Path) -> dict[str, Any]:
    """The recipe in a YAML file. Raises: InvalidValueError."""
    import yaml

    try:
        recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        found = " ".join(str(error).split())
        raise InvalidValueError(f"{path} is not YAML: {found}.", remedy="See `openqrm image create --help`.") from error
    if not isinstance(recipe, dict):
        raise InvalidValueError(f"{path} is not a recipe.", remedy="Give suite, variant, packages, files as a mapping.")
    return recipe


@image.command("list")
@with_session
def list_(session: Session) -> None:
    """List images."""
    with session.read() as reader:
        found = reader.images()
        users = {item.image: f"{item.appliance}[{item.member}]" for item in reader.assignments()}
    if session.json:
        from openqrm.desired import view

        print_json([{**view(item), "used_by": users.get(item.name, "")} for item in found])
        return
    rows = [
        (
            item.name,
            item.kind,
            item.storage,
            item.volume,
            item.deployment,
            item.shared,
            item.parent,
            users.get(item.name, ""),
        )
        for item in found
    ]
    print_table(
        ("NAME", "KIND", "STORAGE", "VOLUME", "DEPLOYMENT", "SHARED", "PARENT", "USED BY"),
        rows,
        "No images. Make one with `openqrm image create`.",
    )


@image.command()
@click.argument("name", type=Name("image"))
@with_session
def show(session: Session, name: str) -> None:
    """Show an image, the appliances that are made of it, and its clones."""
    with session.read() as reader:
        item = reader.image(name)
        users = [appliance.name for appliance in reader.appliances() if appliance.image == name]
        clones = [other.name for other in reader.images() if other.parent == name]
    if session.json:
        from openqrm.desired import view

        print_json({**view(item), "appliances": users, "clones": clones})
        return
    print_details(
        [
            ("Name", item.name),
            ("Kind", item.kind),
            ("Storage", item.storage),
            ("Volume", item.volume),
            ("Deployment", item.deployment),
            ("Shared", item.shared),
            ("Parent", item.parent),
            ("Appliances", users),
            ("Clones", clones),
            ("Parameters", item.parameters),
        ]
    )


@image.command("set")
@names_argument("image")
@click.option("--shared/--no-shared", default=None, help="Whether several members may run from it at once.")
@pairs_option("--parameter", "parameters", help="Free parameter; `KEY=` takes it away.")
@changes_something
@with_session
def set_(session: Session, names: tuple[str, ...], **fields: Any) -> None:
    """Change images."""
    session.require("image", names)
    session.run_entry("image", *({"name": name, **given(fields)} for name in names), playbook="image_set")


@image.command()
@names_argument("image")
@click.option("--destroy-data", is_flag=True, help="Remove their volumes with all data too.")
@yes_option
@changes_something
@with_session
def remove(session: Session, names: tuple[str, ...], destroy_data: bool, yes: bool) -> None:
    """Remove images. One in use is not removed; volumes only with --destroy-data."""
    session.require("image", names)
    what = " and all data in it" if destroy_data else ""
    session.confirm(f"Remove image {listed(names)}{what}?", yes=yes)
    session.change(
        "image_remove", {"images": list(names), "destroy_data": destroy_data}, f"removed image {listed(names)}"
    )
