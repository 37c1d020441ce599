"""Machines that did not come up: taken out of the pool until a person has looked at them."""

from __future__ import annotations

from pathlib import Path

from openqrm.config import Config
from openqrm.model import Resource
from openqrm.planning.context import Context, Member

TAIL = 2000


def came_up(member: Member) -> bool:
    """Whether the machine reports what the member was to boot."""
    resource, epoch = member.resource, member.assignment.epoch
    return (resource.mode, resource.reported_epoch, resource.kernel) == ("deployed", epoch, member.kernel.vmlinuz)


def put(context: Context, member: Member, why: str) -> None:
    """Quarantines the member's machine, with its last step and the end of its console in an event."""
    name = member.resource.name
    step = _last_step(context, name, member.assignment.epoch)
    console = console_tail(context.config, member.resource)
    text = f"Quarantined: it did not come up for {member.name}: {why} Last step: {step or 'none'}."
    context.tx.set_state("resource", [name], "quarantined")
    data = {"problem": "quarantined", "epoch": member.assignment.epoch, "step": step, "console": console}
    context.tx.add_event("error", text, "resource", name, data)


def _last_step(context: Context, name: str, epoch: int) -> str:
    """The last step that the machine reported in this epoch, with its message."""
    events = context.tx.events(kind="resource", name=name, limit=20)
    told = [event.message for event in events if event.data.get("step") and event.data.get("epoch") in (0, epoch)]
    return told[-1] if told else ""


def console_tail(config: Config, resource: Resource) -> str:
    """The end of the machine's console log, from its parameter `console_log` or the configuration's; empty without."""
    named = str(resource.parameters.get("console_log") or config.console_log.replace("{name}", resource.name))
    if not named:
        return ""
    try:
        with Path(named).open("rb") as log:
            log.seek(max(0, log.seek(0, 2) - TAIL))
            return log.read().decode("utf-8", "replace")
    except OSError as error:
        return f"{named}: {error.strerror}"
