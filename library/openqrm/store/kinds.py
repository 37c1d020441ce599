"""How objects of the model become rows of the store and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

import sqlalchemy as sa

from openqrm.model import Appliance, Image, Kernel, Requirements, Resource, Storage, Volume
from openqrm.store import schema

Object = Resource | Kernel | Storage | Volume | Image | Appliance
T = TypeVar("T", Resource, Kernel, Storage, Volume, Image, Appliance)
# What `save` leaves as it is in a row that exists: only `set_state` and `report` write it, maybe since it was read.
STATE_FIELDS = frozenset({"state", "deadline"})
REPORTED_FIELDS = frozenset({"boot_id", "kernel", "last_seen", "manifest", "mode", "reported_epoch", "stage"})


@dataclass(frozen=True)
class Kind(Generic[T]):
    """A kind of object: its class, its table, what it refers to (field -> kind), and the fields that `save` keeps."""

    name: str
    cls: type[T]
    table: sa.Table
    refers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    kept: frozenset[str] = STATE_FIELDS


RESOURCE = Kind("resource", Resource, schema.resources, kept=STATE_FIELDS | REPORTED_FIELDS)
KERNEL = Kind("kernel", Kernel, schema.kernels)
STORAGE = Kind("storage", Storage, schema.storages)
VOLUME = Kind("volume", Volume, schema.volumes, {"storage": "storage"})
IMAGE = Kind("image", Image, schema.images, {"volume": "volume"})
APPLIANCE = Kind("appliance", Appliance, schema.appliances, {"kernel": "kernel", "image": "image"})
# In the order in which they can be inserted.
KINDS: dict[str, Kind[Any]] = {kind.name: kind for kind in (RESOURCE, KERNEL, STORAGE, VOLUME, IMAGE, APPLIANCE)}
KIND_OF: dict[type, Kind[Any]] = {kind.cls: kind for kind in KINDS.values()}


def full_name(value: Object) -> str:
    """The object's name, unique in its kind: `storage/name` of a volume."""
    return f"{value.storage}/{value.name}" if isinstance(value, Volume) else value.name


def reference(value: Object, field: str) -> str:
    """The full name of the object to which a field refers."""
    return f"{value.storage}/{value.volume}" if isinstance(value, Image) else str(getattr(value, field))


def plain(value: Any) -> Any:
    """The value as JSON has it: dataclasses as mappings, sets as sorted lists, times as text."""
    if value is None or isinstance(value, (str, int, float)):
        return value
    if dataclasses.is_dataclass(value):
        return {item.name: plain(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted(plain(item) for item in value)
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value.isoformat() if isinstance(value, datetime) else value


def columns(value: Object) -> dict[str, Any]:
    """The row of an object's own table, without its id."""
    row = {item.name: _column(getattr(value, item.name)) for item in dataclasses.fields(value)}
    del row["id"]
    if isinstance(value, Resource):
        del row["nics"], row["tags"]
        row["nic_count"] = len(value.nics)
    return row


def _column(value: Any) -> Any:
    return plain(value) if isinstance(value, (Mapping, Requirements)) else value


def requirements(row: Mapping[str, Any]) -> Requirements:
    """The requirements of an appliance from their stored form."""
    return Requirements(**{**row, "tags": frozenset(row["tags"])})


def changes(old: Object, new: Object) -> tuple[dict[str, Any], dict[str, Any]]:
    """What differs between two versions of an object, before and after, as JSON; what `save` keeps is left out."""
    before, after = plain(old), plain(new)
    kept = KIND_OF[type(new)].kept | {"id"}
    names = [name for name in before if before[name] != after[name] and name not in kept]
    return {name: before[name] for name in names}, {name: after[name] for name in names}


def distinct(names: Iterable[str]) -> list[str]:
    """The names, each once, sorted: the order in which rows are locked."""
    return sorted(set(names))
