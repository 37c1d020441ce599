"""Connections to SQLite and PostgreSQL, their transactions, and their errors as those of the library."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc

from openqrm.errors import ConflictError, InvalidValueError, StoreError, TransactionLostError
from openqrm.store.schema import REVISIONS

# How long a server that is away is waited for, and how often it is asked in that time.
RECONNECT_S, PAUSE_S = 10.0, 0.2
# What PostgreSQL and libpq say while the server is away: words of an error that has no code of its own.
AWAY = (
    "starting up",
    "shutting down",
    "recovery mode",
    "not yet accepting",
    "refused",
    "No such file",
    "closed the conn",
)
SCHEMES = ("sqlite", "postgresql+psycopg")
WRITE = {"openqrm_write": True}
# A reader sees one state of the store however many queries it makes.
PG_READ = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}


def parse_url(url: str) -> sa.URL:
    """The URL of a store. Raises: StoreError for a malformed one or another database."""
    try:
        parsed = sa.make_url(url)
    except (exc.ArgumentError, ValueError) as error:
        raise StoreError(f"Store URL is malformed: {error}.", remedy="Use sqlite:////absolute/path.db.") from error
    if parsed.drivername not in SCHEMES or (parsed.drivername == "sqlite" and not parsed.database):
        raise StoreError(
            f"Store {shown(parsed)} is not supported.",
            remedy="Use sqlite:////absolute/path.db or postgresql+psycopg://user@host/database.",
        )
    return parsed


def shown(url: sa.URL) -> str:
    """The URL as messages show it, without a password."""
    return url.render_as_string(hide_password=True)


def connect(url: sa.URL, timeout_s: float) -> sa.Engine:
    """An engine whose lock waits end after `timeout_s`. Nothing is opened yet."""
    if url.drivername == "sqlite":
        return _sqlite(url, timeout_s)
    options = f"-c lock_timeout={int(timeout_s * 1000)}"
    defaults = {"connect_timeout": 10, "options": options}
    arguments = {name: value for name, value in defaults.items() if name not in url.query}
    return sa.create_engine(url, connect_args=arguments, pool_pre_ping=True)


def _sqlite(url: sa.URL, timeout_s: float) -> sa.Engine:
    arguments = {"timeout": timeout_s, "isolation_level": None, "check_same_thread": False}
    engine = sa.create_engine(url, connect_args=arguments, json_deserializer=_from_json)

    @sa.event.listens_for(engine, "connect")
    def _prepare(connection: sa.engine.interfaces.DBAPIConnection, _record: object) -> None:
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "foreign_keys=ON", "synchronous=FULL"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        write = connection.get_execution_options().get("openqrm_write")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine


def _from_json(text: str) -> Any:
    """The value of a JSON column. Most are empty mappings, for which the parser is not asked."""
    return {} if text == "{}" else json.loads(text)


@contextlib.contextmanager
def transaction(engine: sa.Engine, *, write: bool) -> Iterator[sa.Connection]:
    """A connection in one transaction: committed at the end of a write, rolled back on any exception.

    Raises: StoreError when the database fails or stays locked; ConflictError when it refuses a change;
    InvalidValueError for a value that it cannot hold.
    """
    options = WRITE if write else PG_READ if engine.dialect.name == "postgresql" else {}
    with (
        translated(engine),
        _connected(engine).execution_options(**options) as connection,
        connection.begin(),
        _lost(engine),
    ):
        yield connection


def _connected(engine: sa.Engine) -> sa.Connection:
    """A connection; a server that restarts is waited for."""
    end = time.monotonic() + RECONNECT_S
    while True:
        try:
            return engine.connect()
        except exc.OperationalError as error:
            away = engine.dialect.name == "postgresql" and any(word in str(error.orig) for word in AWAY)
            if not away or time.monotonic() > end:
                raise
        time.sleep(PAUSE_S)


@contextlib.contextmanager
def _lost(engine: sa.Engine) -> Iterator[None]:
    """Tells what broke before the commit, so that nothing was written, from what broke in it."""
    try:
        yield
    except exc.DBAPIError as error:
        if not (error.connection_invalidated or "deadlock detected" in str(error.orig)):
            raise
        raise TransactionLostError(
            f"Store {shown(engine.url)}: the transaction was broken off: {_line(error)}.",
            remedy="Nothing of it was written: run the command again.",
        ) from error


@contextlib.contextmanager
def translated(engine: sa.Engine) -> Iterator[None]:
    """Turns errors of the database into those of the library."""
    try:
        yield
    except exc.IntegrityError as error:
        raise ConflictError(
            f"The store refused the change: {_line(error)}.",
            remedy="Another change came first: read the state and try again.",
        ) from error
    except exc.DataError as error:
        raise InvalidValueError(f"The store cannot hold a value: {_line(error)}.") from error
    except exc.DBAPIError as error:
        raise _store_error(engine.url, error) from error
    except exc.TimeoutError as error:
        raise StoreError(f"Store {shown(engine.url)}: no free connection.", remedy="Try again.") from error


def _store_error(url: sa.URL, error: exc.DBAPIError) -> StoreError:
    line = _line(error)
    if error.connection_invalidated:
        return StoreError(
            f"Store {shown(url)}: the connection broke while a change was written: {line}.",
            remedy="Run the command again: it goes on from what is there.",
        )
    if any(word in line for word in ("locked", "lock timeout", "deadlock")):
        return StoreError(
            f"Store {shown(url)} is busy: {line}.",
            remedy="Another process holds it; wait for it to end, or stop it, and try again.",
        )
    if url.drivername == "sqlite":
        remedy = "Check that the file and its directory can be read and written, and that the disk is not full."
    else:
        remedy = "Check that PostgreSQL runs and that user, password and database are right."
    return StoreError(f"Store {shown(url)} cannot be used: {line}.", remedy=remedy)


def _line(error: exc.DBAPIError) -> str:
    text = str(error.orig).strip() or type(error.orig).__name__
    return text.splitlines()[0].rstrip(".")


def revision(engine: sa.Engine) -> str:
    """The revision of the schema in the database; empty if it has none. Raises: StoreError."""
    path = engine.url.database or ""
    if engine.dialect.name == "sqlite" and not Path(path).exists():
        return ""
    with transaction(engine, write=False) as connection:
        if not sa.inspect(connection).has_table("alembic_version"):
            return ""
        found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return str(found or "")


def check_revision(engine: sa.Engine) -> None:
    """Returns if the database has the schema that this library uses. Raises: StoreError."""
    found, wanted, name = revision(engine), REVISIONS[-1], shown(engine.url)
    if found == wanted:
        return
    if not found:
        raise StoreError(f"Store {name} does not exist or is empty.", remedy="Run `openqrm db upgrade` to create it.")
    check_known(engine, found)
    raise StoreError(f"Store {name} has schema {found}, older than {wanted}.", remedy="Run `openqrm db upgrade`.")


def check_known(engine: sa.Engine, found: str) -> None:
    """Returns if the schema is one that this library has migrations for, or none. Raises: StoreError."""
    if found and found not in REVISIONS:
        raise StoreError(
            f"Store {shown(engine.url)} has schema {found}, which this openQRM (schema {REVISIONS[-1]}) does not know.",
            remedy="A newer openQRM wrote it: install that version, then run `openqrm db upgrade`.",
        )
