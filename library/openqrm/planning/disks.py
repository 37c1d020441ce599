"""Machines that boot a system of their own: from their own disk (an image written to it by a start, read back by a
stop, grabbed, and wiped on release), or from a volume that their firmware takes for a disk, of which nothing is copied.

The idle system does all that is done with disks, told by a manifest of mode `disk` that an order names. A machine that
boots again while it is at it idles and finds its order still there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from openqrm.boot import manifest, tree
from openqrm.boot.arguments import arguments
from openqrm.boot.manifest import Root, placeholders
from openqrm.disks import ALL, WIPE, check_wipe, disk_settings
from openqrm.errors import InvalidValueError, NoResourceError
from openqrm.model import LOCAL, UNHEARD_MODES, Resource
from openqrm.planning.context import CONTROLLER, Context, Member
from openqrm.planning.operations import NODE, Step
from openqrm.roots import is_shared

DONE, ACCEPTED = ("done",), ("accepted", "done")
Disk = Mapping[str, object]


def _boot_mode(context: Context, member: Member) -> str:
    return context.types.get("deployment", member.image.deployment).boot_mode


def boots_unaided(context: Context, member: Member) -> bool:
    """Whether the member's machine boots a system of its own, which openQRM hears nothing of."""
    return _boot_mode(context, member) in UNHEARD_MODES


def disk_manifest(context: Context, resource: Resource, epoch: int, disk: Disk, root: Root | None = None) -> str:
    """The text of the manifest that tells an idle machine what to do with its disks; `root`: where the image is."""
    kernel = context.default_kernel()
    content = manifest.idle_manifest(kernel, context.agent[0], arguments(context.config, kernel))
    content |= {"mode": "disk", "resource": resource.name, "epoch": epoch, "disk": dict(disk)}
    if root:
        words = placeholders(resource, root, "", 0)
        content["deployment"] = {
            "method": root.deployment.name,
            "hook": root.hook,
            "parameters": root.parameters(words),
        }
        content["networks"] = manifest.networks(resource)
    return manifest.encode(content)


def order_steps(
    context: Context, stage: int, resource: Resource, epoch: int, text: str, member: str = ""
) -> list[Step]:
    """The steps from `stage` to `stage` + 3: the manifest published, the order given, its end awaited, the manifest
    removed."""
    entry = tree.entry(context.config, tree.manifest_name(resource.boot_mac), text)
    order: dict[str, object] = {
        "resource": resource.name,
        "order": "assign",
        "epoch": epoch,
        "manifest": manifest.sha256(text),
    }
    wait = order | {"states": list(DONE), "deadline_s": context.config.deadlines.disk_s}
    return [
        context.boot_step(stage, "present", entry, "absent", member),
        Step(stage + 1, CONTROLLER, NODE, "order", order, member=member),
        Step(stage + 2, CONTROLLER, NODE, "wait_order", wait, member=member),
        withdraw_step(context, stage + 3, resource, member),
    ]


def hook_step(context: Context, stage: int, root: Root) -> list[Step]:
    """The publication of the program that mounts the image's volume on the node."""
    if not root.deployment.hook:
        return []
    entry = tree.blob_entry(context.config, *tree.blob(root.deployment.hook))
    return [context.boot_step(stage, "present", entry, "absent")]


def withdraw_step(context: Context, stage: int, resource: Resource, member: str = "") -> Step:
    """The removal of the manifest."""
    entry = tree.entry(context.config, tree.manifest_name(resource.boot_mac))
    return context.boot_step(stage, "absent", entry, member=member)


