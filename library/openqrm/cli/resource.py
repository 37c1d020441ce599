"""`openqrm resource`: machines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from openqrm.cli.framework import Group, changes_something
from openqrm.cli.output import print_details, print_json, print_table, size
from openqrm.cli.parameters import (
    Name,
    TypeName,
    given,
    list_option,
    listed,
    names_argument,
    pairs_option,
    yes_option,
)
from openqrm.cli.session import Session, with_session
from openqrm.states import RESOURCE_STATES

COLUMNS = ("NAME", "STATE", "CORES", "MEMORY", "DISK", "ADDRESS", "APPLIANCE", "TAGS", "SEEN", "TYPE")
OPTIONS = (
    list_option("--mac", "macs", metavar="MAC", help="MAC address of a NIC, the one it boots from first."),
    click.option("--cores", type=int, help="CPU cores."),
    click.option("--memory-mib", type=int, help="Memory."),
    click.option("--disk-mib", type=int, help="Size of its largest disk."),
    click.option("--type", "type_", metavar="TYPE", help="`physical`, or that of a virtual machine: `kvm_vm`."),
    click.option("--arch", type=click.Choice(["x86_64", "aarch64"]), help="Architecture."),
    click.option("--firmware", type=click.Choice(["bios", "uefi"]), help="Firmware."),
    click.option("--address", metavar="IP", help="Management address."),
    list_option("--tag", "tags", metavar="TAG", help="Tag, as `gpu` or `rack:r12`; all of them replace those it has."),
    click.option("--power-driver", type=TypeName("power"), metavar="TYPE", help="How it is powered, as `redfish`."),
    pairs_option("--power", help="Parameter of the power driver, as address=https://10.0.0.9; never a credential."),
    click.option("--monitored/--unmonitored", default=None, help="Whether appliances may be started on it."),
    pairs_option("--parameter", "parameters", help="Free parameter; `KEY=` takes it away."),
)


def fields_of_resource(function: Any) -> Any:
    """Adds the options for the fields of a resource."""
    for option in reversed(OPTIONS):
        function = option(function)
    return function


@click.group(cls=Group)
def resource() -> None:
    """Machines: servers and virtual machines that boot from the network.

    A machine that boots from the network for the first time adds itself. Its states: new, idle, reserved, starting,
    active, stopping, error, off, unknown, quarantined.
    """


@resource.command("list")
@click.argument("names", metavar="[NAME]...", nargs=-1, type=Name("resource"))
@list_option("--state", "states", type=click.Choice(RESOURCE_STATES), help="Only in this state.")
@list_option("--tag", "tags", metavar="TAG", help="Only with this tag.")
@with_session
def list_(session: Session, names: tuple[str, ...], states: list[str] | None, tags: list[str] | None) -> None:
    """List machines."""
    if names:
        session.require("resource", names)
    with session.read() as reader:
        found = reader.resources(names or None, states)
        bound = {item.resource: f"{item.appliance}[{item.member}]" for item in reader.assignments()}
    found = [item for item in found if set(tags or ()) <= item.tags]
    if session.json:
        from openqrm.desired import view

        print_json([{**view(item), "appliance": bound.get(item.name, "")} for item in found])
        return
    rows = [
        (
            item.name,
            item.state,
            item.cores,
            size(item.memory_mib),
            size(item.disk_mib),
            item.address,
            bound.get(item.name, ""),
            item.tags,
            item.last_seen,
            item.type,
        )
        for item in found
    ]
    none = "No machines. Boot one from the network, or add one with `openqrm resource create`."
    print_table(COLUMNS, rows, "No such machines." if names or states or tags else none)


@resource.command()
@click.argument("name", type=Name("resource"))
@with_session
def show(session: Session, name: str) -> None:
    """Show a machine with its hardware, its assignment and its last events."""
    with session.read() as reader:
        item = reader.resource(name)
        bound = next(iter(reader.assignments(resources=[name])), None)
        events = reader.events(kind="resource", name=name, limit=5)
    if session.json:
        from openqrm.desired import view

        print_json({**view(item), "assignment": bound, "events": events})
        return
    print_details(
        [
            ("Name", item.name),
            ("State", item.state),
            ("Appliance", f"{bound.appliance}[{bound.member}]" if bound else ""),
            ("Epoch", bound.epoch if bound else ""),
            ("Type", item.type),
            ("Architecture", item.arch),
            ("Firmware", item.firmware),
            ("Cores", item.cores),
            ("Memory", size(item.memory_mib)),
            ("Largest disk", size(item.disk_mib)),
            ("Address", item.address),
            ("NICs", [" ".join(filter(None, (nic.mac, nic.name, nic.role, nic.address))) for nic in item.nics]),
            ("Tags", item.tags),
            ("Power driver", item.power_driver),
            ("Power", item.power),
            ("BMC", _bmc(item.hardware.get("bmc"))),
            ("Monitored", item.monitored),
            ("Reports", " ".join(filter(None, (item.mode, item.stage, item.manifest[:12])))),
            ("Last seen", item.last_seen),
            ("Hardware", item.hardware.get("dmi")),
            ("Disks", item.hardware.get("disks")),
            ("Parameters", item.parameters),
            ("Events", [f"{event.time:%F %T} {event.severity}: {event.message}" for event in events]),
        ]
    )


def _bmc(found: object) -> object:
    """The address of the machine's BMC, as its registration has it; empty where it found none."""
    return found.get("address", "") if isinstance(found, Mapping) else ""


