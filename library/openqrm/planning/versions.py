"""The life of an image after its creation, as plans: clones, versions and going back to one, size, name.

A version is a volume beside the image's own that stays as the image was: a clone, or a snapshot where the storage has
no clones. Going back clones the version and has the image use that; what it used before becomes a version itself, so
that no data is lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from openqrm.errors import ConflictError, InvalidValueError, NotFoundError, OpenqrmError
from openqrm.model import Image, Plan, Storage, Volume
from openqrm.names import check_name, check_number, check_parameters, check_size_mib
from openqrm.planning.context import Context
from openqrm.planning.images import (
    CREATE,
    NUMBER,
    VERSION_OF,
    clone_steps,
    close_nothing,
    commit_new,
    fields_of,
    number_of,
    refuse_running,
    refuse_taken,
    rows_of,
    undo_new,
    versions_of,
)
from openqrm.planning.operations import Step
from openqrm.planning.verbs import Arguments, Drawing, Selection, Verb, names_of
from openqrm.services import scopes_of, write_scopes

# When a version was made, among the parameters of its volume.
MADE = "made"
CLONE_KEYS = ("name", "source", "shared", "parameters")
SIZE_KEYS = ("name", "size_mib")


def _next(versions: Sequence[Volume]) -> int:
    return max((number_of(version) for version in versions), default=0) + 1


def _copy(context: Context, storage: Storage, name: str, source: str) -> Step:
    """A copy that stays as the volume `source` is now. Raises: OpenqrmError where the storage's type makes none."""
    backend = context.types.get("storage", storage.type)
    verbs = [capability for capability in ("clone", "snapshot") if capability in backend.capabilities]
    if not verbs:
        raise OpenqrmError(
            f"Storage {storage.name} ({storage.type}) has neither snapshots nor clones, which versions are.",
            remedy="Keep the image on another storage.",
        )
    item: dict[str, object] = {"name": name, "location": storage.location, "source": source}
    return Step(CREATE, storage.host, backend.role, f"volume_{verbs[0]}", item, "volume_remove")


def _volume_name(image: Image, suffix: str) -> str:
    """The name of a volume of this image; a long name of an image is cut."""
    return check_name("Volume", f"{image.name[: 63 - len(suffix)]}{suffix}")


# Clones


def _select_clones(context: Context, arguments: Arguments) -> Selection:
    rows = rows_of(arguments, "images", CLONE_KEYS)
    there = {image.name: image for image in context.tx.images([str(row["name"]) for row in rows])}
    for row in rows:
        found = there.get(str(row["name"]))
        if found and found.parent != row.get("source"):
            raise ConflictError(
                f"Image {found.name} exists already and is no clone of {row.get('source')}.",
                remedy="Choose another name, or remove it first.",
            )
    unchanged = {name: f"image {name} exists already" for name in sorted(there)}
    return Selection(tuple(str(row["name"]) for row in rows if row["name"] not in there), unchanged)


def _draw_clones(context: Context, names: Sequence[str], arguments: Arguments, _plan_id: int) -> Drawing:
    steps: list[Step] = []
    objects: list[Mapping[str, object]] = []
    for row in rows_of(arguments, "images", CLONE_KEYS):
        if row["name"] not in names:
            continue
        source = context.tx.image(check_name(f"Image {row['name']}: source", row.get("source")))
        refuse_running(context, source, "cloned")
        shared = bool(source.shared if row.get("shared") is None else row["shared"])
        parameters = check_parameters(f"Image {row['name']}", row.get("parameters") or {})
        name = str(row["name"])
        image = replace(
            source,
            id=0,
            name=name,
            volume=name,
            kind="golden",
            parent=source.name,
            shared=shared,
            parameters=dict(source.parameters) | parameters,
        )
        size_mib = context.tx.volume(source.storage, source.volume).size_mib
        volume = Volume(0, name, source.storage, size_mib, source.volume)
        refuse_taken(context, volume)
        steps += clone_steps(context, context.storages[source.storage], volume)
        objects.append({"kind": "image", "name": name, "image": fields_of(image), "volume": fields_of(volume)})
    return Drawing(steps, tuple(objects))


