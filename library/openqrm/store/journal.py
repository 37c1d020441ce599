"""Reading plans, orders, events, the audit log, settings and plug-ins."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from openqrm.errors import NotFoundError
from openqrm.model import AuditRow, Event, Operation, Order, Plan
from openqrm.store import schema
from openqrm.store.access import Access


class JournalReader(Access):
    """What happened and what is under way."""

    def plan(self, plan_id: int) -> Plan:
        """The plan with its operations. Raises: NotFoundError."""
        found = self._plans([schema.plans.c.id == plan_id]) if plan_id <= schema.MAX_ID else []
        if not found:
            ids = self._connection.scalars(sa.select(schema.plans.c.id).order_by(schema.plans.c.id.desc()).limit(10))
            raise NotFoundError("plan", str(plan_id), [str(known) for known in ids])
        return found[0]

    def operation(self, plan_id: int, seq: int) -> Operation:
        """One operation of a plan, without reading the others. Raises: NotFoundError."""
        table = schema.operations
        found = self._rows(sa.select(table).where(table.c.plan == plan_id, table.c.seq == seq))
        if not found:
            raise NotFoundError("Operation", f"{plan_id}/{seq}")
        return _operation(found[0])

    def plans(self, states: Iterable[str] | None = None, limit: int = 50) -> list[Plan]:
        """The newest plans in these states, newest first."""
        return self._plans(self._chosen((schema.plans.c.state, states)), limit)

    def open_plans(self, objects: Iterable[tuple[str, str]]) -> list[Plan]:
        """The plans, planned or applying, that name one of the objects, given as (kind, name); newest first."""
        names: dict[str, set[str]] = defaultdict(set)
        for kind, name in objects:
            names[kind].add(name)
        table = schema.plan_objects
        named = [sa.and_(table.c.kind == kind, self._among(table.c.name, names[kind])) for kind in sorted(names)]
        if not named:
            return []
        is_open = schema.plans.c.state.in_(schema.OPEN_PLAN_STATES)
        return self._plans([is_open, schema.plans.c.id.in_(sa.select(table.c.plan).where(sa.or_(*named)))])

    def plan_heard(self, plan_id: int) -> datetime | None:
        """When something was last journalled of the plan; None if nothing is known of it."""
        table, name = schema.audit, str(plan_id)
        newest = sa.select(sa.func.max(table.c.time, type_=table.c.time.type))
        # The names of its operations: between `7/` and `70`, the character after the slash.
        operations = [table.c.kind == "operation", table.c.name >= f"{name}/", table.c.name < f"{name}0"]
        times = [
            self._connection.execute(newest.where(*where)).scalar()
            for where in (operations, [table.c.kind == "plan", table.c.name == name])
        ]
        return max((time for time in times if time is not None), default=None)

    def turns(self, hosts: Iterable[str]) -> list[tuple[int, str, str, int]]:
        """The turns on these hosts whose operation is not over, of present owners of plans: plan, owner, host, seq."""
        table, plans, operations = schema.plan_objects, schema.plans, schema.operations
        query = (
            sa.select(table.c.plan, table.c.name, table.c.data, plans.c.owner)
            .select_from(table.join(plans, plans.c.id == table.c.plan))
            .where(table.c.kind == schema.TURN, self._among(table.c.name, hosts), plans.c.state == "applying")
        )
        rows = [row for row in self._rows(query) if row["data"]["owner"] == row["owner"]]
        pending = sa.select(operations.c.plan, operations.c.seq).where(
            self._among(operations.c.plan, {row["plan"] for row in rows}), operations.c.state == "pending"
        )
        left = {(row[0], row[1]) for row in self._connection.execute(pending)}
        turns = [(row["plan"], row["owner"], row["name"], int(row["data"]["seq"])) for row in rows]
        return [turn for turn in turns if (turn[0], turn[3]) in left]

    def later_plans(self, plan_id: int) -> list[int]:
        """The newer plans that name one of this plan's objects and did something, oldest first."""
        mine, other, plans = schema.plan_objects, schema.plan_objects.alias(), schema.plans
        same = sa.and_(
            other.c.kind == mine.c.kind,
            other.c.kind != schema.TURN,
            other.c.name == mine.c.name,
            other.c.plan > mine.c.plan,
        )
        query = sa.select(plans.c.id).where(
            plans.c.id.in_(sa.select(other.c.plan).select_from(mine.join(other, same)).where(mine.c.plan == plan_id)),
            plans.c.state != "cancelled",
        )
        return list(self._connection.scalars(query.order_by(plans.c.id)))

    def orders(
        self, resource_names: Iterable[str] | None = None, states: Iterable[str] | None = ("pending",)
    ) -> list[Order]:
        """The orders to these resources in these states, oldest first; None: any."""
        table = schema.orders
        columns = [column for column in table.c if column.name != "created"]
        where = self._chosen((table.c.resource, resource_names), (table.c.state, states))
        return [Order(**row) for row in self._rows(sa.select(*columns).where(*where).order_by(table.c.id))]

    def events(
        self,
        severities: Iterable[str] | None = None,
        kind: str = "",
        name: str = "",
        after_id: int = 0,
        limit: int = 100,
    ) -> list[Event]:
        """The events of these severities and this object, oldest first: the newest `limit` of them, or with `after_id`
        the first `limit` after that one."""
        table = schema.events
        where = self._chosen((table.c.severity, severities)) + _about(table, kind, name)
        if after_id:
            rows = self._rows(_page(table, [*where, table.c.id > after_id], table.c.id, limit))
        else:
            rows = self._rows(_page(table, where, table.c.id.desc(), limit))[::-1]
        return [Event(**row) for row in rows]

    def audit(self, kind: str = "", name: str = "", limit: int = 100) -> list[AuditRow]:
        """The newest `limit` changes of this object, oldest first."""
        rows = self._rows(_page(schema.audit, _about(schema.audit, kind, name), schema.audit.c.id.desc(), limit))
        return [AuditRow(**row) for row in rows[::-1]]

    def setting(self, key: str, default: Any = None) -> Any:
        """The setting's value as JSON has it, else `default`."""
        row = self._connection.execute(sa.select(schema.settings.c.value).where(schema.settings.c.key == key)).first()
        return default if row is None else row[0]

    def settings(self) -> dict[str, Any]:
        """All settings, sorted by key."""
        table = schema.settings
        return {row["key"]: row["value"] for row in self._rows(sa.select(table).order_by(table.c.key))}

    def plugins(self) -> dict[str, dict[str, Any]]:
        """The plug-ins that something is known of, with the fields that were set, sorted by name."""
        table = schema.plugins
        return {row["name"]: row["fields"] for row in self._rows(sa.select(table).order_by(table.c.name))}

    def _plans(self, where: Sequence[sa.ColumnElement[bool]], limit: int | None = None) -> list[Plan]:
        table = schema.plans
        rows = self._rows(sa.select(table).where(*where).order_by(table.c.id.desc()).limit(limit))
        ids = [row["id"] for row in rows]
        operations, objects = self._operations(ids), self._plan_objects(ids)
        return [Plan(**row, operations=tuple(operations[row["id"]]), objects=tuple(objects[row["id"]])) for row in rows]

    def _operations(self, plans: Sequence[int]) -> dict[int, list[Operation]]:
        table = schema.operations
        found: dict[int, list[Operation]] = defaultdict(list)
        query = sa.select(table).where(self._among(table.c.plan, plans)).order_by(table.c.plan, table.c.seq)
        for row in self._rows(query):
            found[row["plan"]].append(_operation(row))
        return found

    def _plan_objects(self, plans: Sequence[int]) -> dict[int, list[Mapping[str, Any]]]:
        table = schema.plan_objects
        found: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
        query = sa.select(table.c.plan, table.c.data).where(self._among(table.c.plan, plans))
        for plan, data in self._connection.execute(query.order_by(table.c.plan, table.c.position)):
            found[plan].append(data)
        return found


def _operation(row: sa.RowMapping) -> Operation:
    fields = {key: value for key, value in row.items() if key != "plan"}
    return Operation(**{**fields, "items": tuple(row["items"])})


def _about(table: sa.Table, kind: str, name: str) -> list[sa.ColumnElement[bool]]:
    return [table.c[column] == value for column, value in (("kind", kind), ("name", name)) if value]


def _page(table: sa.Table, where: Sequence[sa.ColumnElement[bool]], order: Any, limit: int) -> sa.Select[Any]:
    return sa.select(table).where(*where).order_by(order).limit(limit)