@resource.command()
@click.argument("name", type=Name("resource", existing=False))
@fields_of_resource
@changes_something
@with_session
def create(session: Session, name: str, type_: str | None, **fields: Any) -> None:
    """Add a machine, so that it has this name when it first boots."""
    session.run_entry("resource", {"name": name, **given({"type": type_, **fields})})


@resource.command("set")
@names_argument("resource")
@fields_of_resource
@changes_something
@with_session
def set_(session: Session, names: tuple[str, ...], type_: str | None, **fields: Any) -> None:
    """Change machines."""
    session.require("resource", names)
    session.run_entry("resource", *({"name": name, **given({"type": type_, **fields})} for name in names))


@resource.command()
@names_argument("resource")
@yes_option
@changes_something
@with_session
def remove(session: Session, names: tuple[str, ...], yes: bool) -> None:
    """Forget machines. One that runs an appliance is not removed."""
    session.require("resource", names)
    session.confirm(f"Remove {listed(names)}?", yes=yes)
    session.change("resource_remove", {"resources": list(names)}, f"removed {listed(names)}")


@resource.command()
@names_argument("resource")
@changes_something
@with_session
def approve(session: Session, names: tuple[str, ...]) -> None:
    """Let machines in that wait for approval, or that booted again though nobody ordered it."""
    session.carry_out("resource_approve", {"resources": list(names)}, f"approved {listed(names)}")


@resource.command()
@click.argument("action", type=click.Choice(["on", "off", "reset", "status"]))
@names_argument("resource")
@changes_something
@with_session
def power(session: Session, action: str, names: tuple[str, ...]) -> None:
    """Power machines on or off, reset them, or read their power state."""
    session.require("resource", names)
    variables = {"resources": list(names), "power": action}
    if action != "status":
        session.change("resource_power", variables, f"power {action}: {listed(names)}")
        return
    found = session.results(session.run("resource_power", variables), "resources")
    if session.json:
        print_json(found)
        return
    print_table(("NAME", "POWER"), [(item.get("name"), item.get("power")) for item in found], "No machines.")


@resource.command()
@click.argument("name", type=Name("resource"))
@click.option("--storage", required=True, type=Name("storage"), help="Where its placeholder of an image is kept.")
@click.option("--appliance", type=Name("appliance", existing=False), help="Name of its appliance; default: as NAME.")
@changes_something
@with_session
def adopt(session: Session, name: str, storage: str, appliance: str | None) -> None:
    """Bring in a server that runs already, with its disk and its service.

    It becomes an appliance that is never deployed. The server itself is not touched; from now on it boots its own disk
    where it boots from the network first.
    """
    session.require("resource", [name])
    session.require("storage", [storage])
    variables = given({"resource": name, "storage": storage, "appliance": appliance})
    session.carry_out("resource_adopt", variables, f"adopted {name}")


@resource.command()
@click.argument("name", type=Name("resource"))
@click.argument("image", type=Name("image"))
@click.option("--disk", metavar="DISK", help="The disk, as sda, or all of them (all); by default its only one.")
@click.option("--overwrite", is_flag=True, default=None, help="Replace what the image holds.")
@changes_something
@with_session
def grab(session: Session, name: str, image: str, disk: str | None, overwrite: bool | None) -> None:
    """Read the disks of an idle machine into an image that is deployed to local disks."""
    session.require("resource", [name])
    session.require("image", [image])
    variables = given({"resource": name, "image": image, "disk": disk, "overwrite": overwrite})
    session.carry_out("resource_grab", variables, f"grabbed the disks of {name} into {image}")


@resource.command()
@names_argument("resource")
@changes_something
@with_session
def reinstate(session: Session, names: tuple[str, ...]) -> None:
    """Take quarantined machines back, once it is known why they did not come up."""
    session.require("resource", names)
    session.carry_out("resource_reinstate", {"resources": list(names)}, f"reinstated {listed(names)}")
