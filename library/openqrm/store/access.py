"""What readers and writers share: one connection in one transaction, and how lists become SQL."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa

Rows = Sequence[sa.RowMapping]


class Access:
    """One open transaction."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection
        self._postgresql = connection.dialect.name == "postgresql"

    def _rows(self, statement: sa.Executable) -> Rows:
        return self._connection.execute(statement).mappings().all()

    def _among(self, column: sa.ColumnElement[Any], values: Iterable[Any]) -> sa.ColumnElement[bool]:
        """`column` is one of `values`: one parameter whatever their number, so that the statement stays the same."""
        listed = list(values)
        if self._postgresql:
            return column == sa.any_(sa.literal(listed, sa.ARRAY(column.type)))
        table = sa.func.json_each(json.dumps(listed)).table_valued("value")
        return column.in_(sa.select(table.c.value))

    def _chosen(self, *filters: tuple[sa.ColumnElement[Any], Iterable[Any] | None]) -> list[sa.ColumnElement[bool]]:
        """Conditions for the filters that are given; None: no filter."""
        return [self._among(column, values) for column, values in filters if values is not None]
