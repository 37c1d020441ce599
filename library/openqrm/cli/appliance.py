"""`openqrm appliance`: services."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from openqrm.cli.framework import Group, changes_something
from openqrm.cli.output import print_details, print_json, print_table, size, text
from openqrm.cli.parameters import Name, given, list_option, listed, names_argument, pairs_option, yes_option
from openqrm.cli.selection import Selector, appliance_selector
from openqrm.cli.session import Session, with_session
from openqrm.roots import ROOT_MODES

REQUIREMENTS = ("cores", "memory_mib", "nics", "disk_mib", "type", "arch", "tags", "anti_affinity", "resource")
# Parameters of an appliance with an option of their own.
ROOT_SETTINGS = ("overlay_size_mib", "private_directories", "private_excludes")
GROUPED = (*REQUIREMENTS, *ROOT_SETTINGS, "parameters")
OPTIONS = (
    click.option("--image", type=Name("image"), help="Its root file system."),
    click.option("--kernel", type=Name("kernel"), help="Its kernel. Default: the default kernel."),
    click.option("--members", type=int, help="How many machines run it."),
    click.option(
        "--clone/--no-clone", default=None, help="Run from a clone of the image (default), or from the image."
    ),
    click.option("--root-mode", type=click.Choice(ROOT_MODES), help="How members have their root."),
    click.option("--overlay-size-mib", type=int, help="Modes overlay, private: bound of changes in memory."),
    list_option("--private", "private_directories", metavar="DIR", help="Mode private: each member has its own."),
    list_option("--private-exclude", "private_excludes", metavar="PATH", help="Mode private: stays that of the image."),
    click.option("--cores", type=int, help="Needs at least so many CPU cores."),
    click.option("--memory-mib", type=int, help="Needs at least so much memory."),
    click.option("--nics", type=int, help="Needs at least so many NICs."),
    click.option("--disk-mib", type=int, help="Needs a disk of at least this size."),
    click.option("--resource-type", "type", metavar="TYPE", help="Needs this type of machine."),
    click.option("--arch", type=click.Choice(["x86_64", "aarch64"]), help="Needs this architecture."),
    list_option("--tag", "tags", metavar="TAG", help="Needs a machine with this tag."),
    click.option("--anti-affinity", metavar="KEY", help="Members on machines that differ in this tag, as `rack`."),
    click.option("--resource", type=Name("resource"), help="Needs this very machine."),
    pairs_option("--sla", help="Service level, as ha=true."),
    pairs_option("--parameter", "parameters", help="Free parameter; `KEY=` takes it away."),
)


def fields_of_appliance(function: Any) -> Any:
    """Adds the options for the fields of an appliance."""
    for option in reversed(OPTIONS):
        function = option(function)
    return function


def entry_of(name: str, fields: dict[str, Any]) -> dict[str, object]:
    """The entry for the playbook: what the appliance needs is one mapping in it."""
    requirements = given({key: fields[key] for key in REQUIREMENTS})
    settings = given({key: fields[key] for key in ROOT_SETTINGS})
    others = given({key: value for key, value in fields.items() if key not in GROUPED})
    parameters = settings | (fields["parameters"] or {})
    grouped = given({"requirements": requirements or None, "parameters": parameters or None})
    return {"name": name, **others, **grouped}


@click.group(cls=Group)
def appliance() -> None:
    """Services: a kernel, an image and what they need of a machine.

    Starting one chooses a fitting idle machine, clones the image, and lets the machine take it over.
    """


@appliance.command("list")
@appliance_selector(required=False)
@with_session
def list_(session: Session, selector: Selector) -> None:
    """List appliances."""
    with session.read() as reader:
        found = selector.appliances(reader)
        places = _places(reader.assignments())
    if session.json:
        from openqrm.desired import view

        print_json([{**view(item), "resources": places.get(item.name, [])} for item in found])
        return
    rows = [(item.name, item.state, item.image, item.kernel, item.members, places.get(item.name, [])) for item in found]
    print_table(
        ("NAME", "STATE", "IMAGE", "KERNEL", "MEMBERS", "RESOURCES"),
        rows,
        "No appliances. Make one with `openqrm appliance create`." if selector.is_empty else "No such appliances.",
    )


def _places(assignments: Sequence[Any]) -> dict[str, list[str]]:
    places: dict[str, list[str]] = {}
    for item in assignments:
        places.setdefault(item.appliance, []).append(item.resource)
    return places


@appliance.command()
@click.argument("name", type=Name("appliance"))
@with_session
def show(session: Session, name: str) -> None:
    """Show an appliance, where its members run, and its last events."""
    with session.read() as reader:
        item = reader.appliance(name)
        bound = reader.assignments(appliances=[name])
        addresses = {found.name: found.address for found in reader.resources([row.resource for row in bound])}
        events = reader.events(kind="appliance", name=name, limit=5)
    if session.json:
        from openqrm.desired import view

        print_json({**view(item), "assignments": bound, "events": events})
        return
    needs = item.requirements
    print_details(
        [
            ("Name", item.name),
            ("State", item.state),
            ("Image", item.image),
            ("Kernel", item.kernel),
            ("Members", item.members),
            ("Clone", item.clone),
            ("Root", item.root_mode),
            (
                "Runs on",
                [
                    f"[{row.member}] {row.resource} {addresses.get(row.resource, '')}"
                    f" (image {row.image}, epoch {row.epoch})"
                    for row in bound
                ],
            ),
            (
                "Needs",
                f"{needs.cores} cores, {size(needs.memory_mib)} memory, {needs.nics} NICs, {needs.type}, {needs.arch}",
            ),
            ("Needs tags", needs.tags),
            ("Needs machine", needs.resource),
            ("Anti-affinity", needs.anti_affinity),
            ("SLA", item.sla),
            ("Parameters", item.parameters),
            ("Events", [f"{event.time:%F %T} {event.severity}: {text(event.message)}" for event in events]),
        ]
    )


@appliance.command()
@click.argument("name", type=Name("appliance", existing=False))
@fields_of_appliance
@changes_something
@with_session
def create(session: Session, name: str, **fields: Any) -> None:
    """Create an appliance. It needs an image; it runs when it is started."""
    session.run_entry("appliance", entry_of(name, fields))


@appliance.command("set")
@names_argument("appliance")
@fields_of_appliance
@changes_something
@with_session
def set_(session: Session, names: tuple[str, ...], **fields: Any) -> None:
    """Change appliances. What runs takes it over at its next start."""
    session.require("appliance", names)
    session.run_entry("appliance", *(entry_of(name, fields) for name in names))


@appliance.command()
@names_argument("appliance")
@click.option("--destroy-data", is_flag=True, help="Remove the private directories of its members, too.")
@yes_option
@changes_something
@with_session
def remove(session: Session, names: tuple[str, ...], destroy_data: bool, yes: bool) -> None:
    """Remove appliances. One that runs is not removed; private directories of its members are kept."""
    session.require("appliance", names)
    extra = " with the private data of their members" if destroy_data else ""
    session.confirm(f"Remove appliance {listed(names)}{extra}?", yes=yes)
    arguments = {"appliances": list(names), **({"destroy_data": True} if destroy_data else {})}
    session.carry_out("appliance_remove", arguments, f"removed appliance {listed(names)}")


def _boot_option(function: Any) -> Any:
    return click.option(
        "--boot",
        type=click.Choice(["auto", "in_place", "reset"]),
        help="How machines take over: in place, by a reset, or (auto) in place where it can be.",
    )(function)


@appliance.command()
@appliance_selector(required=True)
@_boot_option
@click.option("--to", type=Name("resource"), help="Take this machine.")
@click.option("--install-from", type=Name("image"), help="Copy this image into the root first, once.")
@click.option("--transfer-to", type=Name("image"), help="Copy the root to this image first, once.")
@click.option("--install-from-disk", metavar="DEVICE", help="Copy a disk of the machine into the root first, once.")
@click.option("--transfer-to-disk", metavar="DEVICE", help="Copy the root to a disk of the machine first, once.")
@click.option("--overwrite", is_flag=True, default=None, help="What is copied to may hold data, which is lost.")
@changes_something
@with_session
def start(session: Session, selector: Selector, boot: str | None, to: str | None, **transfer: Any) -> None:
    """Start appliances: choose machines, clone, authorize, boot, wait until they run."""
    names = _selected(session, selector, to)
    arguments = {"appliances": names, **given({"boot": boot, "to": to, **transfer})}
    session.carry_out("start", arguments, f"started {listed(names)}", playbook="appliance_start")


@appliance.command()
@appliance_selector(required=True)
@click.option("--force", is_flag=True, help="Reset the machines instead of asking their systems to shut down.")
@changes_something
@with_session
def stop(session: Session, selector: Selector, force: bool) -> None:
    """Stop appliances: shut down, revoke the storage, machines idle again."""
    names = _selected(session, selector)
    arguments = {"appliances": names, **({"force": True} if force else {})}
    session.carry_out("stop", arguments, f"stopped {listed(names)}", playbook="appliance_stop")


@appliance.command()
@appliance_selector(required=True)
@_boot_option
@changes_something
@with_session
def restart(session: Session, selector: Selector, boot: str | None) -> None:
    """Restart appliances: stop, then start."""
    names = _selected(session, selector)
    session.change("appliance_restart", {"appliances": names, **given({"boot": boot})}, f"restarted {listed(names)}")
    if session.check:
        session.say("This is the stop; the start that follows is planned when the stop is done.")


@appliance.command()
@appliance_selector(required=True)
@click.option("--to", type=Name("resource"), help="The machine to move to. Default: the best fit.")
@_boot_option
@changes_something
@with_session
def move(session: Session, selector: Selector, to: str | None, boot: str | None) -> None:
    """Move running appliances to other machines."""
    names = _selected(session, selector, to)
    arguments = {"appliances": names, **given({"to": to, "boot": boot})}
    session.carry_out("move", arguments, f"moved {listed(names)}", playbook="appliance_move")


def _selected(session: Session, selector: Selector, to: str | None = None) -> list[str]:
    """The names that the selector chooses; all must exist, and there must be one. So must the machine `to`."""
    if to:
        session.require("resource", [to])
    with session.read() as reader:
        return selector.chosen_names(reader)
