"""Creation and removal of images and volumes as plans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from openqrm.errors import ConflictError, InUseError, InvalidValueError, NotFoundError, OpenqrmError
from openqrm.memoryroots import MEMORY, memory_settings
from openqrm.model import SAN, Image, Plan, Storage, Volume
from openqrm.names import check_name, check_parameters, check_size_mib, check_type
from openqrm.planning import private
from openqrm.planning.context import Context
from openqrm.planning.operations import Step
from openqrm.planning.sources import SOURCES, archive_of
from openqrm.planning.verbs import Arguments, Drawing, Selection, Trouble, Verb, names_of
from openqrm.store import Reader

BUILD, PREPARE, CREATE, REMOVE = 10, 15, 20, 30
# Parameters of a volume that is a version of an image: of which, and its number.
VERSION_OF, NUMBER = "version_of", "version"
IMAGE_KEYS = ("name", "storage", "deployment", "volume", "size_mib", *SOURCES, "shared", "parameters")
VOLUME_KEYS = ("name", "storage", "size_mib", "presents", "source", "parameters")


def versions_of(reader: Reader, image: Image) -> list[Volume]:
    """The versions of an image, the oldest first."""
    found = [v for v in reader.volumes(image.storage) if v.parameters.get(VERSION_OF) == image.name]
    return sorted(found, key=number_of)


def number_of(version: Volume) -> int:
    """The number of a volume that is a version."""
    number = version.parameters.get(NUMBER)
    return number if isinstance(number, int) else 0


def rows_of(arguments: Arguments, key: str, known: Sequence[str]) -> list[Mapping[str, object]]:
    rows = arguments.get(key)
    if not isinstance(rows, list) or not rows or not all(isinstance(row, Mapping) for row in rows):
        raise InvalidValueError(f"No {key[:-1]} is given.", remedy=f"Give {key}: a list of {', '.join(known)}.")
    for row in rows:
        check_name(key[:-1].capitalize(), row.get("name"))
        unknown = sorted(set(row) - set(known))
        if unknown:
            raise InvalidValueError(
                f"{key[:-1].capitalize()} {row['name']}: {unknown[0]} is not known.",
                remedy=f"Known: {', '.join(known)}.",
            )
    return rows


def _select_new_images(context: Context, arguments: Arguments) -> Selection:
    rows = rows_of(arguments, "images", IMAGE_KEYS)
    there = {image.name: image for image in context.tx.images([str(row["name"]) for row in rows])}
    for row in (row for row in rows if row["name"] in there):
        _refuse_other(f"Image {row['name']}", row, there[str(row["name"])], ("storage", "deployment", "volume"))
    unchanged = {name: f"image {name} exists already" for name in sorted(there)}
    return Selection(tuple(str(row["name"]) for row in rows if row["name"] not in there), unchanged)


def _refuse_other(what: str, row: Mapping[str, object], found: Image | Volume, keys: Sequence[str]) -> None:
    """Returns if what is there is what is asked for. Raises: ConflictError."""
    for key in keys:
        has = getattr(found, key)
        if row.get(key) and row[key] != has:
            raise ConflictError(
                f"{what} exists already, with {key} {has or 'not set'}, not {row[key]}.",
                remedy="Choose another name, or remove it first.",
            )


def _storage(context: Context, what: str, row: Mapping[str, object]) -> Storage:
    name = check_name(f"{what}: storage", row.get("storage"))
    try:
        return context.tx.storage(name)
    except NotFoundError:
        raise NotFoundError(f"{what}: storage", name, context.tx.names("storage")) from None


def _draw_new_images(context: Context, names: Sequence[str], arguments: Arguments, _plan_id: int) -> Drawing:
    steps: list[Step] = []
    objects: list[Mapping[str, object]] = []
    for row in rows_of(arguments, "images", IMAGE_KEYS):
        if row["name"] not in names:
            continue
        image, volume, presents = new_image(context, row)
        storage = context.storages[image.storage]
        archive, build = archive_of(context, BUILD, row)
        steps += [*build, *prepare_steps(context, image, storage)]
        steps += create_steps(context, storage, volume, presents, archive)
        objects.append({"kind": "image", "name": image.name, "image": fields_of(image), "volume": fields_of(volume)})
    return Drawing(steps, tuple(objects))


def new_image(context: Context, row: Mapping[str, object]) -> tuple[Image, Volume, str]:
    """The image that this row asks for, its volume, and what that presents.

    Raises: InvalidValueError, NotFoundError, ConflictError.
    """
    name = str(row["name"])
    storage = _storage(context, f"Image {name}", row)
    volume = Volume(0, check_name("Volume", row.get("volume", name)), storage.name, _size(name, row))
    refuse_taken(context, volume)
    parameters = check_parameters(f"Image {name}", row.get("parameters") or {})
    deployment = check_type("Deployment", row.get("deployment"))
    image = Image(0, name, storage.name, volume.name, deployment, shared=bool(row.get("shared")), parameters=parameters)
    root = context.root(image)
    if root.deployment.boot_mode == MEMORY:
        memory_settings(f"Image {name}", parameters)
    filled = [key for key in SOURCES if row.get(key)]
    if root.deployment.boot_mode == SAN and filled:
        raise InvalidValueError(
            f"Image {name}: {filled[0]} makes a root file system, but deployment {deployment} boots a whole disk.",
            remedy="Create it empty, and write a disk with a boot loader to its volume.",
        )
    return image, volume, root.presents


def _size(name: str, row: Mapping[str, object]) -> int:
    size = row.get("size_mib") or 0
    return check_size_mib(f"{name}: size_mib", size) if size else 0


def refuse_taken(context: Context, volume: Volume) -> None:
    if context.tx.volumes(volume.storage, [volume.name]):
        raise ConflictError(
            f"Volume {volume.storage}/{volume.name} exists already.",
            remedy="Choose another name, or remove that volume.",
        )


def refuse_running(context: Context, image: Image, what: str) -> None:
    """Returns if nothing runs from the image. Raises: InUseError."""
    for row in context.tx.assignments(images=[image.name]):
        raise InUseError(
            f"Image {image.name} cannot be {what}: appliance {row.appliance}, member {row.member}, runs from it on "
            f"{row.resource}.",
            remedy=f"Run `openqrm appliance stop {row.appliance}` first.",
        )


def prepare_steps(context: Context, image: Image, storage: Storage) -> list[Step]:
    """Preparation of the server for the image's deployment, unless an image there is deployed so already."""
    for other in context.tx.images():
        if other.deployment == image.deployment and context.storages[other.storage].host == storage.host:
            return []
    role = context.types.get("deployment", image.deployment).role
    return [Step(PREPARE, storage.host, role, "prepare", {"storage": storage.name})]


