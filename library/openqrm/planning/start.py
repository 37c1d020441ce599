"""The plan of a start: resources chosen and reserved, and the operations from clone to service."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from openqrm import matching
from openqrm.boot import manifest, tree
from openqrm.errors import ConflictError, NoResourceError
from openqrm.memoryroots import MEMORY, SIZE
from openqrm.model import Appliance, Image, Requirements, Resource, Volume
from openqrm.planning import disks, private, transfers
from openqrm.planning.context import CONTROLLER, Context, Member
from openqrm.planning.members import deadline
from openqrm.planning.operations import NODE, Step, role_of
from openqrm.planning.private import PENDING
from openqrm.roots import is_shared
from openqrm.transfers import pending

CLONE, AUTHORIZE, PUBLISH, ASSIGN_HOOKS, START_HOOKS = 100, 110, 120, 130, 140
TRIGGER, TAKE_OVER, RESET, WAIT, OVER = 150, 160, 170, 180, 190
ORDER_KEYS = ("resource", "epoch", "manifest")
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
    golden = {image.name: image for image in context.tx.images(sorted({a.image for a in appliances}))}
    needs = {a.name: _needs(context, a, golden[a.image]) for a in appliances}
    wanted = [
        (appliance.name, number, replace(needs[appliance.name], resource=to or appliance.requirements.resource))
        for appliance in appliances
        for number in range(appliance.members)
    ]
    chosen = matching.assign_members(wanted, _free(context, wanted), everything=context.tx.resources)
    images, created = _images(context, appliances, golden)
    rows = [(name, number, chosen[name, number].name, images[name, number].name, plan_id) for name, number, _ in wanted]
    return Reservation(tuple(_bind(context, rows)), frozenset(created))


def reserve_again(context: Context, members: Sequence[Member], plan_id: int) -> list[Member]:
    """Other resources for members that were taken back, with the images that they have. Raises: NoResourceError."""
    wanted = [(m.appliance.name, m.assignment.member, _needs(context, m.appliance, m.image)) for m in members]
    images = {(m.appliance.name, m.assignment.member): m.image.name for m in members}
    chosen = matching.assign_members(wanted, _free(context, wanted), taken_spread=_spread(context, members))
    rows = [(name, number, chosen[name, number].name, images[name, number], plan_id) for name, number, _ in wanted]
    return _bind(context, rows)


def _spread(context: Context, members: Sequence[Member]) -> dict[str, set[str]]:
    """The values of the anti-affinity keys that the appliances' other members take up."""
    keys = {m.appliance.name: m.appliance.requirements.anti_affinity for m in members}
    rows = context.tx.assignments(appliances=sorted(name for name, key in keys.items() if key))
    found = {resource.name: resource for resource in context.tx.resources([row.resource for row in rows])}
    spread: dict[str, set[str]] = {}
    for row in rows:
        value = matching.spread_value(found[row.resource], keys[row.appliance])
        spread.setdefault(row.appliance, set()).add(value)
    return spread


def _bind(context: Context, rows: Sequence[tuple[str, int, str, str, int]]) -> list[Member]:
    assignments = context.tx.assign(rows)
    members = context.members(assignments)
    private.register(context, members)
    context.tx.set_state("resource", [row.resource for row in assignments], "reserved", deadline(context))
    return members


def _free(context: Context, wanted: Sequence[tuple[str, int, Requirements]]) -> list[Resource]:
    """Idle resources that fit any of the requirements and are proven free: as many of each as could be chosen.

    Where members of an appliance must differ, those after them may be needed too: then it is all.
    """
    count = None if any(row[2].anti_affinity for row in wanted) else len(wanted)
    found: dict[str, Resource] = {}
    free: list[Resource] = []
    for requirements in dict.fromkeys(row[2] for row in wanted):
        fitting = _fitting(context, requirements, count)
        free += [resource for resource, why in fitting if resource.name not in found and not why]
        found |= {resource.name: resource for resource, _ in fitting}
    if found and not free:
        resource = min(found.values(), key=lambda item: item.name)
        raise NoResourceError(
            f"Resource {resource.name} fits but is not proven free: {why_not_free(context, resource)}.",
            remedy="Give it a power driver that reads back, or let it boot to idle again.",
        )
    return free


