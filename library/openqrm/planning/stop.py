"""The plan of a stop, which also takes back a start that failed: whatever of it was done, in an order that is safe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from openqrm.boot import tree
from openqrm.planning.context import CONTROLLER, Context, Member
from openqrm.planning.operations import NODE, Step

UNPUBLISH, HOOKS, RELEASE, WAIT_RELEASED, RESET, WAIT, REVOKE, REMOVE = 10, 20, 30, 40, 50, 60, 70, 80


def steps(context: Context, members: Sequence[Member], *, force: bool = False) -> list[Step]:
    """All steps of a stop: boot entries gone, hooks, the node asked to release and awaited idle, the grant revoked.

    `force` resets the node by its power driver at once instead of asking its system.
    """
    result: list[Step] = []
    for member in members:
        for name in tree.node_names(member.resource.boot_mac):
            result.append(context.boot_step(UNPUBLISH, "absent", tree.entry(context.config, name)))
        result += _node_steps(context, member, force)
        result.append(context.grant(REVOKE, "revoke", member))
    return result + context.hooks(HOOKS, "appliance_stop", members)


def _node_steps(context: Context, member: Member, force: bool) -> list[Step]:
    resource = member.resource
    if resource.mode == "idle" and context.heard_of(resource):
        return []
    deadline = context.config.deadlines
    wait: dict[str, object] = {
        "resource": resource.name,
        "boot_id": resource.boot_id,
        "deadline_s": deadline.node_down_s + deadline.node_up_s,
    }
    result = [Step(WAIT, CONTROLLER, NODE, "wait_idle", wait)]
    listens = context.heard_of(resource) and resource.mode == "deployed" and not force
    if listens:
        order: dict[str, object] = {
            "resource": resource.name,
            "order": "release",
            "epoch": member.assignment.epoch,
            "manifest": "",
        }
        result.append(Step(RELEASE, CONTROLLER, NODE, "order", order))
        if resource.power_driver:
            result.append(Step(WAIT_RELEASED, CONTROLLER, NODE, "wait_idle", wait | {"soft": True}))
    if resource.power_driver:
        reset = context.power(RESET if listens else RELEASE + 1, "reset", resource)
        if listens:
            reset = replace(reset, item=dict(reset.item) | {"unless": {"verb": "wait_idle"} | wait})
        result.append(reset)
    return result


def touches_node(step: Step) -> bool:
    """Whether the step asks something of the node or its power driver."""
    return step.stage in (RELEASE, RELEASE + 1, WAIT_RELEASED, RESET, WAIT)


def clone_steps(context: Context, members: Sequence[Member], created: frozenset[str]) -> list[Step]:
    """Removal of the clones that a failed start brought into being; clones that were there before stay."""
    result = []
    for member in members:
        if member.image.name in created:
            storage = context.storages[member.image.storage]
            backend = context.types.get("storage", storage.type)
            item: dict[str, object] = {"name": member.image.volume, "location": storage.location}
            result.append(Step(REMOVE, storage.host, backend.role, "volume_remove", item))
    return result
