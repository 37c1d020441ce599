"""`openqrm kernel`: kernels with their initramfs and modules."""

from __future__ import annotations

from pathlib import Path

import click

from openqrm.cli.framework import Group, changes_something
from openqrm.cli.output import print_details, print_json, print_table
from openqrm.cli.parameters import Name, given, listed, names_argument, yes_option
from openqrm.cli.session import Session, with_session
from openqrm.errors import InvalidValueError

DEFAULT = "default_kernel"


@click.group(cls=Group)
def kernel() -> None:
    """Kernels with their initramfs and modules.

    The default kernel is what machines without an appliance boot.
    """


@kernel.command()
@click.argument("name", type=Name("kernel", existing=False))
@click.option("--package", metavar="PACKAGE", help="Take it from this Debian package, as linux-image-cloud-amd64.")
@click.option(
    "--directory",
    type=click.Path(exists=True, file_okay=False, resolve_path=True, path_type=Path),
    help="Take it from a directory with boot/vmlinuz-VERSION and lib/modules/VERSION.",
)
@click.option(
    "--archive",
    type=click.Path(exists=True, dir_okay=False, resolve_path=True, path_type=Path),
    help="Take it from a tar archive, of a root file system for example.",
)
@click.option("--image", type=Name("image"), help="Take it from this image, on its storage server.")
@click.option("--version", metavar="VERSION", help="Which one, where there are several.")
@click.option("--args", "kernel_args", metavar="ARGS", help="Further arguments of its command line, as one word.")
@click.option("--default", is_flag=True, help="Make it the default kernel.")
@changes_something
@with_session
def add(
    session: Session,
    name: str,
    package: str | None,
    directory: Path | None,
    archive: Path | None,
    image: str | None,
    version: str | None,
    kernel_args: str | None,
    default: bool,
) -> None:
    """Add a kernel: of the running system, a Debian package, a directory, an archive, or an image."""
    sources = {"package": package, "directory": directory, "archive": archive, "image": image}
    chosen = [key for key, value in sources.items() if value]
    if len(chosen) > 1:
        raise InvalidValueError(
            f"{' and '.join(f'--{key}' for key in chosen)} are both given.", remedy="Give one of them, or neither."
        )
    source = chosen[0] if chosen else "running"
    if image:
        session.require("image", [image])
    entry = given(
        {
            "name": name,
            "source": source,
            "package": package,
            "version": version,
            "directory": str(directory) if directory else None,
            "archive": str(archive) if archive else None,
            "image": image,
            "kernel_args": kernel_args,
            "default": True if default else None,
        }
    )
    session.change("kernel_add", {"kernels": [entry]}, f"added kernel {name}")


@kernel.command("list")
@with_session
def list_(session: Session) -> None:
    """List kernels."""
    with session.read() as reader:
        found, default = reader.kernels(), reader.setting(DEFAULT)
    if session.json:
        from openqrm.desired import view

        print_json([{**view(item), "default": item.name == default} for item in found])
        return
    rows = [
        (item.name, item.version, item.arch, "yes" if item.name == default else "", item.vmlinuz[:12]) for item in found
    ]
    print_table(
        ("NAME", "VERSION", "ARCH", "DEFAULT", "VMLINUZ"), rows, "No kernels. Add one with `openqrm kernel add`."
    )


@kernel.command()
@click.argument("name", type=Name("kernel"))
@with_session
def show(session: Session, name: str) -> None:
    """Show a kernel and the appliances that use it."""
    with session.read() as reader:
        item = reader.kernel(name)
        default = reader.setting(DEFAULT) == name
        users = [appliance.name for appliance in reader.appliances() if appliance.kernel == name]
    if session.json:
        from openqrm.desired import view

        print_json({**view(item), "default": default, "appliances": users})
        return
    print_details(
        [
            ("Name", item.name),
            ("Version", item.version),
            ("Architecture", item.arch),
            ("Default", default),
            ("vmlinuz", item.vmlinuz),
            ("initramfs", item.initramfs),
            ("modules", item.modules),
            ("Bytes", item.sizes),
            ("Appliances", users),
            ("Parameters", item.parameters),
        ]
    )


@kernel.command()
@names_argument("kernel")
@yes_option
@changes_something
@with_session
def remove(session: Session, names: tuple[str, ...], yes: bool) -> None:
    """Remove kernels. The default one, and one in use, is not removed."""
    session.require("kernel", names)
    session.confirm(f"Remove kernel {listed(names)}?", yes=yes)
    session.change("kernel_remove", {"kernels": list(names)}, f"removed kernel {listed(names)}")


@kernel.command("set-default")
@click.argument("name", type=Name("kernel"))
@changes_something
@with_session
def set_default(session: Session, name: str) -> None:
    """Make a kernel the one that machines without an appliance boot."""
    session.require("kernel", [name])
    session.change("kernel_set_default", {"kernel": name}, f"made {name} the default kernel")