def _fitting(context: Context, requirements: Requirements, count: int | None) -> list[tuple[Resource, str]]:
    """Candidates, each with why it is not free, until `count` of them are (None: all); least waste first."""
    limit = count
    while True:
        rows = [(row, why_not_free(context, row)) for row in context.tx.candidates(requirements, limit)]
        if count is None or limit is None or len(rows) < limit or sum(not why for _, why in rows) >= count:
            return rows
        limit *= 4


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


def _needs(context: Context, appliance: Appliance, image: Image) -> Requirements:
    """What the appliance asks of a resource; its root comes to that, where it takes up memory."""
    if not _in_memory(context, image):
        return appliance.requirements
    size_mib = int(str(image.parameters.get(SIZE) or 0))
    return replace(appliance.requirements, memory_mib=appliance.requirements.memory_mib + size_mib)


def _in_memory(context: Context, image: Image) -> bool:
    return context.types.get("deployment", image.deployment).boot_mode == MEMORY


def _images(
    context: Context, appliances: Sequence[Appliance], golden: dict[str, Image]
) -> tuple[dict[tuple[str, int], Image], set[str]]:
    """The image that each member boots: the appliance's own, or the member's clone of it, registered if new."""
    cloning = {a.name for a in appliances if _clones(context, a, golden[a.image])}
    names = [clone_name(a.name, n) for a in appliances if a.name in cloning for n in range(a.members)]
    known = {image.name: image for image in context.tx.images(names)}
    images: dict[tuple[str, int], Image] = {}
    new: list[Image] = []
    for appliance in appliances:
        source = golden[appliance.image]
        for number in range(appliance.members):
            name = clone_name(appliance.name, number)
            image = known.get(name) if appliance.name in cloning else source
            if image is None:
                image = replace(source, id=0, name=name, volume=name, kind="clone", parent=source.name, shared=False)
                new.append(image)
            elif image is not source and image.parent != source.name:
                raise ConflictError(
                    f"Appliance {appliance.name}: image {name} is there already and is not a clone of {source.name}.",
                    remedy=f"Remove or rename image {name}, or set the appliance's image.",
                )
            images[appliance.name, number] = image
    sources = [golden[image.parent] for image in new]
    found = context.tx.named("volume", {f"{source.storage}/{source.volume}" for source in sources}) if new else []
    sizes = {(volume.storage, volume.name): volume.size_mib for volume in found}
    volumes = [
        Volume(0, image.volume, image.storage, sizes[source.storage, source.volume], source.volume, {PENDING: True})
        for image, source in zip(new, sources, strict=True)
    ]
    context.tx.save(volumes)
    context.tx.save(new)
    return images, {image.name for image in new}


def _clones(context: Context, appliance: Appliance, image: Image) -> bool:
    if not appliance.clone or image.kind != "golden" or is_shared(appliance.root_mode):
        return False
    return not _in_memory(context, image)


def clone_name(appliance: str, member: int) -> str:
    """The name of the image and volume that a member boots when its appliance clones."""
    return f"{appliance}-{member}"


def steps(context: Context, members: Sequence[Member], boot: str = "auto") -> list[Step]:
    """All steps of a start. `boot`: `in_place` or `reset` force that way of booting, `auto` takes the quickest."""
    result: list[Step] = []
    names = [f"{member.image.storage}/{member.image.volume}" for member in members]
    volumes = {(volume.storage, volume.name): volume for volume in context.tx.named("volume", names)}
    for member in members:
        result += _storage_steps(context, member, volumes[member.image.storage, member.image.volume])
        if disks.boots_unaided(context, member):
            result += disks.deploy_steps(context, PUBLISH, TRIGGER, member)
            result += [replace(step, member=member.name) for step in address_step(context, member.resource)]
            continue
        text = context.manifest(member)
        result += _boot_steps(context, member, text)
        result += _node_steps(context, member, manifest.sha256(text), boot)
        result += transfers.over_steps(context, OVER, member)
    result += private.create_steps(CLONE, context, members)
    result += context.hooks(ASSIGN_HOOKS, "assign", members)
    result += context.hooks(START_HOOKS, "appliance_start", members)
    return result


