"""The plan of a start: resources chosen and reserved, and the operations from clone to service."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from openqrm import matching
from openqrm.boot import manifest, tree
from openqrm.errors import ConflictError, NoResourceError
from openqrm.model import Appliance, Image, Requirements, Resource, Volume
from openqrm.planning.context import CONTROLLER, Context, Member
from openqrm.planning.operations import NODE, Step, role_of

CLONE, AUTHORIZE, PUBLISH, ASSIGN_HOOKS, START_HOOKS = 100, 110, 120, 130, 140
TRIGGER, TAKE_OVER, RESET, WAIT = 150, 160, 170, 180
# Parameter of a clone's volume until a start that made it was committed.
PENDING = "pending"
BOOT_MODES = ("auto", "in_place", "reset")


@dataclass(frozen=True)
class Reservation:
    """What one start reserved: the members, and which of their volumes and images this plan brought into being."""

    members: tuple[Member, ...]
    created: frozenset[str]


def reserve(context: Context, appliances: Sequence[Appliance], plan_id: int, *, to: str = "") -> Reservation:
    """Chooses and reserves a resource for each member and registers the clones; all in the caller's transaction.

    `to` pins every member to that resource. Raises: NoResourceError, ConflictError, NotFoundError.
    """
    wanted = [
        (appliance.name, number, replace(appliance.requirements, resource=to or appliance.requirements.resource))
        for appliance in appliances
        for number in range(appliance.members)
    ]
    chosen = matching.assign_members(wanted, _free(context, wanted), everything=context.tx.resources)
    images, created = _images(context, appliances)
    rows = [(name, number, chosen[name, number].name, images[name, number].name, plan_id) for name, number, _ in wanted]
    assignments = context.tx.assign(rows)
    deadline = datetime.now(UTC) + timedelta(seconds=2 * context.config.deadlines.node_up_s)
    context.tx.set_state("resource", [row.resource for row in assignments], "reserved", deadline)
    return Reservation(tuple(context.members(assignments)), frozenset(created))


def _free(context: Context, wanted: Sequence[tuple[str, int, Requirements]]) -> list[Resource]:
    """Idle resources that fit any of the requirements and are proven free."""
    found: dict[str, Resource] = {}
    for requirements in {row[2] for row in wanted}:
        for resource in context.tx.candidates(requirements):
            found[resource.name] = resource
    free = [resource for resource in found.values() if not why_not_free(context, resource)]
    if found and not free:
        resource = min(found.values(), key=lambda item: item.name)
        raise NoResourceError(
            f"Resource {resource.name} fits but is not proven free: {why_not_free(context, resource)}.",
            remedy="Give it a power driver that reads back, or let it boot to idle again.",
        )
    return free


def why_not_free(context: Context, resource: Resource) -> str:
    """Why nothing proves that the idle resource runs no service; empty where it is proven.

    Proof is a fresh heartbeat of its idle system, or a power driver that reads back, by which it is reset first.
    """
    if context.heard_of(resource) and resource.mode == "idle":
        return ""
    if resource.power_driver and context.types.get("power", resource.power_driver).read_back:
        return ""
    seen = resource.last_seen.isoformat(timespec="seconds") if resource.last_seen else "never"
    return f"last heartbeat {seen} in mode {resource.mode or 'unknown'}, and no power driver that reads back"


def _images(context: Context, appliances: Sequence[Appliance]) -> tuple[dict[tuple[str, int], Image], set[str]]:
    """The image that each member boots: the appliance's own, or the member's clone of it, registered if new."""
    golden = {image.name: image for image in context.tx.images(sorted({a.image for a in appliances}))}
    names = [clone_name(a.name, n) for a in appliances if _clones(a, golden) for n in range(a.members)]
    known = {image.name: image for image in context.tx.images(names)}
    images: dict[tuple[str, int], Image] = {}
    new: list[Image] = []
    for appliance in appliances:
        source = golden[appliance.image]
        for number in range(appliance.members):
            name = clone_name(appliance.name, number)
            image = known.get(name) if _clones(appliance, golden) else source
            if image is None:
                image = replace(source, id=0, name=name, volume=name, kind="clone", parent=source.name, shared=False)
                new.append(image)
            elif image is not source and image.parent != source.name:
                raise ConflictError(
                    f"Appliance {appliance.name}: image {name} is there already and is not a clone of {source.name}.",
                    remedy=f"Remove or rename image {name}, or set the appliance's image.",
                )
            images[appliance.name, number] = image
    volumes = [
        Volume(0, image.volume, image.storage, parent=golden[image.parent].volume, parameters={PENDING: True})
        for image in new
    ]
    context.tx.save(volumes)
    context.tx.save(new)
    return images, {image.name for image in new}


def _clones(appliance: Appliance, golden: dict[str, Image]) -> bool:
    return appliance.clone and golden[appliance.image].kind == "golden"


def clone_name(appliance: str, member: int) -> str:
    """The name of the image and volume that a member boots when its appliance clones."""
    return f"{appliance}-{member}"


def steps(context: Context, members: Sequence[Member], boot: str = "auto") -> list[Step]:
    """All steps of a start. `boot`: `in_place` or `reset` force that way of booting, `auto` takes the quickest."""
    result: list[Step] = []
    for member in members:
        text = context.manifest(member)
        result += _storage_steps(context, member)
        result += _boot_steps(context, member, text)
        result += _node_steps(context, member, manifest.sha256(text), boot)
    result += context.hooks(ASSIGN_HOOKS, "assign", members)
    result += context.hooks(START_HOOKS, "appliance_start", members)
    return result


def _storage_steps(context: Context, member: Member) -> list[Step]:
    result = []
    if member.image.kind == "clone":
        storage = context.storages[member.image.storage]
        backend = context.types.get("storage", storage.type)
        volume = context.tx.volume(storage.name, member.image.volume)
        item = {"name": volume.name, "location": storage.location, "source": volume.parent}
        if volume.parameters.get(PENDING):
            result.append(Step(CLONE, storage.host, backend.role, "volume_clone", item, "volume_remove"))
    return [*result, context.grant(AUTHORIZE, "authorize", member, "revoke")]


def _boot_steps(context: Context, member: Member, text: str) -> list[Step]:
    resource = member.resource
    entries = [tree.blob_entry(context.config, *context.agent)]
    hook = context.types.get("deployment", member.image.deployment).hook
    if hook:
        entries.append(tree.blob_entry(context.config, *tree.blob(hook)))
    entries += tree.node_entries(context.config, resource.boot_mac, member.kernel, text)
    result = [context.boot_step(PUBLISH, "present", entry, "absent") for entry in entries]
    if context.config.dhcp_host and resource.address:
        entry = {"name": resource.name, "mac": resource.boot_mac, "address": resource.address}
        result.append(Step(PUBLISH, context.config.dhcp_host, role_of("service", "dhcp"), "present", entry))
    return result


def _node_steps(context: Context, member: Member, digest: str, boot: str) -> list[Step]:
    """How the node comes up: an order to its idle system where that runs, a reset by its power driver else."""
    resource = member.resource
    listens = context.heard_of(resource) and resource.mode == "idle" and boot != "reset"
    in_place = listens and resource.kernel == member.kernel.vmlinuz
    wait = {
        "resource": resource.name,
        "epoch": member.assignment.epoch,
        "manifest": digest,
        "stage": "up",
        "deadline_s": context.config.deadlines.node_up_s,
    }
    result = [Step(WAIT, CONTROLLER, NODE, "wait_up", wait)]
    if not listens and not resource.power_driver:
        raise NoResourceError(
            f"Resource {resource.name} cannot be booted: its idle system takes no orders and it has no power driver.",
            remedy="Let it boot from the network, or set its power driver.",
        )
    if listens:
        order = {
            "resource": resource.name,
            "order": "assign" if in_place else "reboot",
            "epoch": member.assignment.epoch,
            "manifest": digest,
        }
        result.append(Step(TRIGGER, CONTROLLER, NODE, "order", order))
    else:
        result.append(context.power(TRIGGER, "reset", resource))
    if listens and resource.power_driver and boot == "auto":
        first = wait | {"stage": "init", "deadline_s": context.config.deadlines.node_up_s // 3}
        result.append(Step(TAKE_OVER, CONTROLLER, NODE, "wait_up", first | {"soft": True}))
        fallback = context.power(RESET, "reset", resource)
        result.append(replace(fallback, item=dict(fallback.item) | {"unless": {"verb": "wait_up"} | first}))
    return result
