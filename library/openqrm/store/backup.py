"""Backup and restore of a whole store, the same for SQLite and PostgreSQL: either takes what the other gave.

A backup is one consistent view, taken while others work. It names its schema: an older one is brought to the newest by
the migrations when it is restored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from openqrm.errors import ConflictError, StoreError
from openqrm.store import engine as engines
from openqrm.store import migrate, schema
from openqrm.store.backup_file import BATCH, FORMAT, VERSION, BackupFile, Batch, new_file, no_file, opened

VERSION_TABLE = "alembic_version"
# Of a table that gives numbers to its rows: the last one, which is never given again.
LAST_IDS = "last_ids"
Epochs = Mapping[tuple[str, int], int]
OnTable = Callable[[str, int], None]


@dataclass(frozen=True)
class Summary:
    """What a backup holds: its schema, when it was made, and the number of rows by table."""

    schema: str
    created: str
    rows: Mapping[str, int]


class _RolledBackError(Exception):
    """Ends a transaction that must leave nothing behind."""


def backup(
    url: str,
    path: Path,
    *,
    replace: bool = False,
    check: bool = False,
    timeout_s: float = 30,
    on_table: OnTable = lambda _name, _rows: None,
) -> Summary:
    """Writes the store into the file, which appears whole or not at all; others may go on writing to the store.

    `on_table` hears of each table and its number of rows. `check` reads all of it and writes nothing.

    Raises: StoreError; ConflictError for a file that exists, unless it is to be replaced; OpenqrmError when it cannot
    be written.
    """
    engine = engines.connect(engines.parse_url(url), timeout_s)
    try:
        if engines.revision(engine) not in schema.REVISIONS:
            engines.check_revision(engine)
        with (
            (no_file if check else new_file)(path, replace=replace) as add,
            engines.transaction(engine, write=False) as connection,
        ):
            return _dump(connection, add, on_table)
    finally:
        engine.dispose()


def _dump(connection: sa.Connection, add: Callable[[Any], None], on_table: OnTable) -> Summary:
    found, created = _revision(connection), datetime.now(UTC).isoformat(timespec="seconds")
    add({"format": FORMAT, "version": VERSION, "schema": found, "created": created})
    counts = {}
    for table in _tables(connection):
        add({"table": table.name, "columns": table.c.keys()})
        counts[table.name] = 0
        for row in connection.execution_options(yield_per=BATCH).execute(sa.select(table)):
            add([_plain(value) for value in row])
            counts[table.name] += 1
        on_table(table.name, counts[table.name])
    add({"table": LAST_IDS, "columns": ["table", "id"]})
    for name, number in _last_ids(connection).items():
        add([name, number])
    return Summary(found, created, counts)


def restore(
    url: str,
    path: Path,
    *,
    actor: str,
    lives: Callable[[str], bool],
    replace: bool = False,
    check: bool = False,
    timeout_s: float = 30,
    on_table: OnTable = lambda _name, _rows: None,
) -> Summary:
    """Fills the store from the backup and brings it to the newest schema, in one transaction.

    `replace` allows to take the place of what the store holds; its epochs and numbers go on from the higher ones, so
    that none is given twice. `lives` says of the owner of a plan whether it still works on it. `check` does all of it
    and takes it back. Raises: InvalidValueError for a file that is damaged; ConflictError for a store that is not
    empty or that a plan is applied on; StoreError.
    """
    parsed = engines.parse_url(url)
    with opened(path) as file:
        _refuse_newer(file)
        if check and parsed.drivername == "sqlite" and not Path(str(parsed.database)).exists():
            return _summary(file)
        migrate.prepare_file(parsed)
        engine = engines.connect(parsed, timeout_s)
        counts: dict[str, int] = {}
        try:
            with engines.transaction(engine, write=True) as connection:
                _restore(connection, file, counts, replace=replace, lives=lives, on_table=on_table)
                _record(connection, file, actor)
                if check:
                    raise _RolledBackError
        except _RolledBackError:
            pass
        finally:
            engine.dispose()
        return Summary(str(file.header["schema"]), str(file.header["created"]), counts)


def _summary(file: BackupFile) -> Summary:
    counts: dict[str, int] = {}
    for batch in file.batches():
        if batch.table != LAST_IDS:
            counts[batch.table] = counts.get(batch.table, 0) + len(batch.rows)
    return Summary(str(file.header["schema"]), str(file.header["created"]), counts)


def _refuse_newer(file: BackupFile) -> None:
    found = str(file.header["schema"])
    if found not in schema.REVISIONS:
        raise StoreError(
            f"Backup {file.path} has schema {found}, which this openQRM (schema {schema.REVISIONS[-1]}) does not know.",
            remedy="A newer openQRM wrote it: install that version to restore it.",
        )


def _restore(
    connection: sa.Connection,
    file: BackupFile,
    counts: dict[str, int],
    *,
    replace: bool,
    lives: Callable[[str], bool],
    on_table: OnTable,
) -> None:
    migrate.lock(connection)
    old = _tables(connection)
    _refuse(connection, old, replace, lives)
    last_ids, epochs = _last_ids(connection), _epochs(connection, old)
    for table in reversed(old):
        table.drop(connection)
    connection.exec_driver_sql(f"DROP TABLE IF EXISTS {VERSION_TABLE}")
    migrate.migrate(connection, str(file.header["schema"]))
    for name, number in _fill(connection, file, counts, on_table).items():
        last_ids[name] = max(number, last_ids.get(name, 0))
    migrate.migrate(connection)
    _set_last_ids(connection, last_ids)
    _raise_epochs(connection, epochs)


def _refuse(connection: sa.Connection, tables: list[sa.Table], replace: bool, lives: Callable[[str], bool]) -> None:
    """Returns if the store may be replaced. Raises: ConflictError."""
    name = engines.shown(connection.engine.url)
    for table in tables if not replace else ():
        if connection.execute(sa.select(sa.literal(1)).select_from(table).limit(1)).first():
            raise ConflictError(
                f"Store {name} is not empty: it has {table.name}.",
                remedy="Back it up, then say --replace to lose what it holds; or restore into an empty one.",
            )
    for plans in (table for table in tables if table.name == "plans"):
        applied = sa.select(plans.c.id, plans.c.verb, plans.c.owner).where(plans.c.state == "applying")
        for number, verb, owner in connection.execute(applied):
            if lives(owner):
                raise ConflictError(
                    f"Store {name} cannot be replaced: plan {number} ({verb}) is applied by {owner}.",
                    remedy=f"Wait for it, or end it; see `openqrm operation show {number}`.",
                )


def _fill(connection: sa.Connection, file: BackupFile, counts: dict[str, int], on_table: OnTable) -> dict[str, int]:
    """Inserts all rows; returns the last number of each table that has numbers."""
    tables = {table.name: table for table in _tables(connection)}
    last_ids: dict[str, int] = {}
    for batch in file.batches():
        if batch.table == LAST_IDS:
            last_ids |= {str(name): int(number) for name, number in batch.rows}
        else:
            table, rows = _rows(file, tables, batch)
            connection.execute(sa.insert(table), rows)
            counts[batch.table] = counts.get(batch.table, 0) + len(batch.rows)
            on_table(batch.table, counts[batch.table])
    return last_ids


def _rows(file: BackupFile, tables: Mapping[str, sa.Table], batch: Batch) -> tuple[sa.Table, list[dict[str, Any]]]:
    """The table and what is to be inserted. Raises: InvalidValueError for rows that are not those of the schema."""
    try:
        table = tables[batch.table]
        return table, [_row(table, batch, row) for row in batch.rows]
    except (KeyError, ValueError, TypeError) as error:
        why = f"its rows of {batch.table or 'no table'} are not those of schema {file.header['schema']}"
        raise file.broken(why) from error


def _row(table: sa.Table, batch: Batch, row: list[Any]) -> dict[str, Any]:
    values = dict(zip(batch.columns, row, strict=True))
    times = [name for name in values if isinstance(table.c[name].type, schema.Utc) and values[name] is not None]
    return values | {name: datetime.fromisoformat(values[name]) for name in times}


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _tables(connection: sa.Connection) -> list[sa.Table]:
    """The tables that are there, in the order in which they can be filled: those of any schema, not only the newest."""
    found = sa.MetaData()

    @sa.event.listens_for(found, "column_reflect")
    def _times(_inspector: object, _table: object, column: Any) -> None:
        if isinstance(column["type"], sa.DateTime):
            column["type"] = schema.Utc()

    found.reflect(connection)
    return [table for table in found.sorted_tables if table.name != VERSION_TABLE]


def _revision(connection: sa.Connection) -> str:
    return str(connection.exec_driver_sql(f"SELECT version_num FROM {VERSION_TABLE}").scalar())  # noqa: S608


def _numbered(connection: sa.Connection) -> list[str]:
    """The tables of PostgreSQL that number their rows."""
    owned = "pg_get_serial_sequence(quote_ident(table_name), column_name) IS NOT NULL"
    here = "column_name = 'id' AND table_schema = current_schema()"
    query = f"SELECT table_name FROM information_schema.columns WHERE {here} AND {owned}"  # noqa: S608
    return sorted(connection.exec_driver_sql(query).scalars())


def _last_ids(connection: sa.Connection) -> dict[str, int]:
    """By table: the last number that was given to a row, also to one that is gone."""
    if connection.dialect.name == "sqlite":
        if not sa.inspect(connection).has_table("sqlite_sequence"):
            return {}
        rows = connection.exec_driver_sql("SELECT name, seq FROM sqlite_sequence ORDER BY name")
        return {str(name): int(number) for name, number in rows}
    last = "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {}_id_seq"
    return {name: int(connection.exec_driver_sql(last.format(name)).scalar_one()) for name in _numbered(connection)}


def _set_last_ids(connection: sa.Connection, last_ids: Mapping[str, int]) -> None:
    sqlite = connection.dialect.name == "sqlite"
    numbers = {name: number for name, number in last_ids.items() if number}
    if not sqlite:
        numbers = {name: numbers[name] for name in _numbered(connection) if name in numbers}
    for name, number in numbers.items():
        if sqlite:
            connection.execute(sa.text("DELETE FROM sqlite_sequence WHERE name = :name"), {"name": name})
            insert = sa.text("INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :number)")
            connection.execute(insert, {"name": name, "number": number})
        else:
            connection.execute(sa.text(f"SELECT setval('{name}_id_seq', :number)"), {"number": number})


def _epochs(connection: sa.Connection, tables: list[sa.Table]) -> Epochs:
    """The last epochs of the members, of a store that has some."""
    found = [table for table in tables if table.name == schema.epochs.name]
    rows = connection.execute(sa.select(found[0])).mappings() if found else ()
    return {(row["appliance"], row["member"]): row["epoch"] for row in rows}


def _raise_epochs(connection: sa.Connection, before: Epochs) -> None:
    """Epochs never go back: machines that the replaced store started must not be taken for those of this one."""
    table = schema.epochs
    now = _epochs(connection, [table])
    for (appliance, member), epoch in before.items():
        if epoch > now.get((appliance, member), 0):
            connection.execute(sa.delete(table).where(table.c.appliance == appliance, table.c.member == member))
            connection.execute(sa.insert(table).values(appliance=appliance, member=member, epoch=epoch))


def _record(connection: sa.Connection, file: BackupFile, actor: str) -> None:
    """Says in the audit log and in an event that the store is that of a backup."""
    now = datetime.now(UTC)
    text = f"The store was restored from a backup of {file.header['created']} (schema {file.header['schema']})."
    change = {"actor": actor, "reason": "restore", "action": "restore", "before": {}, "after": dict(file.header)}
    connection.execute(sa.insert(schema.audit).values(time=now, kind="store", name="", **change))
    event = {"severity": "warning", "kind": "store", "name": "", "message": text, "data": {}}
    connection.execute(sa.insert(schema.events).values(time=now, **event))