# Versions


def _select_images(context: Context, arguments: Arguments) -> Selection:
    return Selection(tuple(context.tx.image(name).name for name in names_of(arguments, "images")))


def _draw_versions(context: Context, names: Sequence[str], _arguments: Arguments, _plan_id: int) -> Drawing:
    steps: list[Step] = []
    objects: list[Mapping[str, object]] = []
    for image in context.tx.images(list(names)):
        refuse_running(context, image, "snapshotted")
        number = _next(versions_of(context.tx, image))
        own = context.tx.volume(image.storage, image.volume)
        name = _volume_name(image, f".v{number}")
        volume = Volume(0, name, image.storage, own.size_mib, own.name, {VERSION_OF: image.name, NUMBER: number})
        refuse_taken(context, volume)
        steps.append(_copy(context, context.storages[image.storage], name, own.name))
        objects.append({"kind": "image", "name": image.name, "volume": fields_of(volume)})
    return Drawing(steps, tuple(objects))


def _commit_versions(context: Context, plan: Plan) -> None:
    made = {MADE: datetime.now(UTC).isoformat(timespec="seconds")}
    volumes = [_volume_of(item) for item in plan.objects if "volume" in item]
    context.tx.save([replace(volume, parameters=dict(volume.parameters) | made) for volume in volumes])
    for volume in volumes:
        text = f"Version {volume.parameters[NUMBER]} was made."
        context.tx.add_event("info", text, kind="image", name=str(volume.parameters[VERSION_OF]))


def _volume_of(item: Mapping[str, object]) -> Volume:
    fields = item["volume"]
    return Volume(id=0, **fields) if isinstance(fields, Mapping) else Volume(0, "", "")


# Going back


def _version(context: Context, arguments: Arguments) -> tuple[Image, Volume]:
    """The image and its version that are named. Raises: InvalidValueError, NotFoundError."""
    image = context.tx.image(check_name("Image", arguments.get("image")))
    number = check_number(f"Image {image.name}: version", arguments.get("version"), 1, 2**31 - 1)
    versions = {number_of(version): version for version in versions_of(context.tx, image)}
    if number not in versions:
        raise NotFoundError(f"Image {image.name}: version", str(number), [str(known) for known in sorted(versions)])
    return image, versions[number]


def _select_rollback(context: Context, arguments: Arguments) -> Selection:
    return Selection((_version(context, arguments)[0].name,))


def _draw_rollback(context: Context, _names: Sequence[str], arguments: Arguments, _plan_id: int) -> Drawing:
    image, version = _version(context, arguments)
    refuse_running(context, image, "taken back")
    number = _next(versions_of(context.tx, image))
    volume = Volume(0, _volume_name(image, f".r{number}"), image.storage, version.size_mib, version.name)
    refuse_taken(context, volume)
    steps = clone_steps(context, context.storages[image.storage], volume)
    item = {"kind": "image", "name": image.name, "volume": fields_of(volume), "version": number}
    return Drawing(steps, (item,))


def _commit_rollback(context: Context, plan: Plan) -> None:
    for item in plan.objects:
        image = context.tx.image(str(item["name"]))
        before = context.tx.volume(image.storage, image.volume)
        made = datetime.now(UTC).isoformat(timespec="seconds")
        kept = {VERSION_OF: image.name, NUMBER: item["version"], MADE: made}
        volume = _volume_of(item)
        context.tx.save([volume, replace(before, parameters=dict(before.parameters) | kept)])
        context.tx.save([replace(image, volume=volume.name)])
        text = f"It is as it was in {volume.parent}; what it was before is version {item['version']}."
        context.tx.add_event("info", text, kind="image", name=image.name)


# Size