def _storage_steps(context: Context, member: Member, volume: Volume) -> list[Step]:
    result = []
    if member.image.kind == "clone":
        storage = context.storages[member.image.storage]
        backend = context.types.get("storage", storage.type)
        item = {"name": volume.name, "location": storage.location, "source": volume.parent}
        if volume.parameters.get(PENDING):
            clone = Step(CLONE, storage.host, backend.role, "volume_clone", item, "volume_remove", member.name)
            result.append(clone)
    return [*result, *context.grants(AUTHORIZE, "authorize", member, "revoke")]


def _boot_steps(context: Context, member: Member, text: str) -> list[Step]:
    resource = member.resource
    entries = [tree.blob_entry(context.config, *context.agent)]
    other = context.transfer_root(member)
    hooks = [context.types.get("deployment", member.image.deployment).hook, other.deployment.hook if other else None]
    entries += [tree.blob_entry(context.config, *tree.blob(hook)) for hook in hooks if hook]
    entries += [tree.blob_entry(context.config, *program) for program in context.boot_services(member).values()]
    own = tree.node_entries(context.config, resource.boot_mac, member.kernel, text)
    result = [context.boot_step(PUBLISH, "present", entry, "absent") for entry in entries]
    result += [context.boot_step(PUBLISH, "present", entry, "absent", member.name) for entry in own]
    return [*result, *(replace(step, member=member.name) for step in address_step(context, resource))]


def address_step(context: Context, resource: Resource) -> list[Step]:
    """The DHCP server's entry, so that the resource keeps its address; nothing without one."""
    host = context.config.dhcp_host
    if not (host and resource.address):
        return []
    entry = {"name": resource.name, "mac": resource.boot_mac, "address": resource.address}
    return [Step(PUBLISH, host, role_of("service", "dhcp"), "present", entry)]


def _node_steps(context: Context, member: Member, digest: str, boot: str) -> list[Step]:
    """How the node comes up: an order to its system where that listens, a reset by its power driver else.

    The idle system takes over in place on the same kernel, by kexec into another one, and reboots where it cannot.
    A reset is left out where the node has come up already: a controller that died may have done it.
    """
    resource = member.resource
    listens = context.heard_of(resource) and boot != "reset"
    idle = listens and resource.mode == "idle"
    wait: dict[str, object] = {
        "resource": resource.name,
        "epoch": member.assignment.epoch,
        "manifest": digest,
        "kernel": member.kernel.vmlinuz,
        "boot_id": resource.boot_id,
        "stage": "up",
        "deadline_s": context.config.deadlines.node_up_s + _transfer_s(context, member),
    }
    first = wait | {"stage": "init"}
    result = [_node(WAIT, "wait_up", wait, member)]
    if idle or (listens and resource.mode == "deployed" and not resource.power_driver):
        order = "assign" if idle else "reboot"
        result.append(_node(TRIGGER, "order", {key: wait[key] for key in ORDER_KEYS} | {"order": order}, member))
    elif resource.power_driver:
        result += _reset(context, TRIGGER, member, first)
    else:
        raise NoResourceError(
            f"Resource {resource.name} cannot be booted: its idle system takes no orders and it has no power driver.",
            remedy="Let it boot from the network, or set its power driver.",
        )
    if idle and resource.power_driver and boot == "auto":
        first["deadline_s"] = _take_over_s(context, member)
        result.append(_node(TAKE_OVER, "wait_up", first | {"soft": True}, member))
        result += _reset(context, RESET, member, first)
    return result


def _take_over_s(context: Context, member: Member) -> int:
    """How long a node that takes over in place is awaited before it is reset; longer where it has a root to fill."""
    node_up_s = context.config.deadlines.node_up_s
    fills = _in_memory(context, member.image) or pending(member.appliance)
    return node_up_s + _transfer_s(context, member) if fills else node_up_s // 3


def _transfer_s(context: Context, member: Member) -> int:
    return context.config.deadlines.transfer_s if pending(member.appliance) else 0


def _node(stage: int, verb: str, item: dict[str, object], member: Member) -> Step:
    return Step(stage, CONTROLLER, NODE, verb, item, member=member.name)


def _reset(context: Context, stage: int, member: Member, unless: dict[str, object]) -> list[Step]:
    condition = {"unless": {"verb": "wait_up"} | unless}
    steps = context.reset(stage, member.resource, member.name)
    return [replace(step, item=dict(step.item) | condition) for step in steps]
