"""Adding, changing and removing objects, and their states."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from openqrm.errors import InUseError, InvalidValueError, NotFoundError
from openqrm.model import Resource, Volume
from openqrm.states import check_transition
from openqrm.store import refusals, schema
from openqrm.store.identity_writer import IdentityWriter
from openqrm.store.kinds import (
    KIND_OF,
    KINDS,
    Kind,
    Object,
    T,
    changes,
    columns,
    distinct,
    full_name,
    plain,
)

# What `report` may write: what a machine tells of itself.
OBSERVED = frozenset(
    {
        "address",
        "arch",
        "boot_id",
        "cores",
        "disk_mib",
        "firmware",
        "hardware",
        "kernel",
        "last_seen",
        "manifest",
        "memory_mib",
        "mode",
        "reported_epoch",
        "stage",
    }
)
STATEFUL = {"resource": schema.resources, "appliance": schema.appliances}
AT_REST = ("stopped", "failed")


class ObjectWriter(IdentityWriter):
    """Objects: `save`, `remove`, `set_state`, `report`."""

    def save(self, values: Sequence[T]) -> list[T]:
        """The objects as stored. Id 0 adds one; any other changes the fields of that object: all but its state, its
        deadline, and what only heartbeats tell of a resource.

        Raises: ConflictError for a name, MAC or storage address that is taken; NotFoundError for an id that is gone
        or a reference to nothing.
        """
        saved: dict[int, Any] = {}
        with self._atomic():
            for kind in KINDS.values():
                chosen = {index: value for index, value in enumerate(values) if KIND_OF[type(value)] is kind}
                if chosen:
                    saved |= zip(chosen, self._save(kind, list(chosen.values())), strict=True)
        return [saved[index] for index in range(len(values))]

    def remove(self, kind: str, names: Iterable[str]) -> None:
        """Removes the objects; a volume is named `storage/name`.

        Raises: NotFoundError; InUseError that says by whom.
        """
        wanted, table = distinct(names), KINDS[kind].table
        found = {full_name(value): value for value in self.named(kind, wanted)}
        self._require(kind, wanted, found)
        self._refuse_removal(kind, list(found.values()))
        with self._explained(lambda: refusals.refused_removal(self, kind, wanted)):
            ids = [value.id for value in found.values()]
            self._connection.execute(sa.delete(table).where(self._among(table.c.id, ids)))
        for name, value in found.items():
            self._audit("remove", kind, name, plain(value), {})

    def set_state(
        self, kind: str, names: Sequence[str], new: str, deadline: datetime | None = None
    ) -> list[tuple[str, str]]:
        """Gives the objects a state and its deadline; returns (name, old state) of each, sorted by name.

        Raises: StateError when one of the transitions is not allowed, NotFoundError; nothing is changed then.
        """
        table, wanted = STATEFUL[kind], distinct(names)
        query = sa.select(table.c.name, table.c.state).where(self._among(table.c.name, wanted)).order_by(table.c.name)
        # key_share: rows that others are just about to refer to are no obstacle, and no deadlock.
        old = {row[0]: row[1] for row in self._connection.execute(query.with_for_update(key_share=True))}
        self._require(kind, wanted, old)
        for name in wanted:
            check_transition(kind, name, old[name], new)
        update = sa.update(table).where(self._among(table.c.name, wanted))
        self._connection.execute(update.values(state=new, deadline=deadline))
        for name in wanted:
            if old[name] != new:
                self._audit("state", kind, name, {"state": old[name]}, {"state": new})
        return [(name, old[name]) for name in wanted]

    def report(self, resource: str, **fields: Any) -> None:
        """Stores what a machine tells of itself (`OBSERVED`). Heartbeats come here, so it leaves no audit row.

        Raises: InvalidValueError for any other field; NotFoundError.
        """
        self._set(resource, _observed(fields))

    def report_all(self, reports: Mapping[str, Mapping[str, Any]]) -> None:
        """As `report`, for many: resource -> its fields. Raises: InvalidValueError; NotFoundError."""
        table = schema.resources
        known = self._connection.scalars(sa.select(table.c.name).where(self._among(table.c.name, reports)))
        self._require("resource", reports, dict.fromkeys(known))
        alike: dict[tuple[str, ...], list[dict[str, Any]]] = {}
        for name, fields in reports.items():
            alike.setdefault(tuple(sorted(fields)), []).append({"row_name": name, **_observed(fields)})
        for rows in alike.values():
            self._connection.execute(sa.update(table).where(table.c.name == sa.bindparam("row_name")), rows)

    def _set(self, resource: str, fields: Mapping[str, Any]) -> None:
        update = sa.update(schema.resources).where(schema.resources.c.name == resource).values(**fields)
        if not self._connection.execute(update).rowcount:
            raise NotFoundError("resource", resource, self.names("resource"))

    def _require(self, kind: str, wanted: Iterable[str], found: Mapping[str, object]) -> None:
        for name in wanted:
            if name not in found:
                raise NotFoundError(kind, name, self.names(kind))

    def _refuse_removal(self, kind: str, values: Sequence[Any]) -> None:
        for value in values if kind == "appliance" else ():
            if value.state not in AT_REST:
                remedy = f"Run `openqrm appliance stop {value.name}` first."
                raise InUseError(f"Appliance {value.name} is {value.state}.", remedy=remedy)
        refusal = refusals.refused_removal(self, kind, [full_name(value) for value in values])
        if refusal:
            raise refusal

    def _save(self, kind: Kind[T], values: list[T]) -> list[T]:
        refusals.refuse_twins(kind.name, values)
        with self._explained(lambda: refusals.refused_save(self, kind, values)):
            old = self._update(kind, [value for value in values if value.id])
            ids = self._add(kind, [value for value in values if not value.id])
        return [
            _kept_state(value, old[value.id]) if value.id else dataclasses.replace(value, id=ids[full_name(value)])
            for value in values
        ]

    def _add(self, kind: Kind[T], values: list[T]) -> dict[str, int]:
        """Inserts the objects; their ids by full name."""
        if not values:
            return {}
        keys = [kind.table.c.storage, kind.table.c.name] if kind.cls is Volume else [kind.table.c.name]
        insert = sa.insert(kind.table).returning(kind.table.c.id, *keys)
        added = self._connection.execute(insert, [columns(value) for value in values])
        ids = {"/".join(row[1:]): row[0] for row in added}
        self._write_parts([value for value in values if isinstance(value, Resource)])
        for value in values:
            name = full_name(value)
            self._audit("add", kind.name, name, {}, {**plain(value), "id": ids[name]})
        return ids

    def _update(self, kind: Kind[T], values: list[T]) -> dict[int, T]:
        """Writes the objects that differ from what is stored; returns what was stored, by id."""
        old = self._locked(kind, [value.id for value in values]) if values else {}
        for value in values:
            if value.id not in old:
                raise NotFoundError(kind.name, full_name(value), self.names(kind.name))
        differing = [value for value in values if changes(old[value.id], value)[0]]
        self._write_columns(kind, differing)
        self._write_parts([value for value in differing if isinstance(value, Resource)])
        for value in differing:
            self._rename_parent(kind, old[value.id], value)
            self._audit("change", kind.name, full_name(value), *changes(old[value.id], value))
        return old

    def _locked(self, kind: Kind[T], ids: Iterable[int]) -> dict[int, T]:
        table = kind.table
        query = (
            sa.select(table).where(self._among(table.c.id, ids)).order_by(table.c.id).with_for_update(key_share=True)
        )
        names = [f"{row['storage']}/{row['name']}" if kind.cls is Volume else row["name"] for row in self._rows(query)]
        return {value.id: value for value in self.named(kind.name, names)}

    def _write_columns(self, kind: Kind[T], values: list[T]) -> None:
        if not values:
            return
        rows = [columns(value) for value in values]
        names = [name for name in rows[0] if name not in kind.kept]
        update = sa.update(kind.table).where(kind.table.c.id == sa.bindparam("row_id"))
        ids = [{"row_id": value.id} for value in values]
        written = [key | {name: row[name] for name in names} for key, row in zip(ids, rows, strict=True)]
        self._connection.execute(update, written)

    def _write_parts(self, resources: Sequence[Resource]) -> None:
        """Replaces the NICs and tags of the resources."""
        names = [resource.name for resource in resources]
        for table in (schema.nics, schema.resource_tags) if names else ():
            self._connection.execute(sa.delete(table).where(self._among(table.c.resource, names)))
        self._insert(
            schema.nics,
            [
                {"resource": resource.name, "position": position, **plain(nic)}
                for resource in resources
                for position, nic in enumerate(resource.nics)
            ],
        )
        self._insert(
            schema.resource_tags,
            [{"resource": resource.name, "tag": tag} for resource in resources for tag in sorted(resource.tags)],
        )

    def _rename_parent(self, kind: Kind[T], old: Object, new: Object) -> None:
        """Clones of a renamed volume or image follow it; everything else follows by the foreign keys."""
        if old.name == new.name or "parent" not in kind.table.c:
            return
        where = [kind.table.c.parent == old.name]
        if isinstance(new, Volume):
            where.append(kind.table.c.storage == new.storage)
        self._connection.execute(sa.update(kind.table).where(*where).values(parent=new.name))


def _observed(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a report as columns. Raises: InvalidValueError."""
    unknown = sorted(fields.keys() - OBSERVED)
    if unknown:
        known = ", ".join(sorted(OBSERVED))
        raise InvalidValueError(f"{unknown[0]} is not observed.", remedy=f"Observed: {known}.")
    return {name: plain(value) if name == "hardware" else value for name, value in fields.items()}


def _kept_state(value: T, stored: T) -> T:
    """The value with those fields as they are stored that `save` leaves alone."""
    kept = {name: getattr(stored, name) for name in KIND_OF[type(value)].kept if hasattr(stored, name)}
    return dataclasses.replace(value, **kept)