def create_steps(context: Context, storage: Storage, volume: Volume, presents: str, archive: str = "") -> list[Step]:
    """Creation of a volume of this kind. Raises: InvalidValueError where it has to have a size and has none."""
    role = context.types.get("storage", storage.type).role
    if presents == "block" and not volume.size_mib:
        raise InvalidValueError(
            f"Volume {storage.name}/{volume.name} has no size, which a block device has.",
            remedy="Give size_mib, as 4096: what the system in it needs, and room to grow.",
        )
    item = context.volume_item(storage, volume.name, presents, volume.size_mib)
    if archive:
        item["archive"] = archive
    return [Step(CREATE, storage.host, role, "volume_create", item, "volume_remove")]


def fields_of(value: Image | Volume) -> dict[str, object]:
    return {key: entry for key, entry in vars(value).items() if key != "id"}


def commit_new(context: Context, plan: Plan) -> None:
    volumes = [Volume(id=0, **_mapping(item, "volume")) for item in plan.objects if "volume" in item]
    images = [Image(id=0, **_mapping(item, "image")) for item in plan.objects if "image" in item]
    context.tx.save(volumes)
    context.tx.save(images)
    for item in plan.objects:
        context.tx.add_event("info", "Created.", kind=str(item["kind"]), name=str(item["name"]))


