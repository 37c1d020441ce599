"""How full storage servers are, as they were last asked: what to ask of whom, and the events that follow.

A storage is at a level: `ok`, `warning` or `error` (how full it is, by its parameters), or `unknown`, where it could
not be asked. An event tells of each change of the level, once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from openqrm.datacenter import Datacenter
from openqrm.model import Storage
from openqrm.names import check_name
from openqrm.storagesettings import StorageSettings, storage_settings
from openqrm.store import Reader

# What was last seen of each storage, by name: fields of Space. Not a setting that anybody makes, so without audit.
KEY = "storage_spaces"
OK, WARNING, ERROR, UNKNOWN = LEVELS = ("ok", "warning", "error", "unknown")
# So far below a level the space must fall to have left it: what hovers at a level makes no event at every look.
SETTLED_PERCENT = 2.0


@dataclass(frozen=True)
class Space:
    """What was last seen of a storage. `id`: of the storage; `what`: what has the room, as `thin pool vg0/pool0`;
    `used_percent` may be more than the sizes say (a pool's metadata). `message`: why it is `unknown`, else empty."""

    id: int
    level: str
    checked: str
    what: str = ""
    total_mib: int = 0
    used_mib: int = 0
    free_mib: int = 0
    used_percent: float = 0.0
    message: str = ""


def spaces(reader: Reader, storages: Sequence[Storage]) -> dict[str, Space]:
    """What was last seen of these storages, by name; nothing of those that were never asked."""
    known: Mapping[str, Mapping[str, Any]] = reader.setting(KEY, {})
    found = {storage.name: Space(**known[storage.name]) for storage in storages if storage.name in known}
    return {storage.name: found[storage.name] for storage in storages if _is_of(storage, found.get(storage.name))}


def _is_of(storage: Storage, space: Space | None) -> bool:
    """Whether it was seen of this storage, not of one that had the name before."""
    return space is not None and space.id == storage.id


def calls(center: Datacenter, names: Sequence[str]) -> list[dict[str, Any]]:
    """Whom to ask for what: `host`, `role`, `locations`; one for each host and type. No names: of all storages.

    Raises: NotFoundError.
    """
    with center.store.read() as tx:
        chosen = [tx.storage(check_name("Storage", name)) for name in names] if names else tx.storages()
    grouped: dict[tuple[str, str], list[Storage]] = {}
    for storage in chosen:
        grouped.setdefault((storage.host, storage.type), []).append(storage)
    return [
        {
            "host": host,
            "role": center.types.get("storage", kind).role,
            "locations": [{"location": location} for location in dict.fromkeys(s.location for s in group)],
            "storages": [storage.name for storage in group],
        }
        for (host, kind), group in grouped.items()
    ]


def record(center: Datacenter, asked: Sequence[Mapping[str, Any]], actor: str) -> list[dict[str, Any]]:
    """Stores what the hosts answered, and an event for each storage whose level is another than before.

    `asked`: the calls, each with `items` (what the verb returned) or `problem` (why there are none). Returns `name`,
    `before` (the level) and the fields of Space of each storage, by name.
    """
    with center.store.write(actor, "storage check") as tx:
        tx.lock(KEY)
        by_name = {storage.name: storage for storage in tx.storages()}
        before = spaces(tx, list(by_name.values()))
        now = dict(before)
        for call in asked:
            for storage in (by_name[name] for name in call["storages"] if name in by_name):
                now[storage.name] = _space(storage, call, before.get(storage.name))
        told = sorted({name for call in asked for name in call["storages"]} & now.keys())
        rows = [{"name": n, "before": before[n].level if n in before else OK, **asdict(now[n])} for n in told]
        for row in (row for row in rows if row["level"] != row["before"]):
            storage = by_name[row["name"]]
            severity, message = _event(storage, now[storage.name])
            tx.add_event(severity, message, "storage", storage.name, asdict(now[storage.name]))
        tx.observe(KEY, {name: asdict(space) for name, space in now.items()})
    return rows


def _space(storage: Storage, call: Mapping[str, Any], before: Space | None) -> Space:
    checked = f"{datetime.now(UTC):%FT%TZ}"
    items: Sequence[Mapping[str, Any]] = call.get("items") or ()
    found = next((item for item in items if item["location"] == storage.location), {})
    problem = call.get("problem") or found.get("problem") or ("" if found else "the server says nothing of it")
    if problem:
        return Space(storage.id, UNKNOWN, checked, message=str(problem))
    percent = float(found["used_percent"])
    total_mib, used_mib, free_mib = (int(found[key]) for key in ("total_mib", "used_mib", "free_mib"))
    level = _level(storage_settings(f"Storage {storage.name}", storage.parameters), percent, before)
    return Space(storage.id, level, checked, str(found["what"]), total_mib, used_mib, free_mib, percent)


def _level(settings: StorageSettings, percent: float, before: Space | None) -> str:
    """The level of a storage that is so full; one that it was at before is left SETTLED_PERCENT below it."""
    left = before.level if before else OK
    for level, limit in ((ERROR, settings.space_error_percent), (WARNING, settings.space_warning_percent)):
        stays = left in (ERROR, level)
        if percent >= limit - (SETTLED_PERCENT if stays else 0.0):
            return level
    return OK


def _event(storage: Storage, space: Space) -> tuple[str, str]:
    """Severity and message of the event that tells of a storage's new level."""
    if space.level == UNKNOWN:
        return "error", f"Its space cannot be read: {space.message}"
    full = f"{space.what} is {space.used_percent:.0f} % full, {space.free_mib} of {space.total_mib} MiB are free"
    if space.level == OK:
        return "info", f"Back to normal: {full}."
    settings = storage_settings(f"Storage {storage.name}", storage.parameters)
    limit = settings.space_error_percent if space.level == ERROR else settings.space_warning_percent
    severity = "error" if space.level == ERROR else "warning"
    return severity, f"Space is short: {full}; the level is {limit} %. Remove volumes or add room."
