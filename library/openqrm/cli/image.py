"""`openqrm image`: root file systems."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import click

from openqrm.cli.framework import Group, changes_something
from openqrm.cli.output import print_details, print_json, print_table, size
from openqrm.cli.parameters import Name, TypeName, given, list_option, listed, names_argument, pairs_option, yes_option
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
    help="Fill it from this tar archive (.tar, .tar.gz, .tar.zst ...).",
)
@click.option(
    "--oci",
    metavar="PATH[:TAG]",
    help="Fill it from an image of an OCI image layout, a directory or a tar file of one.",
)
@click.option("--shared", is_flag=True, default=None, help="Several members may run from it at once.")
@pairs_option("--parameter", "parameters", help="Free parameter.")
@changes_something
@with_session
def create(
    session: Session, name: str, recipe: Path | None, archive: Path | None, oci: str | None, **fields: Any
) -> None:
    """Create an image: empty, built from a recipe, or filled from an archive or an OCI image."""
    source = {
        "archive": str(archive) if archive else None,
        "recipe": read_recipe(recipe) if recipe else None,
        "oci": str(Path(oci).absolute()) if oci else None,
    }
    entry = {"name": name, **given(fields | source)}
    session.carry_out("image_create", {"images": [entry]}, f"created image {name}")


@image.command()
@click.argument("name", type=Name("image"))
@click.argument("archive", type=click.Path(exists=True, dir_okay=False, resolve_path=True, path_type=Path))
@changes_something
@with_session
def publish(session: Session, name: str, archive: Path) -> None:
    """Have nodes fill the image's root in memory from ARCHIVE (.tar.zst, .squashfs) put into the boot tree."""
    with archive.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    arguments = {"image": name, "archive": str(archive), "sha256": digest}
    session.carry_out("image_publish", arguments, f"published {archive.name} for image {name}")


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


@image.command()
@click.argument("name", type=Name("image", existing=False))
@click.option(
    "--from", "source", required=True, metavar="[USER@]HOST", help="The running system, as the server sees it."
)
@click.option("--storage", required=True, type=Name("storage"), help="Storage server that copies it, for its volume.")
@click.option(
    "--deployment",
    required=True,
    type=TypeName("deployment"),
    metavar="TYPE",
    help="How nodes get it as their root, as `nfs`.",
)
@click.option("--port", type=int, help="Port of its ssh server. Default: 22.")
@click.option("--identity", metavar="PATH", help="Private key on the storage server. Default: what ssh finds there.")
@list_option(
    "--host-key",
    "host_keys",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with its public host key. Default: what the storage server knows.",
)
@list_option("--mount", "mounts", metavar="PATH", help="A further file system of it to copy.")
@list_option("--exclude", "excludes", metavar="PATTERN", help="What to leave out, as /var/cache/*.")
@click.option("--volume", metavar="VOLUME", help="Name of the volume. Default: the image's.")
@click.option("--size-mib", type=int, help="Size of the volume; without it, what the back end gives.")
@click.option("--shared", is_flag=True, default=None, help="Several members may run from it at once.")
@pairs_option("--parameter", "parameters", help="Free parameter.")
@changes_something
@with_session
def grab(session: Session, name: str, source: str, host_keys: list[Path] | None, **fields: Any) -> None:
    """Create an image as a copy of a running Linux system, which the storage server makes over ssh."""
    user, _, host = source.rpartition("@")
    keys = [path.read_text(encoding="utf-8", errors="replace") for path in host_keys] if host_keys else None
    entry = {"name": name, "host": host, **given({**fields, "user": user or None, "host_keys": keys})}
    session.carry_out("image_grab", {"images": [entry]}, f"copied {host} to image {name}")


@image.command("list")
@with_session
def list_(session: Session) -> None:
    """List images."""
    with session.read() as reader:
        found = reader.images()
        users = {item.image: f"{item.appliance}[{item.member}]" for item in reader.assignments()}
        sizes = {(volume.storage, volume.name): volume.size_mib for volume in reader.volumes()}
    if session.json:
        from openqrm.desired import view

        print_json(
            [
                {
                    **view(item),
                    "size_mib": sizes.get((item.storage, item.volume), 0),
                    "used_by": users.get(item.name, ""),
                }
                for item in found
            ]
        )
        return
    rows = [
        (
            item.name,
            item.kind,
            item.storage,
            item.volume,
            size(sizes.get((item.storage, item.volume), 0)),
            item.deployment,
            item.shared,
            item.parent,
            users.get(item.name, ""),
        )
        for item in found
    ]
    print_table(
        ("NAME", "KIND", "STORAGE", "VOLUME", "SIZE", "DEPLOYMENT", "SHARED", "PARENT", "USED BY"),
        rows,
        "No images. Make one with `openqrm image create`.",
    )