def deploy_steps(context: Context, publish: int, trigger: int, member: Member) -> list[Step]:
    """How a start has the image on the machine's disk where that is its place, and the machine boot its disk or the
    volume: everything of the boot plane and the node, `publish` and `trigger` being the stages of a start.

    Raises: InvalidValueError, NoResourceError, StateError.
    """
    if is_shared(member.appliance.root_mode):
        raise InvalidValueError(
            f"Appliance {member.appliance.name}: root mode {member.appliance.root_mode} does not go with deployment "
            f"{member.image.deployment}, whose system has its disk to itself.",
            remedy="Use root mode read-write.",
        )
    resource, epoch, root = member.resource, member.assignment.epoch, context.root(member.image)
    settings = disk_settings(f"Appliance {member.appliance.name}", member.appliance.parameters)
    steps = [*hook_step(context, publish, root), *_idle_steps(context, trigger, member)]
    if root.deployment.boot_mode == LOCAL and root.deployment.needs != "nothing":
        disk = {"action": "deploy", "name": settings.disk, "overwrite": settings.overwrite}
        text = disk_manifest(context, resource, epoch, disk, root)
        steps += order_steps(context, trigger + 3, resource, epoch, text, member.name)
    steps += [
        context.boot_step(trigger + 7, "present", entry, "absent", member.name) for entry in _entries(context, member)
    ]
    reboot: dict[str, object] = {"resource": resource.name, "order": "reboot", "epoch": epoch, "manifest": ""}
    wait = reboot | {"states": list(ACCEPTED), "deadline_s": context.config.deadlines.node_up_s}
    steps.append(Step(trigger + 8, CONTROLLER, NODE, "order", reboot, member=member.name))
    steps.append(Step(trigger + 9, CONTROLLER, NODE, "wait_order", wait, member=member.name))
    return steps


def _entries(context: Context, member: Member) -> list[tree.Entry]:
    """The boot entry of a machine that boots its own disk, or the member's volume."""
    mac = member.resource.boot_mac
    if _boot_mode(context, member) == LOCAL:
        return tree.local_entries(context.config, mac)
    context.refuse_unserved(member)
    root = context.root(member.image)
    words = manifest.san_words(member.resource, root, member.appliance.name, member.assignment.member)
    return tree.san_entries(context.config, mac, words)


def _idle_steps(context: Context, stage: int, member: Member) -> list[Step]:
    """What has the machine idle, where orders reach it: nothing where it is, else a reset. Raises: NoResourceError."""
    resource = member.resource
    if context.heard_of(resource) and resource.mode == "idle":
        return []
    if not resource.power_driver:
        raise NoResourceError(
            f"Resource {resource.name} cannot be booted: its idle system takes no orders and it has no power driver.",
            remedy="Let it boot from the network, or set its power driver.",
        )
    wait: dict[str, object] = {
        "resource": resource.name,
        "boot_id": resource.boot_id,
        "deadline_s": context.config.deadlines.node_up_s,
    }
    condition = {"unless": {"verb": "wait_idle"} | wait}
    resets = context.reset(stage + 1, resource, member.name)
    steps = [replace(step, item=dict(step.item) | condition) for step in resets]
    return [*steps, Step(stage + 2, CONTROLLER, NODE, "wait_idle", wait, member=member.name)]


def booted(context: Context, members: Sequence[Member]) -> None:
    """Records that these machines left for systems of their own, from where they report nothing."""
    modes = {member.resource.name: _boot_mode(context, member) for member in members}
    unheard = {name: mode for name, mode in modes.items() if mode in UNHEARD_MODES}
    context.tx.report_all({name: {"mode": mode, "stage": "", "manifest": ""} for name, mode in unheard.items()})


def return_steps(context: Context, stage: int, member: Member) -> list[Step]:
    """What a stop does with the disks of a machine that idles again, before its grant goes: the disk is grabbed where
    the appliance says so, and wiped where the resource's or the data centre's policy says so.

    A machine that did not come to run from its disk is left alone: what is on that is neither image nor service. So is
    a disk whose system was there before it was adopted.
    """
    resource = member.resource
    root = context.root(member.image)
    if resource.mode != LOCAL or _boot_mode(context, member) != LOCAL or root.deployment.needs == "nothing":
        return []
    steps: list[Step] = []
    settings = disk_settings(f"Appliance {member.appliance.name}", member.appliance.parameters)
    epoch = member.assignment.epoch
    if settings.grab:
        disk = {"action": "grab", "name": settings.disk, "overwrite": True}
        text = disk_manifest(context, resource, epoch, disk, root)
        steps += order_steps(context, stage, resource, epoch, text, member.name)
    wipe = wipe_policy(context, resource)
    if wipe != "none":
        disk = {"action": "wipe", "name": settings.disk or ALL, "wipe": wipe}
        text = disk_manifest(context, resource, epoch, disk)
        steps += order_steps(context, stage + 4, resource, epoch, text, member.name)
    return steps


def wipe_policy(context: Context, resource: Resource) -> str:
    """How the resource's disks are wiped when it is released: what it says itself, else the data centre."""
    value = resource.parameters.get(WIPE, context.config.disk_wipe)
    return check_wipe(f"Resource {resource.name}: {WIPE}", value)
