"""`openqrm lab`: a data centre in a box, on this machine."""

from __future__ import annotations

import os
from typing import Any

import click
from click.shell_completion import CompletionItem

from openqrm import lab as labs
from openqrm.cli.framework import Group, changes_something
from openqrm.cli.output import print_details, print_json, print_lines, print_table
from openqrm.cli.parameters import ParamType, given, list_option, yes_option
from openqrm.cli.session import Session, with_session
from openqrm.errors import ApplyError

DEFAULT = "demo"
FIRMWARE = ("bios", "pxelinux", "uefi", "uefi-http", "secure-boot", "bios-no-pxe", "uefi-no-pxe")


class LabName(ParamType):
    """The name of a lab on this machine."""

    name = "lab"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The labs that are there."""
        return [CompletionItem(name) for name in labs.lab_names() if name.startswith(incomplete)]


def lab_argument(function: Any) -> Any:
    """The lab's name, by default that of --lab, else `demo`."""
    return click.argument("name", metavar="[LAB]", required=False, type=LabName())(function)


@click.group(cls=Group)
def lab() -> None:
    """A data centre in a box: networks, a storage server and blank machines with BMCs, on this machine.

    LAB is the lab's name, by default that of --lab, else `demo`. Needs root.
    """


@lab.command()
@lab_argument
@click.option("--nodes", type=click.IntRange(0, 199), help="Number of blank machines.")
@list_option("--firmware", type=click.Choice(FIRMWARE), help="Firmware of the machines, in turn.")
@click.option("--memory-mib", type=click.IntRange(512), help="Memory of each.")
@click.option("--disk-mib", type=click.IntRange(64), help="Size of the disk of each, which is sparse.")
@click.option("--power-on", is_flag=True, default=None, help="Power them on at once.")
@changes_something
@with_session
def up(
    session: Session,
    name: str | None,
    nodes: int | None,
    firmware: list[str] | None,
    memory_mib: int | None,
    disk_mib: int | None,
    power_on: bool | None,
) -> None:
    """Build a lab, or bring one up again."""
    name = _named(session, name)
    variables = {
        "lab_nodes": nodes,
        "lab_node_firmware": firmware,
        "lab_node_memory_mib": memory_mib,
        "lab_node_disk_mib": disk_mib,
        "lab_power_on": power_on,
    }
    done = f"Lab {name} is up. Try: openqrm --lab {name} resource list"
    _run(session, "lab_up", name, given(variables), done)


@lab.command()
@lab_argument
@yes_option
@changes_something
@with_session
def down(session: Session, name: str | None, yes: bool) -> None:
    """Remove a lab: its machines, networks, processes and files."""
    name = _named(session, name)
    labs.lab_dir(name)
    session.confirm(f"Remove lab {name} with all its data?", yes=yes)
    _run(session, "lab_down", name, {}, f"Lab {name} is gone.")


def _named(session: Session, name: str | None) -> str:
    """The lab that is meant: the one given (an empty name is refused later), else the session's, else the demo."""
    return name if name is not None else session.lab or DEFAULT


def _run(session: Session, playbook: str, name: str, variables: dict[str, object], done: str) -> None:
    result = session.run_lab(playbook, name, variables)
    if session.json:
        print_json({"lab": name, "changed": result.changed, "check": session.check, "diff": list(result.diff)})
        return
    print_lines(result.diff)
    session.say("Check mode: nothing was changed." if session.check else done)


@lab.command("list")
@with_session
def list_(session: Session) -> None:
    """List the labs on this machine."""
    found = [labs.lab_status(labs.lab_dir(name)) for name in labs.lab_names()]
    if session.json:
        print_json(found)
        return
    rows = [
        (
            item["name"],
            "up" if item["namespace_present"] else "down",
            len(item["nodes"]),
            sum(node["power"] == "on" for node in item["nodes"]),
            item["dir"],
        )
        for item in found
    ]
    print_table(("NAME", "STATE", "NODES", "ON", "DIRECTORY"), rows, "No labs. Build one with `openqrm lab up`.")


@lab.command()
@lab_argument
@with_session
def status(session: Session, name: str | None) -> None:
    """Show a lab's machines and services."""
    found = labs.lab_status(labs.lab_dir(_named(session, name)))
    if session.json:
        print_json(found)
        return
    print_details(
        [
            ("Lab", found["name"]),
            ("Directory", found["dir"]),
            ("Configuration", found["config"]),
            ("Namespace", f"{found['namespace']} ({'up' if found['namespace_present'] else 'missing'})"),
            ("BMCs", found["bmc_url"]),
        ]
    )
    click.echo()
    print_table(
        ("MACHINE", "POWER", "FIRMWARE", "ADDRESSES", "MACS", "CONSOLE LOG"),
        [
            (
                item["name"],
                item["power"],
                item.get("firmware", ""),
                item.get("addresses", []),
                item["macs"],
                item["console"],
            )
            for item in [found["storage"], *found["nodes"]]
        ],
        "No machines.",
    )
    click.echo()
    print_table(
        ("SERVICE", "RUNS", "PID", "LOG"),
        [(item["name"], item["alive"], item["pid"], item["log"]) for item in found["services"]],
        "No services.",
    )


@lab.command()
@click.argument("node")
@with_session
def console(session: Session, node: str) -> None:
    """Connect the terminal to a machine's serial console; Ctrl-] leaves it."""
    _become(labs.console_command(labs.lab_dir(session.lab or DEFAULT), node))


@lab.command()
@click.argument("node")
@click.argument("action", type=click.Choice(labs.ACTIONS))
@changes_something
@with_session
def power(session: Session, node: str, action: str) -> None:
    """Power a machine on or off (at once), reset it, or read its power."""
    state = labs.power(labs.lab_dir(session.lab or DEFAULT), node, action, check=session.check)
    if session.json:
        print_json({"name": node, "power": state, "check": session.check})
    else:
        session.say(f"{'Check mode: nothing was changed; ' if session.check else ''}{node} is {state}.")


@lab.command(context_settings={"ignore_unknown_options": True})
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@with_session
def shell(session: Session, command: tuple[str, ...]) -> None:
    """Run a command, or a shell, inside the lab's network."""
    words = list(command) or [os.environ.get("SHELL", "/bin/sh")]
    _become([*labs.shell_command(labs.lab_dir(session.lab or DEFAULT)), *words])


def _become(command: list[str]) -> None:
    try:
        os.execvp(command[0], command)  # noqa: S606 - the terminal is handed over
    except OSError as error:
        raise ApplyError(
            f"{command[0]} does not run: {error.strerror}.", remedy="Install it, and run this as root."
        ) from error


@lab.command()
@lab_argument
@click.option("--name", "chosen", type=LabName(), help="The same as LAB.")
@click.option("--nodes", type=click.IntRange(1, 199), default=2, show_default=True, help="Number of blank machines.")
@click.option("--keep", is_flag=True, help="Leave the lab running for exploring.")
@with_session
def demo(session: Session, name: str | None, chosen: str | None, nodes: int, keep: bool) -> None:
    """Show the main job on a lab: from blank machines to a web server, and back.

    Machines boot from the network and are discovered, an image is built, an appliance is started on one of them, its
    page is read, and it is stopped.
    """
    from openqrm.cli.demo import run_demo

    run_demo(session, _named(session, name if name is not None else chosen), nodes=nodes, keep=keep)
