"""Desired state: objects as a user describes them, compared with those in the store, and written in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from openqrm.desired.compare import KINDS, Change, compare, names_of
from openqrm.desired.fields import Entry, Object, boolean
from openqrm.desired.references import Types, World, check_absent, check_present
from openqrm.desired.views import view
from openqrm.model import Image, Volume
from openqrm.storageservers import described
from openqrm.store import Reader, Writer

__all__ = ["KINDS", "Change", "absent", "apply", "boolean", "find", "present", "view"]

DEFAULT_KERNEL = "default_kernel"


def find(reader: Reader, kind: str, names: Sequence[str] | None = None) -> list[Object]:
    """The objects of a kind, of these names or all; names that do not exist are left out."""
    readers: dict[str, Callable[[Sequence[str] | None], Sequence[Object]]] = {
        "resource": reader.resources,
        "kernel": reader.kernels,
        "storage": reader.storages,
        "image": reader.images,
        "appliance": reader.appliances,
    }
    return list(readers[kind](names))


def present(reader: Reader, types: Types, kind: str, entries: Sequence[Entry]) -> list[Change]:
    """What it takes that the objects are as described: one change per entry, in their order. Nothing is written.

    `types` gives the types, if it is asked.

    Raises: InvalidValueError, NotFoundError, ConflictError, InUseError, each naming object, value and remedy.
    """
    existing = {item.name: item for item in find(reader, kind, names_of(kind, entries))}
    if kind == "storage":
        entries = [described(reader, entry) for entry in entries]
    changes = compare(KINDS[kind], entries, existing, reader.setting(DEFAULT_KERNEL))
    check_present(World(reader, types, changes))
    return changes


def absent(reader: Reader, types: Types, kind: str, entries: Sequence[Entry]) -> list[Change]:
    """What it takes that the named objects do not exist. Only names count. Raises: InvalidValueError, InUseError."""
    names = names_of(kind, entries)
    existing = {item.name: item for item in find(reader, kind, names)}
    changes = [Change(kind, name, existing.get(name), None) for name in names]
    check_absent(World(reader, types, changes))
    return changes


def apply(writer: Writer, changes: Sequence[Change]) -> None:
    """Writes the changes. An image brings the record of its volume with it and takes it away again.

    Raises: ConflictError where another transaction was first.
    """
    changed = [change for change in changes if change.changed]
    saved: list[Any] = [change.after for change in changed if change.after is not None]
    writer.save(_new_volumes(writer, saved))
    writer.save(saved)
    _remove(writer, [change for change in changed if change.after is None])
    for change in changed:
        if change.default:
            writer.set_setting(DEFAULT_KERNEL, change.name)


def _remove(writer: Writer, changes: Sequence[Change]) -> None:
    for kind in sorted({change.kind for change in changes}):
        writer.remove(kind, [change.name for change in changes if change.kind == kind])
    gone = [change.before for change in changes if isinstance(change.before, Image)]
    if gone:
        writer.remove("volume", [f"{item.storage}/{item.volume}" for item in gone])


def _new_volumes(reader: Reader, items: Sequence[Object]) -> list[Volume]:
    """The volumes of the images that are not recorded yet."""
    wanted = {(item.storage, item.volume) for item in items if isinstance(item, Image)}
    known = {(item.storage, item.name) for storage in {key[0] for key in wanted} for item in reader.volumes(storage)}
    return [Volume(0, name, storage) for storage, name in sorted(wanted - known)]
