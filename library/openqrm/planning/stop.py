"""The plan of a stop, which also takes back a start that failed: whatever of it was done, in an order that is safe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from openqrm.boot import tree
from openqrm.model import UNHEARD_MODES
from openqrm.planning import disks
from openqrm.planning.context import CONTROLLER, Context, Member
from openqrm.planning.operations import NODE, Step

UNPUBLISH, HOOKS, RELEASE, WAIT_RELEASED, RESET, WAIT, DISKS, REVOKE, REMOVE = 10, 20, 30, 40, 50, 60, 61, 70, 80


def steps(context: Context, members: Sequence[Member], *, force: bool = False) -> list[Step]:
    """All steps of a stop: boot entries gone, hooks, the node asked to release and awaited idle, its own disks read
    back or wiped where that is wanted, the grant revoked.

    `force` resets the node by its power driver at once instead of asking its system.
    """
    result: list[Step] = []
    for member in members:
        for name in tree.node_names(member.resource.boot_mac):
            entry = tree.entry(context.config, name)
            result.append(context.boot_step(UNPUBLISH, "absent", entry, member=member.name))
        result += _node_steps(context, member, force)
        result += disks.return_steps(context, DISKS, member)
        result += context.grants(REVOKE, "revoke", member)
    return result + context.hooks(HOOKS, "appliance_stop", members)


def _node_steps(context: Context, member: Member, force: bool) -> list[Step]:
    """How the node leaves its service: asked where its system listens, reset by its power driver else.

    Nothing is to be done where it idles, unless it was told to boot meanwhile. A reset is left out where the node idles
    after a new boot.
    """
    resource = member.resource
    heard = context.heard_of(resource) and resource.mode not in UNHEARD_MODES
    if resource.mode == "idle" and heard and resource.state != "starting":
        return []
    deadline = context.config.deadlines
    wait: dict[str, object] = {
        "resource": resource.name,
        "boot_id": resource.boot_id,
        "deadline_s": deadline.node_down_s + deadline.node_up_s,
    }
    result = [_node(WAIT, "wait_idle", wait, member)]
    asked = heard and not (force and resource.power_driver)
    if asked:
        order: dict[str, object] = {
            "resource": resource.name,
            "order": "release",
            "epoch": member.assignment.epoch,
            "manifest": "",
        }
        result.append(_node(RELEASE, "order", order, member))
    if asked and resource.power_driver:
        result.append(_node(WAIT_RELEASED, "wait_idle", wait | {"soft": True}, member))
    if resource.power_driver:
        condition = {"unless": {"verb": "wait_idle"} | wait}
        resets = context.reset(RESET if asked else RELEASE + 2, resource, member.name)
        result += [replace(step, item=dict(step.item) | condition) for step in resets]
    return result


def _node(stage: int, verb: str, item: dict[str, object], member: Member) -> Step:
    return Step(stage, CONTROLLER, NODE, verb, item, member=member.name)


def fence_steps(context: Context, members: Sequence[Member]) -> list[Step]:
    """Taking a service back from nodes that did not come up: unpublished, switched off where that can be, revoked."""
    result: list[Step] = []
    for member in members:
        result += [step for step in steps(context, [member], force=True) if not touches_node(step)]
        if member.resource.power_driver:
            result.append(context.power(RESET, "off", member.resource, member.name))
    return result


def touches_node(step: Step) -> bool:
    """Whether the step asks something of the node or its power driver."""
    return RELEASE <= step.stage < REVOKE


def clone_steps(context: Context, members: Sequence[Member], created: frozenset[str]) -> list[Step]:
    """Removal of the clones that a failed start brought into being; clones that were there before stay."""
    result = []
    for member in members:
        if member.image.name in created:
            storage = context.storages[member.image.storage]
            backend = context.types.get("storage", storage.type)
            item: dict[str, object] = {"name": member.image.volume, "location": storage.location}
            result.append(Step(REMOVE, storage.host, backend.role, "volume_remove", item, member=member.name))
    return result
