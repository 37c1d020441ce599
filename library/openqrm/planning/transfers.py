"""Transfers in the plan of a start: asked for, granted, told to the node, and forgotten once they succeeded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from openqrm.boot import tree
from openqrm.errors import ConflictError, InUseError, InvalidValueError
from openqrm.memoryroots import MEMORY
from openqrm.model import Appliance, Image
from openqrm.planning.context import Context, Member
from openqrm.planning.operations import Step
from openqrm.roots import READ_WRITE
from openqrm.transfers import PARAMETER, Transfer, asked, pending, without

# Boot modes whose nodes mount the tree of files that a volume holds.
MOUNTED = ("network_root", MEMORY)


def record(
    context: Context, appliances: Sequence[Appliance], arguments: Mapping[str, object], plan_id: int
) -> list[Appliance]:
    """The appliances as they are to start: with the transfer that is asked for, or one that did not succeed before.

    Raises: InvalidValueError, NotFoundError, ConflictError, InUseError for one that cannot be.
    """
    wanted = asked(arguments)
    if wanted and len(appliances) > 1:
        raise InvalidValueError("A transfer is asked for several appliances.", remedy="Start them one by one.")
    if wanted:
        (appliance,) = appliances
        before = pending(appliance)
        same = before and (before.kind, before.other) == (wanted.kind, wanted.other)
        wanted = replace(wanted, number=before.number if before and same else plan_id)
        appliances = [replace(appliance, parameters={**appliance.parameters, PARAMETER: wanted.text})]
        context.tx.save(list(appliances))
    for appliance in appliances:
        if transfer := pending(appliance):
            _check(context, appliance, transfer)
    return list(appliances)


def refuse_filled(context: Context, appliances: Sequence[Appliance]) -> None:
    """Returns if no open plan copies into, or from, an image that these run from. Raises: InUseError."""
    names = {appliance.image for appliance in appliances}
    for plan in context.tx.open_plans([("image", name) for name in names]):
        row = next(item for item in plan.objects if item.get("kind") == "image" and item["name"] in names)
        raise InUseError(
            f"Image {row['name']} is part of plan {plan.id} ({plan.verb}).",
            remedy=f"Wait for it, or see `openqrm operation show {plan.id}`.",
        )


def objects(appliances: Sequence[Appliance]) -> list[Mapping[str, object]]:
    """What plans keep of the images on the other side, so that no other plan changes them meanwhile."""
    found = [transfer for appliance in appliances if (transfer := pending(appliance))]
    return [{"kind": "image", "name": transfer.other} for transfer in found if not transfer.is_disk]


def settle(context: Context, names: Sequence[str]) -> None:
    """The transfers of these appliances have succeeded: their next start does none."""
    for appliance in context.tx.appliances(list(names)):
        if transfer := pending(appliance):
            context.tx.save([replace(appliance, parameters=without(appliance.parameters))])
            text = f"Transfer done: {transfer.kind} {transfer.other}."
            context.tx.add_event("info", text, kind="appliance", name=appliance.name)


def over_steps(context: Context, stage: int, member: Member) -> list[Step]:
    """After the node is up: its manifest without the transfer, and the grant of the other image taken back."""
    if not pending(member.appliance):
        return []
    appliance = replace(member.appliance, parameters=without(member.appliance.parameters))
    text = context.manifest(replace(member, appliance=appliance))
    entry, *_ = tree.node_entries(context.config, member.resource.boot_mac, member.kernel, text)
    steps = [context.boot_step(stage, "present", entry, member=member.name)]
    return [*steps, *context.transfer_grants(stage, "revoke", member)]


def _check(context: Context, appliance: Appliance, transfer: Transfer) -> None:
    what = f"Appliance {appliance.name}: {transfer.kind} {transfer.other}"
    if appliance.members > 1:
        raise ConflictError(f"{what}: it has {appliance.members} members.", remedy="A transfer is of one member.")
    image = context.tx.image(appliance.image)
    root = context.types.get("deployment", image.deployment)
    if root.boot_mode not in MOUNTED:
        raise ConflictError(
            f"{what}: nodes boot the root of {root.name} without mounting it before.",
            remedy="Use an image whose root nodes mount, as nfs or iscsi.",
        )
    if transfer.installs and (root.boot_mode == MEMORY or appliance.root_mode != READ_WRITE):
        raise ConflictError(
            f"{what}: its root is not its own to keep (deployment {root.name}, root mode {appliance.root_mode}).",
            remedy="Install into a root that is read-write and stays.",
        )
    if not transfer.is_disk:
        _check_image(context, what, transfer, image)


def _check_image(context: Context, what: str, transfer: Transfer, root: Image) -> None:
    other = context.tx.image(transfer.other)
    if other.name == root.name:
        raise ConflictError(f"{what}: that is its own image.", remedy="Name another one.")
    deployment = context.types.get("deployment", other.deployment)
    in_memory = deployment.boot_mode == MEMORY
    mounted = deployment.boot_mode in MOUNTED and deployment.needs == "filesystem"
    if not mounted or (in_memory and not transfer.installs):
        raise ConflictError(
            f"{what}: nodes cannot {'read' if transfer.installs else 'write'} an image that is deployed by "
            f"{deployment.name} beside their root.",
            remedy="Name an image that is deployed by nfs.",
        )
    for row in context.tx.assignments(images=[other.name]):
        if not (transfer.installs and other.shared):
            raise InUseError(
                f"{what}: appliance {row.appliance}, member {row.member}, runs from it on {row.resource}.",
                remedy=f"Run `openqrm appliance stop {row.appliance}` first.",
            )