def _mapping(item: Mapping[str, object], key: str) -> dict[str, Any]:
    value = item[key]
    if not isinstance(value, Mapping):
        raise OpenqrmError(f"The plan's entry for {item.get('name')} is damaged.", remedy="Run the command again.")
    return dict(value)


def undo_new(_context: Context, plan: Plan, _trouble: Trouble) -> Sequence[Step]:
    """Removal of what the attempted creations may have left."""
    steps = []
    for operation in plan.operations:
        if operation.undo and operation.attempts:
            for item in operation.items:
                left = {"name": item["name"], "location": item["location"]}
                steps.append(Step(REMOVE, operation.host, operation.role, operation.undo, left))
    return steps


def close_nothing(_context: Context, _plan: Plan, _undone: bool) -> None:
    """Nothing was recorded before the commit."""


def _select_old_images(context: Context, arguments: Arguments) -> Selection:
    names = names_of(arguments, "images")
    there = {image.name for image in context.tx.images(names)}
    unchanged = {name: f"image {name} does not exist" for name in names if name not in there}
    return Selection(tuple(name for name in names if name in there), unchanged)


def _draw_old_images(context: Context, names: Sequence[str], arguments: Arguments, _plan_id: int) -> Drawing:
    steps: list[Step] = []
    objects: list[Mapping[str, object]] = []
    for image in context.tx.images(list(names)):
        _refuse_used(context, image)
        destroy = bool(arguments.get("destroy_data"))
        gone = (
            [version.name for version in reversed(versions_of(context.tx, image))] + [image.volume] if destroy else []
        )
        volumes = [f"{image.storage}/{name}" for name in gone]
        objects.append({"kind": "image", "name": image.name, "volumes": volumes})
        steps += [_remove_step(context, context.storages[image.storage], name) for name in gone]
    return Drawing(steps, tuple(objects))


def _refuse_used(context: Context, image: Image) -> None:
    users = [f"appliance {a.name}" for a in context.tx.appliances() if a.image == image.name]
    users += [f"appliance {row.appliance} (member {row.member})" for row in context.tx.assignments(images=[image.name])]
    users += [f"image {i.name}" for i in context.tx.images() if i.parent == image.name]
    if users:
        raise InUseError(
            f"Image {image.name} is used by {', '.join(users[:5])}.", remedy="Remove or change these first."
        )


def _remove_step(context: Context, storage: Storage, volume: str) -> Step:
    role = context.types.get("storage", storage.type).role
    item: dict[str, object] = {"name": volume, "location": storage.location}
    return Step(REMOVE, storage.host, role, "volume_remove", item)


def _commit_old_images(context: Context, plan: Plan) -> None:
    context.tx.remove("image", [str(item["name"]) for item in plan.objects])
    context.tx.remove("volume", [name for item in plan.objects for name in _names(item.get("volumes"))])


def _names(value: object) -> list[str]:
    return [str(name) for name in value] if isinstance(value, list) else []


def _select_new_volumes(context: Context, arguments: Arguments) -> Selection:
    names, unchanged = [], {}
    for row in rows_of(arguments, "volumes", VOLUME_KEYS):
        storage = _storage(context, f"Volume {row['name']}", row)
        full = f"{storage.name}/{row['name']}"
        found = context.tx.volumes(storage.name, [str(row["name"])])
        if found:
            _refuse_other(f"Volume {full}", {**row, "parent": row.get("source")}, found[0], ("size_mib", "parent"))
            unchanged[full] = f"volume {full} exists already"
        else:
            names.append(full)
    return Selection(tuple(names), unchanged)