@image.command()
@click.argument("name", type=Name("image"))
@with_session
def show(session: Session, name: str) -> None:
    """Show an image, its versions, the appliances that are made of it, and its clones."""
    from openqrm.planning.images import number_of, versions_of

    with session.read() as reader:
        item = reader.image(name)
        users = [appliance.name for appliance in reader.appliances() if appliance.image == name]
        clones = [other.name for other in reader.images() if other.parent == name]
        own, versions = reader.volume(item.storage, item.volume), versions_of(reader, item)
    if session.json:
        from openqrm.desired import view

        numbers = [number_of(version) for version in versions]
        more = {"size_mib": own.size_mib, "versions": numbers, "appliances": users, "clones": clones}
        print_json({**view(item), **more})
        return
    print_details(
        [
            ("Name", item.name),
            ("Kind", item.kind),
            ("Storage", item.storage),
            ("Volume", item.volume),
            ("Deployment", item.deployment),
            ("Shared", item.shared),
            ("Size", size(own.size_mib)),
            ("Parent", item.parent),
            ("Versions", [str(number_of(version)) for version in versions]),
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
@click.argument("source", type=Name("image"))
@click.argument("name", metavar="NEW", type=Name("image", existing=False))
@click.option("--shared/--no-shared", default=None, help="Whether several members may run from it. Default: as SOURCE.")
@pairs_option("--parameter", "parameters", help="Free parameter, beside those of SOURCE.")
@changes_something
@with_session
def clone(session: Session, source: str, name: str, **fields: Any) -> None:
    """Clone an image on its storage server, as a golden image of its own."""
    entry = {"name": name, "source": source, **given(fields)}
    session.carry_out("image_clone", {"images": [entry]}, f"cloned image {source} to {name}")


@image.command()
@names_argument("image")
@changes_something
@with_session
def snapshot(session: Session, names: tuple[str, ...]) -> None:
    """Make a version of images, to go back to: what they are now."""
    session.require("image", names)
    session.carry_out("image_snapshot", {"images": list(names)}, f"made a version of image {listed(names)}")


@image.command()
@click.argument("name", type=Name("image"))
@with_session
def versions(session: Session, name: str) -> None:
    """List the versions of an image, the oldest first."""
    from openqrm.planning.images import number_of, versions_of

    with session.read() as reader:
        found = versions_of(reader, reader.image(name))
    rows = [
        {"version": number_of(v), "volume": v.name, "size_mib": v.size_mib, "made": str(v.parameters.get("made", ""))}
        for v in found
    ]
    if session.json:
        print_json(rows)
        return
    cells = [(row["version"], row["volume"], size(v.size_mib), row["made"]) for row, v in zip(rows, found, strict=True)]
    print_table(
        ("VERSION", "VOLUME", "SIZE", "MADE"), cells, f"No versions. Make one with `openqrm image snapshot {name}`."
    )


@image.command()
@click.argument("name", type=Name("image"))
@click.argument("version", type=int)
@yes_option
@changes_something
@with_session
def rollback(session: Session, name: str, version: int, yes: bool) -> None:
    """Take an image back to a version; what it is now becomes a version itself."""
    session.confirm(f"Take image {name} back to version {version}?", yes=yes)
    text = f"took image {name} back to version {version}"
    session.carry_out("image_rollback", {"image": name, "version": version}, text)


@image.command()
@click.argument("name", type=Name("image"))
@click.option("--size-mib", type=int, required=True, help="Its new size; images only grow.")
@changes_something
@with_session
def resize(session: Session, name: str, size_mib: int) -> None:
    """Let the volume of an image grow, and the file system in it."""
    entry = {"name": name, "size_mib": size_mib}
    session.carry_out("image_resize", {"images": [entry]}, f"resized image {name} to {size_mib} MiB")


@image.command()
@click.argument("name", type=Name("image"))
@click.argument("to", metavar="NEW", type=Name("image", existing=False))
@changes_something
@with_session
def rename(session: Session, name: str, to: str) -> None:
    """Give an image another name; its volumes keep theirs."""
    session.carry_out("image_rename", {"image": name, "to": to}, f"renamed image {name} to {to}")


@image.command()
@names_argument("image")
@click.option(
    "--destroy-data", is_flag=True, help="Remove their volumes with all data too, and those of their versions."
)
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
