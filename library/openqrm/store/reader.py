"""Reading the objects of a data centre: two or three queries per kind, whatever their number."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, TypeVar

import sqlalchemy as sa

from openqrm.errors import InvalidValueError, NotFoundError
from openqrm.model import (
    UNHEARD_MODES,
    Appliance,
    Assignment,
    Image,
    Kernel,
    Nic,
    Requirements,
    Resource,
    Storage,
    Volume,
)
from openqrm.store import schema
from openqrm.store.access import Rows
from openqrm.store.identity import IdentityReader
from openqrm.store.journal import JournalReader
from openqrm.store.kinds import KINDS, full_name, requirements

T = TypeVar("T")
Names = Iterable[str] | None

# What `count` counts: kind -> table and the column whose values are counted.
COUNTED: dict[str, tuple[sa.Table, str]] = {
    "resource": (schema.resources, "state"),
    "appliance": (schema.appliances, "state"),
    "image": (schema.images, "kind"),
    "volume": (schema.volumes, "storage"),
    "storage": (schema.storages, "type"),
    "kernel": (schema.kernels, "arch"),
    "plan": (schema.plans, "state"),
    "order": (schema.orders, "state"),
    "event": (schema.events, "severity"),
    "assignment": (schema.assignments, "appliance"),
}

_MEMBER = ("appliance {} member {}", (schema.assignments.c.appliance, schema.assignments.c.member))
# Who uses an object of a kind: how the user is named, from which columns, and the columns that refer to the object.
USERS: dict[str, tuple[tuple[str, tuple[sa.Column[Any], ...], tuple[str, ...]], ...]] = {
    "resource": ((*_MEMBER, ("resource",)),),
    "kernel": (("appliance {}", (schema.appliances.c.name,), ("kernel",)),),
    "storage": (("volume {}/{}", (schema.volumes.c.storage, schema.volumes.c.name), ("storage",)),),
    "volume": (("image {}", (schema.images.c.name,), ("storage", "volume")),),
    "image": (("appliance {}", (schema.appliances.c.name,), ("image",)), (*_MEMBER, ("image",))),
    "appliance": ((*_MEMBER, ("appliance",)),),
}


def _fields(table: sa.Table, *hidden: str) -> list[sa.Column[Any]]:
    return [column for column in table.c if column.name not in hidden]


RESOURCE_FIELDS = _fields(schema.resources, "nic_count", "token_sha256")
ASSIGNMENT_FIELDS = _fields(schema.assignments, "shared", "since")


class ObjectReader(IdentityReader):
    """Resources, kernels, storages, volumes, images, appliances and assignments. Lists are sorted by name."""

    def resources(
        self, names: Names = None, states: Names = None, macs: Names = None, storage_addresses: Names = None
    ) -> list[Resource]:
        """The resources that pass all filters given; names that do not exist are left out.

        `storage_addresses` are those of storage NICs, with prefix length.
        """
        table, nics = schema.resources, schema.nics
        where = self._chosen((table.c.name, names), (table.c.state, states))
        for column, values in ((nics.c.mac, macs), (nics.c.address, storage_addresses)):
            if values is not None:
                role = [nics.c.role == "storage", column != ""] if column is nics.c.address else []
                where.append(table.c.name.in_(sa.select(nics.c.resource).where(self._among(column, values), *role)))
        return self._resources(where, [table.c.name], everything=not where)

    def resource(self, name: str) -> Resource:
        """The resource. Raises: NotFoundError."""
        return self._one("resource", name, self.resources([name]))

    def resource_by_mac(self, mac: str) -> Resource | None:
        """The resource that has a NIC with this MAC."""
        return next(iter(self.resources(macs=[mac])), None)

    def resource_by_token(self, token_sha256: str) -> Resource | None:
        """The resource whose token has this SHA-256: its current one, or for a short time the one before."""
        found = next(iter(self._resources([schema.resources.c.token_sha256 == token_sha256], [])), None)
        if found is not None:
            return found
        holder = self.previous_holder(token_sha256)
        return None if holder is None else self.resource(holder)

    def kernels(self, names: Names = None) -> list[Kernel]:
        """The kernels, of these names if given."""
        return [Kernel(**row) for row in self._objects(schema.kernels, self._chosen((schema.kernels.c.name, names)))]

    def kernel(self, name: str) -> Kernel:
        """The kernel. Raises: NotFoundError."""
        return self._one("kernel", name, self.kernels([name]))

    def storages(self, names: Names = None) -> list[Storage]:
        """The storages, of these names if given."""
        return [Storage(**row) for row in self._objects(schema.storages, self._chosen((schema.storages.c.name, names)))]

    def storage(self, name: str) -> Storage:
        """The storage. Raises: NotFoundError."""
        return self._one("storage", name, self.storages([name]))

    def volumes(self, storage: str | None = None, names: Names = None) -> list[Volume]:
        """The volumes, of this storage and these names if given; sorted by storage and name."""
        return self._volumes(None if storage is None else [storage], names)

    def volume(self, storage: str, name: str) -> Volume:
        """The volume. Raises: NotFoundError, also for the storage."""
        found = self.volumes(storage, [name])
        if not found:
            self.storage(storage)
        return self._one("volume", f"{storage}/{name}", found)

    def images(self, names: Names = None) -> list[Image]:
        """The images, of these names if given."""
        return [Image(**row) for row in self._objects(schema.images, self._chosen((schema.images.c.name, names)))]

    def image(self, name: str) -> Image:
        """The image. Raises: NotFoundError."""
        return self._one("image", name, self.images([name]))

    def appliances(self, names: Names = None, states: Names = None) -> list[Appliance]:
        """The appliances that pass all filters given."""
        table = schema.appliances
        rows = self._objects(table, self._chosen((table.c.name, names), (table.c.state, states)))
        return [Appliance(**{**row, "requirements": requirements(row["requirements"])}) for row in rows]

    def appliance(self, name: str) -> Appliance:
        """The appliance. Raises: NotFoundError."""
        return self._one("appliance", name, self.appliances([name]))

    def assignments(self, appliances: Names = None, resources: Names = None, images: Names = None) -> list[Assignment]:
        """The current assignments that pass all filters given, sorted by appliance and member."""
        table = schema.assignments
        where = self._chosen((table.c.appliance, appliances), (table.c.resource, resources), (table.c.image, images))
        order = table.c.appliance, table.c.member
        return [Assignment(**row) for row in self._rows(sa.select(*ASSIGNMENT_FIELDS).where(*where).order_by(*order))]

    def named(self, kind: str, full_names: Iterable[str]) -> list[Any]:
        """The objects of any kind with these full names (`storage/name` of a volume), as far as they exist."""
        wanted = set(full_names)
        if kind == "volume":
            pairs = [name.partition("/") for name in wanted]
            found = self._volumes({pair[0] for pair in pairs}, {pair[2] for pair in pairs})
            return [volume for volume in found if full_name(volume) in wanted]
        read: dict[str, Callable[[Names], Sequence[Any]]] = {
            "resource": self.resources,
            "kernel": self.kernels,
            "storage": self.storages,
            "image": self.images,
            "appliance": self.appliances,
        }
        return list(read[kind](wanted))

    def names(self, kind: str) -> list[str]:
        """The full names of all objects of a kind, sorted."""
        table = KINDS[kind].table
        columns = [table.c.storage, table.c.name] if kind == "volume" else [table.c.name]
        return sorted("/".join(row) for row in self._connection.execute(sa.select(*columns)))

    def users(self, kind: str, full_name: str) -> list[str]:
        """What uses an object, as `appliance web01 member 0` or `image golden`."""
        found = []
        for label, columns, refers in USERS[kind]:
            values = dict(zip(refers, full_name.split("/"), strict=True))
            table = columns[0].table
            query = sa.select(*columns).where(*[table.c[column] == value for column, value in values.items()])
            found += [label.format(*row) for row in self._connection.execute(query.order_by(*columns))]
        return found

    def candidates(
        self, requirements: Requirements, limit: int | None = None, states: Sequence[str] = ("idle",)
    ) -> list[Resource]:
        """The monitored, unassigned resources that fit, least waste first; at most `limit` of them.

        The tag key of `anti_affinity` must be there; whether its values differ is `openqrm.matching`'s part.
        """
        table = schema.resources
        order = [table.c.memory_mib, table.c.cores, table.c.disk_mib, table.c.nic_count, table.c.name]
        state = table.c.state == states[0] if len(states) == 1 else self._among(table.c.state, states)
        return self._resources([state, *self._fits(requirements)], order, limit=limit)

    def silent(self, since: datetime) -> list[str]:
        """The names of monitored idle and active resources that were heard of, but not since then.

        What runs a system of its own reports nothing.
        """
        table = schema.resources
        where = [
            table.c.monitored.is_(True),
            table.c.mode.not_in(UNHEARD_MODES),
            table.c.last_seen < since,
            self._among(table.c.state, ["idle", "active"]),
        ]
        return list(self._connection.scalars(sa.select(table.c.name).where(*where).order_by(table.c.name)))

    def addresses(self) -> set[str]:
        """The addresses of storage NICs that are given out, without prefix length."""
        column = schema.nics.c.address
        rows = self._connection.scalars(sa.select(column).where(schema.nics.c.role == "storage", column != ""))
        return {address.partition("/")[0] for address in rows}

    def count(self, kind: str, **filters: object) -> dict[str, int]:
        """How many objects there are, as value -> number: by state, else by an image's kind, a volume's storage,
        a storage's type, a kernel's arch, an event's severity, an assignment's appliance. `filters`: column = value.

        Raises: InvalidValueError for an unknown kind or filter.
        """
        if kind not in COUNTED:
            raise InvalidValueError(f"{kind} cannot be counted.", remedy=f"Known: {', '.join(sorted(COUNTED))}.")
        table, column = COUNTED[kind]
        unknown = sorted(filters.keys() - table.c.keys())
        if unknown:
            known = ", ".join(sorted(table.c.keys()))
            raise InvalidValueError(f"{kind} has no {unknown[0]}.", remedy=f"Known: {known}.")
        where = [table.c[name] == value for name, value in filters.items()]
        query = sa.select(table.c[column], sa.func.count()).where(*where).group_by(table.c[column])
        return {str(value): int(number) for value, number in self._connection.execute(query.order_by(table.c[column]))}

    def _fits(self, wanted: Requirements) -> list[sa.ColumnElement[bool]]:
        table, tags = schema.resources, schema.resource_tags
        held = sa.exists().where(schema.assignments.c.resource == table.c.name)
        where = [
            table.c.type == wanted.type,
            table.c.arch == wanted.arch,
            table.c.memory_mib >= wanted.memory_mib,
            table.c.cores >= wanted.cores,
            table.c.disk_mib >= wanted.disk_mib,
            table.c.nic_count >= wanted.nics,
            table.c.monitored.is_(True),
            ~held,
        ]
        where += [sa.exists().where(tags.c.resource == table.c.name, tags.c.tag == tag) for tag in sorted(wanted.tags)]
        if wanted.anti_affinity:
            key = f"{wanted.anti_affinity}:"
            has_value = sa.func.substr(tags.c.tag, 1, len(key)) == key, tags.c.tag != key
            where.append(sa.exists().where(tags.c.resource == table.c.name, *has_value))
        if wanted.resource:
            where.append(table.c.name == wanted.resource)
        return where

    def _resources(
        self,
        where: Sequence[sa.ColumnElement[bool]],
        order: Sequence[sa.ColumnElement[Any]],
        *,
        limit: int | None = None,
        everything: bool = False,
    ) -> list[Resource]:
        fields = [column.name for column in RESOURCE_FIELDS]
        found = self._connection.execute(sa.select(*RESOURCE_FIELDS).where(*where).order_by(*order).limit(limit))
        rows = [dict(zip(fields, row, strict=True)) for row in found.all()]
        names = None if everything else [row["name"] for row in rows]
        nics, tags = self._nics(names), self._tags(names)
        return [
            Resource(**row, nics=tuple(nics.get(row["name"], ())), tags=frozenset(tags.get(row["name"], ())))
            for row in rows
        ]

    def _nics(self, names: Names) -> dict[str, list[Nic]]:
        table = schema.nics
        query = sa.select(table.c.resource, table.c.mac, table.c.name, table.c.role, table.c.address)
        query = query.where(*self._chosen((table.c.resource, names))).order_by(table.c.resource, table.c.position)
        found: dict[str, list[Nic]] = defaultdict(list)
        for resource, *nic in self._connection.execute(query).all():
            found[resource].append(Nic(*nic))
        return found

    def _tags(self, names: Names) -> dict[str, list[str]]:
        table = schema.resource_tags
        found: dict[str, list[str]] = defaultdict(list)
        query = sa.select(table).where(*self._chosen((table.c.resource, names)))
        for resource, tag in self._connection.execute(query).all():
            found[resource].append(tag)
        return found

    def _volumes(self, storages: Names, names: Names) -> list[Volume]:
        table = schema.volumes
        where = self._chosen((table.c.storage, storages), (table.c.name, names))
        return [Volume(**row) for row in self._objects(table, where, table.c.storage, table.c.name)]

    def _objects(self, table: sa.Table, where: Sequence[sa.ColumnElement[bool]], *order: sa.ColumnElement[Any]) -> Rows:
        return self._rows(sa.select(table).where(*where).order_by(*order or (table.c.name,)))

    def _one(self, kind: str, name: str, found: Sequence[T]) -> T:
        if not found:
            raise NotFoundError(kind, name, self.names(kind))
        return found[0]


class Reader(ObjectReader, JournalReader):
    """One consistent view of the store."""