def _draw_new_volumes(context: Context, names: Sequence[str], arguments: Arguments, _plan_id: int) -> Drawing:
    steps: list[Step] = []
    objects: list[Mapping[str, object]] = []
    for row in rows_of(arguments, "volumes", VOLUME_KEYS):
        full = f"{row['storage']}/{row['name']}"
        if full in names:
            storage = context.storages[str(row["storage"])]
            source = check_name(f"Volume {full}: source", row["source"]) if row.get("source") else ""
            parameters = check_parameters(f"Volume {full}", row.get("parameters") or {})
            volume = Volume(0, str(row["name"]), storage.name, _size(full, row), source, parameters)
            presents = _presents(context, storage, row)
            steps += (
                clone_steps(context, storage, volume) if source else create_steps(context, storage, volume, presents)
            )
            objects.append({"kind": "volume", "name": full, "volume": fields_of(volume)})
    return Drawing(steps, tuple(objects))


def _presents(context: Context, storage: Storage, row: Mapping[str, object]) -> str:
    """What the new volume is to be: what is asked for, else the first that the storage's type presents."""
    known = context.types.get("storage", storage.type).presents
    wanted = str(row.get("presents") or known[0])
    if wanted not in known:
        raise InvalidValueError(
            f"Volume {storage.name}/{row['name']}: presents {wanted!r} is not what storage type {storage.type} has.",
            remedy=f"Known: {', '.join(known)}.",
        )
    return wanted


def clone_steps(context: Context, storage: Storage, volume: Volume) -> list[Step]:
    backend = context.types.get("storage", storage.type)
    context.tx.volume(storage.name, volume.parent)
    if "clone" not in backend.capabilities:
        raise OpenqrmError(
            f"Storage {storage.name} ({storage.type}) cannot clone.", remedy="Create a volume and fill it."
        )
    item: dict[str, object] = {"name": volume.name, "location": storage.location, "source": volume.parent}
    return [Step(CREATE, storage.host, backend.role, "volume_clone", item, "volume_remove")]


def _select_old_volumes(context: Context, arguments: Arguments) -> Selection:
    names, unchanged = [], {}
    for full in names_of(arguments, "volumes"):
        storage, _, name = full.partition("/")
        if not name:
            raise InvalidValueError(f"Volume {full!r} names no storage.", remedy="Give it as storage/volume.")
        if context.tx.volumes(context.tx.storage(storage).name, [name]):
            names.append(full)
        else:
            unchanged[full] = f"volume {full} does not exist"
    return Selection(tuple(names), unchanged)


def _draw_old_volumes(context: Context, names: Sequence[str], arguments: Arguments, _plan_id: int) -> Drawing:
    if not arguments.get("destroy_data"):
        raise InvalidValueError(f"Removing volume {names[0]} destroys its data.", remedy="Say so: destroy_data=true.")
    users = {f"{image.storage}/{image.volume}": image.name for image in context.tx.images()}
    for full in names:
        if full in users:
            raise InUseError(f"Volume {full} is used by image {users[full]}.", remedy="Remove the image first.")
    private.refuse_mounted(context, names)
    pairs = [full.partition("/") for full in names]
    steps = [_remove_step(context, context.storages[storage], name) for storage, _, name in pairs]
    return Drawing(steps, tuple({"kind": "volume", "name": full} for full in names))


def _commit_old_volumes(context: Context, plan: Plan) -> None:
    context.tx.remove("volume", [str(item["name"]) for item in plan.objects])


LEFT = "What was removed stays removed; run the command again to go on."
VERBS = (
    Verb("image_create", "image", _select_new_images, _draw_new_images, commit_new, undo_new, close_nothing),
    Verb(
        "image_remove",
        "image",
        _select_old_images,
        _draw_old_images,
        _commit_old_images,
        None,
        close_nothing,
        LEFT,
    ),
    Verb("volume_create", "volume", _select_new_volumes, _draw_new_volumes, commit_new, undo_new, close_nothing),
    Verb(
        "volume_remove",
        "volume",
        _select_old_volumes,
        _draw_old_volumes,
        _commit_old_volumes,
        None,
        close_nothing,
        LEFT,
    ),
)
