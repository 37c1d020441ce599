"""Assignments, plans, orders, events, settings: the rest of what a write transaction can do."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from openqrm.errors import ConflictError, NotFoundError
from openqrm.model import Assignment, Operation, Plan
from openqrm.store import refusals, schema
from openqrm.store.kinds import plain
from openqrm.store.object_writer import ObjectWriter
from openqrm.store.reader import ASSIGNMENT_FIELDS
from openqrm.store.refusals import AssignmentRow

_ABSENT = object()


class AssignmentWriter(ObjectWriter):
    """Binding resources to members, and the addresses that they get."""

    _given: set[str] | None = None  # storage addresses given out, once they were asked for

    def assign(
        self, rows: Sequence[AssignmentRow], epochs: Mapping[tuple[str, int], int] | None = None
    ) -> list[Assignment]:
        """The new assignments of (appliance, member, resource, image, plan id), each with its member's next epoch.

        `epochs`: those of members that get back an assignment which they had, on the same resource.

        Raises: ConflictError when the resource, the member or an image that is not shared has one already;
        NotFoundError.
        """
        if not rows:
            return []
        with self._explained(lambda: refusals.refused_assignment(self, rows)):
            made = self._assign(rows, epochs or {})
        for item in made:
            after = {"resource": item.resource, "image": item.image, "epoch": item.epoch, "plan": item.plan}
            self._audit("assign", "appliance", item.appliance, {}, {"member": item.member, **after})
        return made

    def release(self, appliance: str, members: Sequence[int]) -> None:
        """Ends the current assignments of these members; those without one are left alone."""
        table = schema.assignments
        where = [table.c.appliance == appliance, self._among(table.c.member, sorted(set(members)))]
        for row in self._rows(sa.delete(table).where(*where).returning(*ASSIGNMENT_FIELDS)):
            before = {"resource": row["resource"], "image": row["image"], "epoch": row["epoch"], "plan": row["plan"]}
            self._audit("release", "appliance", appliance, {"member": row["member"], **before}, {})

    def next_storage_address(self, pool: str, prefix: int) -> str:
        """The lowest address of the pool `first-last` that nobody has, as `10.78.0.100/24`; never the same twice.

        Raises: ConflictError when all are given out.
        """
        if self._given is None:
            self.lock("storage addresses")
            self._given = self.addresses()
        first, last = (ipaddress.ip_address(end.strip()) for end in pool.split("-"))
        for number in range(int(first), int(last) + 1):
            address = str(ipaddress.ip_address(number))
            if address not in self._given:
                self._given.add(address)
                return f"{address}/{prefix}"
        raise ConflictError(
            f"All addresses of the storage pool {pool} are given out.",
            remedy="Enlarge networks.storage.pool in openqrm.yml or remove resources.",
        )

    def _assign(self, rows: Sequence[AssignmentRow], kept: Mapping[tuple[str, int], int]) -> list[Assignment]:
        epochs = {**self._next_epochs(sorted({(row[0], row[1]) for row in rows} - kept.keys())), **kept}
        shared = {image.name: image.shared for image in self.images({row[3] for row in rows})}
        now = datetime.now(UTC)
        self._insert(
            schema.assignments,
            [
                {
                    "appliance": appliance,
                    "member": member,
                    "resource": resource,
                    "image": image,
                    "shared": shared.get(image, False),
                    "epoch": epochs[appliance, member],
                    "plan": plan,
                    "since": now,
                }
                for appliance, member, resource, image, plan in rows
            ],
        )
        found = {(item.appliance, item.member): item for item in self.assignments(appliances={row[0] for row in rows})}
        return [found[row[0], row[1]] for row in rows]

    def _next_epochs(self, members: Sequence[tuple[str, int]]) -> dict[tuple[str, int], int]:
        table = schema.epochs
        insert = self._upsert(table)
        counted = insert.on_conflict_do_update(
            index_elements=[table.c.appliance, table.c.member], set_={"epoch": table.c.epoch + 1}
        )
        rows = [{"appliance": appliance, "member": member, "epoch": 1} for appliance, member in members]
        if not rows:
            return {}
        return {
            (row["appliance"], row["member"]): row["epoch"]
            for row in self._connection.execute(counted.returning(*table.c), rows).mappings()
        }


class Writer(AssignmentWriter):
    """Everything that can be changed in one transaction; every change but heartbeats and events is audited."""

    def add_plan(self, plan: Plan) -> Plan:
        """The plan as stored, with its id and time. `open_plans` finds it by the `kind` and `name` of its objects."""
        created = datetime.now(UTC)
        row = {
            "verb": plan.verb,
            "state": plan.state,
            "basis": plan.basis,
            "owner": plan.owner,
            "created": created,
            "message": plan.message,
        }
        number = int(self._connection.execute(sa.insert(schema.plans).returning(schema.plans.c.id), row).scalar_one())
        self.add_objects(number, plan.objects)
        self._audit("add", "plan", str(number), {}, {"verb": plan.verb, "state": plan.state})
        self.add_operations(number, plan.operations)
        return dataclasses.replace(plan, id=number, created=created)

    def set_plan(
        self, plan_id: int, state: str, owner: str | None = None, message: str | None = None, basis: str | None = None
    ) -> None:
        """Changes a plan; None leaves a field as it is. Raises: NotFoundError."""
        wanted = {"state": state, "owner": owner, "message": message, "basis": basis}
        fields = {name: value for name, value in wanted.items() if value is not None}
        self._change(schema.plans, "plan", str(plan_id), {"id": plan_id}, fields)

    def add_objects(self, plan_id: int, objects: Sequence[Mapping[str, object]]) -> None:
        """Appends to what a plan is about: `kind`, `name` and whatever else the plan keeps of each."""
        table = schema.plan_objects
        count = sa.select(sa.func.count()).where(table.c.plan == plan_id)
        first = self._connection.execute(count).scalar_one()
        rows = [
            {
                "plan": plan_id,
                "position": number,
                "kind": str(item["kind"]),
                "name": str(item["name"]),
                "data": plain(item),
            }
            for number, item in enumerate(objects, first)
        ]
        self._insert(table, rows)

    def add_operations(self, plan_id: int, operations: Sequence[Operation]) -> None:
        """Appends operations to a plan's journal; their `seq` must be new."""
        self._insert(schema.operations, [{"plan": plan_id, **plain(operation)} for operation in operations])

    def set_operation(self, plan_id: int, seq: int, state: str, message: str = "", attempts: int | None = None) -> None:
        """Journals how an operation went; `attempts` None leaves their number. Raises: NotFoundError."""
        fields = {"state": state, "message": message} | ({} if attempts is None else {"attempts": attempts})
        self._change(schema.operations, "operation", f"{plan_id}/{seq}", {"plan": plan_id, "seq": seq}, fields)

    def give_orders(self, rows: Sequence[tuple[str, str, int, str]]) -> list[int]:
        """Orders as (resource, order, epoch, manifest); their ids. Older pending orders of a resource are superseded.

        Raises: ConflictError for two orders to one resource; NotFoundError.
        """
        names = [row[0] for row in rows]
        if len(set(names)) < len(names):
            raise ConflictError("A resource is given two orders at once.", remedy="Give one order per resource.")
        table = schema.orders
        pending = [self._among(table.c.resource, names), table.c.state == "pending"]
        self._connection.execute(sa.update(table).where(*pending).values(state="superseded"))
        ids = self._insert_orders(rows)
        for resource, order, epoch, _ in rows:
            self._audit("order", "resource", resource, {}, {"order": order, "epoch": epoch, "id": ids[resource]})
        return [ids[name] for name in names]

    def set_order(self, order_id: int, state: str, message: str = "") -> None:
        """Stores how an order went. Raises: NotFoundError."""
        self._change(schema.orders, "order", str(order_id), {"id": order_id}, {"state": state, "message": message})

    def add_event(
        self, severity: str, message: str, kind: str = "", name: str = "", data: Mapping[str, object] | None = None
    ) -> int:
        """Adds an event about an object, or about none; its id."""
        row = _event(severity, message, kind, name, data or {})
        return int(self._connection.execute(sa.insert(schema.events).returning(schema.events.c.id), row).scalar_one())

    def add_events(
        self, severity: str, kind: str, messages: Sequence[tuple[str, str]], data: Mapping[str, object]
    ) -> None:
        """Adds events of one kind of objects, given as (name, message), with the same data."""
        self._insert(schema.events, [_event(severity, message, kind, name, data) for name, message in messages])

    def set_setting(self, key: str, value: Any) -> None:
        """Stores a setting; the value is anything that JSON can hold."""
        before = self.setting(key, _ABSENT)
        if before == value:
            return
        self._put(schema.settings, {"key": key}, {"value": value})
        self._audit("set", "setting", key, {} if before is _ABSENT else {"value": before}, {"value": value})

    def observe(self, key: str, value: Any) -> None:
        """Stores what was observed, as a setting: like what heartbeats tell, it leaves no audit row."""
        self._put(schema.settings, {"key": key}, {"value": value})

    def set_plugin(self, name: str, **fields: Any) -> None:
        """Sets fields of a plug-in, as `enabled=True`; the others stay."""
        known = self.plugins()
        before = known.get(name, {})
        if name not in known or before | fields != before:
            self._put(schema.plugins, {"name": name}, {"fields": before | fields})
            self._audit("set", "plugin", name, {key: before[key] for key in fields if key in before}, fields)

    def _insert_orders(self, rows: Sequence[tuple[str, str, int, str]]) -> dict[str, int]:
        if not rows:
            return {}
        table = schema.orders
        fields = {"state": "pending", "message": "", "created": datetime.now(UTC)}
        values = [
            {"resource": resource, "order": order, "epoch": epoch, "manifest": manifest, **fields}
            for resource, order, epoch, manifest in rows
        ]
        with self._explained(lambda: refusals.missing_object(self, "resource", [row[0] for row in rows])):
            added = self._connection.execute(sa.insert(table).returning(table.c.resource, table.c.id), values)
            return {row[0]: row[1] for row in added}

    def _change(self, table: sa.Table, kind: str, name: str, key: Mapping[str, int], fields: Mapping[str, Any]) -> None:
        """Updates the one row with this key."""
        where = [table.c[column] == value for column, value in key.items()]
        columns = [table.c[column] for column in fields]
        row = (
            self._connection.execute(sa.select(*columns).where(*where).with_for_update(key_share=True))
            .mappings()
            .first()
        )
        if row is None:
            raise NotFoundError(kind, name)
        changed = [column for column in fields if row[column] != fields[column]]
        if changed:
            after = {column: fields[column] for column in changed}
            self._connection.execute(sa.update(table).where(*where).values(after))
            self._audit("change", kind, name, {column: row[column] for column in changed}, after)

    def _put(self, table: sa.Table, key: Mapping[str, str], fields: Mapping[str, Any]) -> None:
        insert = self._upsert(table).values(**key, **fields)
        self._connection.execute(insert.on_conflict_do_update(index_elements=list(key), set_=dict(fields)))


def _event(severity: str, message: str, kind: str, name: str, data: Mapping[str, object]) -> dict[str, Any]:
    return {
        "time": datetime.now(UTC),
        "severity": severity,
        "kind": kind,
        "name": name,
        "message": message,
        "data": plain(data),
    }
