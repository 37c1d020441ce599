"""Copies of running systems as plans: a new volume, and the files of the system in it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from openqrm.errors import ConflictError, InvalidValueError
from openqrm.names import check_number, check_path
from openqrm.planning.context import Context
from openqrm.planning.images import (
    IMAGE_KEYS,
    close_nothing,
    commit_new,
    create_steps,
    fields_of,
    new_image,
    prepare_steps,
    rows_of,
)
from openqrm.planning.operations import Step, role_of
from openqrm.planning.sources import SOURCES
from openqrm.planning.verbs import Arguments, Drawing, Selection, Verb
from openqrm.shelf.signature import check_key

COPY = 25
SOURCE_KEYS = ("host", "user", "port", "identity", "host_keys", "mounts", "excludes")
GRAB_KEYS = tuple(key for key in IMAGE_KEYS if key not in SOURCES) + SOURCE_KEYS
USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.:-]{0,252}[A-Za-z0-9])?")
PATTERN = re.compile(r"/[A-Za-z0-9._+@*?\[\]/-]+")


def _select(context: Context, arguments: Arguments) -> Selection:
    rows = rows_of(arguments, "images", GRAB_KEYS)
    there = {image.name: image for image in context.tx.images([str(row["name"]) for row in rows])}
    for row in rows:
        found = there.get(str(row["name"]))
        if found and found.storage != row.get("storage"):
            raise ConflictError(
                f"Image {found.name} exists already, on storage {found.storage}.", remedy="Choose another name."
            )
    unchanged = {name: f"image {name} exists already" for name in sorted(there)}
    return Selection(tuple(str(row["name"]) for row in rows if row["name"] not in there), unchanged)


def _draw(context: Context, names: Sequence[str], arguments: Arguments, _plan_id: int) -> Drawing:
    steps: list[Step] = []
    objects: list[Mapping[str, object]] = []
    for row in rows_of(arguments, "images", GRAB_KEYS):
        if row["name"] not in names:
            continue
        image, volume, presents = new_image(context, row)
        storage = context.storages[image.storage]
        place = {"name": image.name, "path": context.root(image).volume_path, "presents": presents}
        steps += prepare_steps(context, image, storage)
        steps += create_steps(context, storage, volume, presents)
        steps.append(Step(COPY, storage.host, role_of("image_grab"), "copy", place | _source(row)))
        objects.append({"kind": "image", "name": image.name, "image": fields_of(image), "volume": fields_of(volume)})
    return Drawing(steps, tuple(objects))


def _source(row: Mapping[str, object]) -> dict[str, object]:
    """Where the running system is and what of it is copied. Raises: InvalidValueError."""
    what = f"Image {row['name']}"
    source: dict[str, object] = {
        "host": _matching(f"{what}: host", HOST, row.get("host"), "Use a name or an address."),
        "user": _matching(f"{what}: user", USER, row.get("user") or "root", "Use a plain user name."),
        "port": check_number(f"{what}: port", row.get("port") or 22, 1, 65535),
    }
    if row.get("identity"):
        source["identity"] = check_path(f"{what}: identity", row["identity"])
    lists: dict[str, Callable[[object], str]] = {
        "host_keys": lambda value: check_key(f"{what}: host key", value),
        "mounts": lambda value: check_path(f"{what}: mount", value),
        "excludes": lambda value: _matching(
            f"{what}: exclude", PATTERN, value, "Use a pattern that begins with /, of letters, digits and '._+@*?[]/-'."
        ),
    }
    for key, checked in lists.items():
        values = row.get(key) or []
        if not isinstance(values, list):
            raise InvalidValueError(f"{what}: {key} {values!r} is not a list.", remedy="Give a list.")
        source[key] = [checked(value) for value in values]
    return {key: value for key, value in source.items() if value != []}


def _matching(what: str, pattern: re.Pattern[str], value: object, rule: str) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value) or ".." in value.split("/"):
        shown = repr(value) if len(repr(value)) <= 80 else f"{repr(value)[:77]}..."
        raise InvalidValueError(f"{what} {shown} is not valid.", remedy=rule)
    return value


KEPT = "What was copied stays in the volume; run the same command again to go on with it."
VERBS = (Verb("image_grab", "image", _select, _draw, commit_new, None, close_nothing, KEPT),)