def _select_sizes(context: Context, arguments: Arguments) -> Selection:
    names, unchanged = [], {}
    for row in rows_of(arguments, "images", SIZE_KEYS):
        image = context.tx.image(str(row["name"]))
        size_mib = check_size_mib(f"Image {image.name}: size_mib", row.get("size_mib"))
        own = context.tx.volume(image.storage, image.volume)
        if size_mib < own.size_mib:
            raise InvalidValueError(
                f"Image {image.name} has {own.size_mib} MiB and cannot shrink to {size_mib} MiB.",
                remedy="Make a smaller image and copy the files.",
            )
        if size_mib == own.size_mib:
            unchanged[image.name] = f"image {image.name} has {size_mib} MiB already"
        else:
            names.append(image.name)
    return Selection(tuple(names), unchanged)


def _draw_sizes(context: Context, names: Sequence[str], arguments: Arguments, _plan_id: int) -> Drawing:
    sizes = {str(row["name"]): row["size_mib"] for row in rows_of(arguments, "images", SIZE_KEYS)}
    steps: list[Step] = []
    objects: list[Mapping[str, object]] = []
    for image in context.tx.images(list(names)):
        refuse_running(context, image, "resized")
        root = context.root(image)
        backend = context.types.get("storage", root.storage.type)
        if "resize" not in backend.capabilities:
            raise OpenqrmError(
                f"Storage {root.storage.name} ({backend.name}) cannot resize volumes.",
                remedy="Keep the image on another storage.",
            )
        item = context.volume_item(root.storage, image.volume, root.presents, int(str(sizes[image.name])))
        steps.append(Step(CREATE, root.storage.host, backend.role, "volume_resize", item))
        objects.append({"kind": "image", "name": image.name, "size_mib": sizes[image.name]})
    return Drawing(steps, tuple(objects))


def _commit_sizes(context: Context, plan: Plan) -> None:
    for item in plan.objects:
        image = context.tx.image(str(item["name"]))
        volume = context.tx.volume(image.storage, image.volume)
        context.tx.save([replace(volume, size_mib=int(str(item["size_mib"])))])


# Name


def _select_rename(context: Context, arguments: Arguments) -> Selection:
    image, name = check_name("Image", arguments.get("image")), check_name("Image: to", arguments.get("to"))
    if not context.tx.images([image]) and context.tx.images([name]):
        return Selection((), {image: f"image {name} has that name already"})
    if context.tx.image(image).name != name and context.tx.images([name]):
        raise ConflictError(f"Image {name} exists already.", remedy="Choose another name.")
    return Selection((image,)) if image != name else Selection((), {image: f"image {image} has that name already"})


def _draw_rename(_context: Context, names: Sequence[str], arguments: Arguments, _plan_id: int) -> Drawing:
    return Drawing([], tuple({"kind": "image", "name": name, "to": arguments["to"]} for name in names))


def _commit_rename(context: Context, plan: Plan) -> None:
    """Everything that knows the image by its name follows; volumes keep theirs, because machines may run from them."""
    for item in plan.objects:
        image, name = context.tx.image(str(item["name"])), str(item["to"])
        versions = [
            replace(version, parameters=dict(version.parameters) | {VERSION_OF: name})
            for version in versions_of(context.tx, image)
        ]
        children = [replace(other, parent=name) for other in context.tx.images() if other.parent == image.name]
        context.tx.save([replace(image, name=name)])
        context.tx.save(versions)
        context.tx.save(children)
        old, new = f"image:{image.name}", f"image:{name}"
        scopes = {service: found for service, found in scopes_of(context.tx).items() if old in found}
        write_scopes(context.tx, {s: [new if scope == old else scope for scope in f] for s, f in scopes.items()})


VERBS = (
    Verb("image_clone", "image", _select_clones, _draw_clones, commit_new, undo_new, close_nothing),
    Verb("image_snapshot", "image", _select_images, _draw_versions, _commit_versions, undo_new, close_nothing),
    Verb("image_rollback", "image", _select_rollback, _draw_rollback, _commit_rollback, undo_new, close_nothing),
    Verb(
        "image_resize",
        "image",
        _select_sizes,
        _draw_sizes,
        _commit_sizes,
        None,
        close_nothing,
        "Run the command again.",
    ),
    Verb("image_rename", "image", _select_rename, _draw_rename, _commit_rename, None, close_nothing),
)
