"""The volumes with the private directories of members: made with a member's first start, kept when it stops, and
removed with the appliance where that is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from openqrm import desired
from openqrm.boot.manifest import Root
from openqrm.errors import ConflictError, InUseError
from openqrm.model import Plan, Volume
from openqrm.names import check_name
from openqrm.planning.context import Context, Member
from openqrm.planning.operations import Step
from openqrm.planning.verbs import Arguments, Drawing, Selection, Verb, names_of

# Parameter of a volume until the start that made it was committed.
PENDING = "pending"
# Parameter of a private volume: whose it is, as `web01/0`.
OWNER = "private_of"
REMOVE = 10


def register(context: Context, members: Sequence[Member]) -> None:
    """Records the private volumes that are not there yet. Raises: ConflictError where the name is another volume's."""
    found = _volumes(context, members)
    for member, volume in found:
        if volume.parameters.get(OWNER) != member.name:
            raise ConflictError(
                f"Appliance {member.appliance.name}: volume {volume.storage}/{volume.name} is there already and does "
                f"not hold the private directories of {member.name}.",
                remedy="Remove that volume, or give the appliance another name.",
            )
    context.tx.save([volume for _, volume in found if not volume.id])
    context.remember(volume for _, volume in _volumes(context, members))


def _volumes(context: Context, members: Sequence[Member]) -> list[tuple[Member, Volume]]:
    """The members that have private directories, each with its volume; that has id 0 where it is not recorded yet."""
    roots = [(member, root) for member in members if (root := context.private_root(member))]
    names = [f"{root.storage.name}/{root.image.volume}" for _, root in roots]
    known = {(volume.storage, volume.name): volume for volume in (context.tx.named("volume", names) if names else ())}
    return [
        (
            member,
            known.get((root.storage.name, root.image.volume)) or _new_volume(context, member, root),
        )
        for member, root in roots
    ]


def _new_volume(context: Context, member: Member, root: Root) -> Volume:
    """A private volume that is to be made, as large as the image, from which it may be filled."""
    image = context.volumes.get((member.image.storage, member.image.volume))
    parameters = {OWNER: member.name, PENDING: True}
    return Volume(0, root.image.volume, root.storage.name, image.size_mib if image else 0, parameters=parameters)


def _pending(context: Context, members: Sequence[Member]) -> list[Volume]:
    """The private volumes of these members that no committed start has used yet."""
    return [volume for _, volume in _volumes(context, members) if volume.id and PENDING in volume.parameters]


def create_steps(stage: int, context: Context, members: Sequence[Member]) -> list[Step]:
    """Creation of the private volumes, where that is still to be done; nodes fill theirs from the image."""
    return [
        replace(_step(stage, context, volume, "volume_create", "volume_remove"), member=str(volume.parameters[OWNER]))
        for volume in _pending(context, members)
    ]


def remove_steps(stage: int, context: Context, members: Sequence[Member]) -> list[Step]:
    """Removal of the private volumes that a start which failed may have made; those that were there before stay."""
    return [
        replace(_step(stage, context, volume, "volume_remove"), member=str(volume.parameters[OWNER]))
        for volume in _pending(context, members)
    ]


def _step(stage: int, context: Context, volume: Volume, verb: str, undo: str = "") -> Step:
    storage = context.storages[volume.storage]
    item = context.volume_item(storage, volume.name, "filesystem", volume.size_mib if verb == "volume_create" else 0)
    return Step(stage, storage.host, context.types.get("storage", storage.type).role, verb, item, undo)


def settle(context: Context, members: Sequence[Member]) -> None:
    """The private volumes are there from now on, whatever becomes of later starts."""
    pending = _pending(context, members)
    context.tx.save([replace(volume, parameters={OWNER: volume.parameters[OWNER]}) for volume in pending])


def forget(context: Context, members: Sequence[Member]) -> None:
    """The private volumes that a start made are gone again."""
    context.tx.remove("volume", [f"{row.storage}/{row.name}" for row in _pending(context, members)])


def refuse_mounted(context: Context, volumes: Sequence[str]) -> None:
    """Returns if none of these volumes (`storage/name`) is that of a member which runs. Raises: InUseError."""
    owned = {str(row.parameters[OWNER]): row for row in context.tx.named("volume", volumes) if OWNER in row.parameters}
    names = sorted({owner.rpartition("/")[0] for owner in owned})
    for row in context.tx.assignments(appliances=names) if names else ():
        volume = owned.get(f"{row.appliance}/{row.member}")
        if volume:
            raise InUseError(
                f"Volume {volume.storage}/{volume.name} holds the private directories of appliance {row.appliance}, "
                f"member {row.member}, which runs on {row.resource}.",
                remedy=f"Run `openqrm appliance stop {row.appliance}` first.",
            )


def _owned(context: Context, appliances: Sequence[str]) -> list[Volume]:
    """The private volumes of these appliances' members, also of members that they no longer have."""
    owners = {str(volume.parameters.get(OWNER, "")): volume for volume in context.tx.volumes()}
    return [volume for owner, volume in sorted(owners.items()) if owner.rpartition("/")[0] in appliances]


def _select(context: Context, arguments: Arguments) -> Selection:
    names = [check_name("Appliance", name) for name in names_of(arguments, "appliances")]
    there = {appliance.name for appliance in context.tx.appliances(names)}
    unchanged = {name: f"appliance {name} does not exist" for name in names if name not in there}
    return Selection(tuple(name for name in names if name in there), unchanged)


def _draw(context: Context, names: Sequence[str], arguments: Arguments, _plan_id: int) -> Drawing:
    desired.absent(context.tx, lambda: context.types, "appliance", [{"name": name} for name in names])
    destroy = desired.boolean("destroy_data", arguments.get("destroy_data") or False)
    volumes = _owned(context, names) if destroy else []
    objects: list[Mapping[str, object]] = [{"kind": "appliance", "name": name} for name in names]
    objects += [{"kind": "volume", "name": f"{volume.storage}/{volume.name}"} for volume in volumes]
    return Drawing([_step(REMOVE, context, volume, "volume_remove") for volume in volumes], tuple(objects))


def _commit(context: Context, plan: Plan) -> None:
    for kind in ("appliance", "volume"):
        context.tx.remove(kind, [str(item["name"]) for item in plan.objects if item["kind"] == kind])


def _close(_context: Context, _plan: Plan, _undone: bool) -> None:
    """The records stay until all is gone."""


LEFT = "What was removed stays removed; run the command again to go on."
VERBS = (Verb("appliance_remove", "appliance", _select, _draw, _commit, None, _close, LEFT),)
