"""What all writers share: the audit log, statements that may be refused, locks."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import exc

from openqrm.errors import OpenqrmError
from openqrm.store import schema
from openqrm.store.reader import Reader

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite


class WriteAccess(Reader):
    """A write transaction of one actor for one reason."""

    def __init__(self, connection: sa.Connection, actor: str, reason: str) -> None:
        super().__init__(connection)
        self._actor = actor
        self._reason = reason
        self._changes: list[dict[str, Any]] = []

    def lock(self, name: str) -> None:
        """Waits until no other write transaction holds this lock, then holds it until this one ends.

        On SQLite a write transaction excludes all others anyway.
        """
        if self._postgresql:
            self._connection.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtextextended(name, 0))))

    def flush(self) -> None:
        """Writes the audit rows; `Store.write` calls it before the commit."""
        self._insert(schema.audit, self._changes)
        self._changes.clear()

    def _audit(self, action: str, kind: str, name: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        self._changes.append(
            {
                "time": datetime.now(UTC),
                "actor": self._actor,
                "reason": self._reason,
                "action": action,
                "kind": kind,
                "name": name,
                "before": before,
                "after": after,
            }
        )

    def _insert(self, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
        if rows:
            self._connection.execute(sa.insert(table), list(rows))

    def _upsert(self, table: sa.Table) -> postgresql.Insert | sqlite.Insert:
        """An insert that may say what to do on a conflict."""
        # Imported here: a driver that is not used would take a tenth of the time of a short command.
        if self._postgresql:
            from sqlalchemy.dialects import postgresql

            return postgresql.insert(table)
        from sqlalchemy.dialects import sqlite

        return sqlite.insert(table)

    @contextlib.contextmanager
    def _atomic(self) -> Iterator[None]:
        """What is done inside is taken back when it fails; the transaction remains usable."""
        audited = len(self._changes)
        try:
            with self._connection.begin_nested():
                yield
        except BaseException:
            del self._changes[audited:]
            raise

    @contextlib.contextmanager
    def _explained(self, explain: Callable[[], OpenqrmError | None]) -> Iterator[None]:
        """As `_atomic`, for statements that a constraint may refuse; `explain` then finds what stands in the way."""
        try:
            with self._atomic():
                yield
        except exc.IntegrityError as error:
            reason = explain()
            if reason is None:
                raise
            raise reason from error
