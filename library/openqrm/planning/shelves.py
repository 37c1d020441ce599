"""Shelves as plans: which are known, and templates of theirs that become archives on the controller."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from openqrm.errors import InvalidValueError, NotFoundError
from openqrm.model import Plan
from openqrm.names import check_name, check_path, check_url, check_version
from openqrm.planning.context import CONTROLLER, Context
from openqrm.planning.images import IMAGE_KEYS, new_image, rows_of
from openqrm.planning.kernels import require_authority
from openqrm.planning.operations import Step, role_of
from openqrm.planning.verbs import Arguments, Drawing, Selection, Verb, names_of
from openqrm.shelf.reading import Shelf
from openqrm.shelf.signature import check_key
from openqrm.store import Reader

SETTING = "shelves"
SHELF_KEYS = ("name", "url", "keys", "unsigned")
FETCH = 10


def known_shelves(reader: Reader) -> dict[str, Shelf]:
    """The shelves that were added, by name."""
    rows: Mapping[str, Mapping[str, Any]] = reader.setting(SETTING, {})
    return {
        name: Shelf(name, row["url"], tuple(row["keys"]), bool(row["unsigned"])) for name, row in sorted(rows.items())
    }


def shelf_of(reader: Reader, name: str) -> Shelf:
    """The shelf of this name. Raises: NotFoundError."""
    known = known_shelves(reader)
    if name not in known:
        raise NotFoundError("Shelf", name, known)
    return known[name]


def _checked(row: Mapping[str, object]) -> dict[str, object]:
    """What is kept of a shelf. Raises: InvalidValueError."""
    what = f"Shelf {check_name('Shelf', row.get('name'))}"
    url = row.get("url")
    place = (
        check_path(f"{what}: url", url) if str(url).startswith("/") else check_url(f"{what}: url", url, "https", "http")
    )
    keys = row.get("keys") or []
    if not isinstance(keys, list):
        raise InvalidValueError(f"{what}: keys {keys!r} is not a list.", remedy="Give a list of public SSH keys.")
    unsigned = bool(row.get("unsigned"))
    if unsigned == bool(keys):
        raise InvalidValueError(
            f"{what}: {'keys are given, and that it is unsigned' if unsigned else 'no key is given'}.",
            remedy="Give the publisher's public keys, or say that what it offers is to be taken unsigned.",
        )
    return {"url": place, "keys": [check_key(what, key) for key in keys], "unsigned": unsigned}


def _select_add(context: Context, arguments: Arguments) -> Selection:
    known = context.tx.setting(SETTING, {})
    rows = {str(row["name"]): _checked(row) for row in rows_of(arguments, "shelves", SHELF_KEYS)}
    unchanged = {name: f"shelf {name} is there already" for name, row in rows.items() if known.get(name) == row}
    return Selection(tuple(name for name in rows if name not in unchanged), unchanged)


def _draw_add(_context: Context, names: Sequence[str], arguments: Arguments, _plan_id: int) -> Drawing:
    rows = [row for row in rows_of(arguments, "shelves", SHELF_KEYS) if row["name"] in names]
    return Drawing([], tuple({"kind": "shelf", "name": row["name"], "shelf": _checked(row)} for row in rows))


def _commit_add(context: Context, plan: Plan) -> None:
    new = {str(item["name"]): item["shelf"] for item in plan.objects if "shelf" in item}
    context.tx.set_setting(SETTING, context.tx.setting(SETTING, {}) | new)


def _select_remove(context: Context, arguments: Arguments) -> Selection:
    names, known = names_of(arguments, "shelves"), known_shelves(context.tx)
    unchanged = {name: f"shelf {name} does not exist" for name in names if name not in known}
    return Selection(tuple(name for name in names if name in known), unchanged)


def _draw_remove(_context: Context, names: Sequence[str], _arguments: Arguments, _plan_id: int) -> Drawing:
    return Drawing([], tuple({"kind": "shelf", "name": name} for name in names))


def _commit_remove(context: Context, plan: Plan) -> None:
    gone = {str(item["name"]) for item in plan.objects}
    left = {name: row for name, row in context.tx.setting(SETTING, {}).items() if name not in gone}
    context.tx.set_setting(SETTING, left)


def _select_fetch(context: Context, arguments: Arguments) -> Selection:
    """The images that are not there yet; those that are need no template."""
    rows = _rows(arguments)
    _check_kernels(context, rows)
    there = {image.name for image in context.tx.images([str(row["name"]) for row in rows])}
    unchanged = {name: f"image {name} exists already" for name in sorted(there)}
    return Selection(tuple(str(row["name"]) for row in rows if row["name"] not in there), unchanged)


def _rows(arguments: Arguments) -> list[Mapping[str, object]]:
    return rows_of(arguments, "images", ("template", "architecture", "kernel", "kernel_version", *IMAGE_KEYS))


def _check_kernels(context: Context, rows: Sequence[Mapping[str, object]]) -> None:
    """Returns if the kernels that are to be added with images can be. Raises: InvalidValueError, ConfigError."""
    seen = set()
    for row in rows:
        what, version = f"Image {row['name']}: kernel", row.get("kernel_version")
        if version:
            check_version(f"{what}_version", version)
        if "kernel" in row:
            name = check_name(what, row["kernel"])
            if name in seen:
                raise InvalidValueError(f"{what} {name} is in the list twice.", remedy="Name each kernel once.")
            seen.add(name)
            require_authority(context)
        elif version:
            raise InvalidValueError(f"{what}_version is given without kernel.", remedy="Name the kernel that is added.")


def _draw_fetch(context: Context, names: Sequence[str], arguments: Arguments, _plan_id: int) -> Drawing:
    steps = [
        Step(FETCH, CONTROLLER, role_of("image_shelf"), "fetch", _item(context, row))
        for row in _rows(arguments)
        if row["name"] in names
    ]
    return Drawing(steps, tuple({"kind": "image", "name": name} for name in names))


def _item(context: Context, row: Mapping[str, object]) -> dict[str, object]:
    what = f"Image {row['name']}: template"
    new_image(context, row)  # what cannot be is refused before anything is fetched
    place, _, version = str(row.get("template", "")).partition(":")
    shelf_name, separator, template = place.partition("/")
    if not separator:
        raise InvalidValueError(f"{what} {place!r} names no shelf.", remedy="Give it as SHELF/TEMPLATE[:VERSION].")
    shelf = shelf_of(context.tx, check_name("Shelf", shelf_name))
    return {
        "name": row["name"],
        "shelf": shelf.name,
        "url": shelf.url,
        "keys": list(shelf.keys),
        "unsigned": shelf.unsigned,
        "template": check_name(what, template),
        "version": check_version(f"{what}: version", version) if version else "",
        "architecture": check_version(f"{what}: architecture", row.get("architecture") or platform.machine()),
        "directory": str(Path(context.config.cache_dir, "archives")),
    }


def _commit_fetch(_context: Context, _plan: Plan) -> None:
    """What was fetched is in the cache; image_create uses it."""


def _close(_context: Context, _plan: Plan, _undone: bool) -> None:
    """Nothing was recorded before the commit."""


AGAIN = "Run the command again to go on with it."
VERBS = (
    Verb("shelf_add", "shelf", _select_add, _draw_add, _commit_add, None, _close),
    Verb("shelf_remove", "shelf", _select_remove, _draw_remove, _commit_remove, None, _close),
    Verb("shelf_fetch", "image", _select_fetch, _draw_fetch, _commit_fetch, None, _close, AGAIN),
)
