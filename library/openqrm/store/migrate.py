"""Bringing a store's schema to the newest revision. Only this module loads Alembic, and only when it is called."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from openqrm.errors import StoreError
from openqrm.store import engine as engines
from openqrm.store.schema import REVISIONS

if TYPE_CHECKING:
    from alembic.config import Config

LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('openqrm schema', 0))"


def head() -> str:
    """The revision that this library uses."""
    return REVISIONS[-1]


def current(url: str, *, timeout_s: float = 30) -> str:
    """The revision of the store's schema; empty if there is none. Raises: StoreError."""
    engine = engines.connect(engines.parse_url(url), timeout_s)
    try:
        return engines.revision(engine)
    finally:
        engine.dispose()


def upgrade(url: str, *, timeout_s: float = 30, check: bool = False) -> str:
    """Creates the store or brings its schema to the newest revision, which is returned. One transaction.

    `check`: only finds out whether it could.

    Raises: StoreError, also for a store that a newer openQRM wrote.
    """
    parsed = engines.parse_url(url)
    if not check:
        prepare_file(parsed)
    engine = engines.connect(parsed, timeout_s)
    try:
        engines.check_known(engine, engines.revision(engine))
        if check:
            return head()
        with engines.transaction(engine, write=True) as connection:
            lock(connection)
            migrate(connection)
    finally:
        engine.dispose()
    return head()


def prepare_file(url: sa.URL) -> None:
    """A new SQLite file belongs to its user alone: it holds digests of tokens and encrypted secrets."""
    if url.drivername != "sqlite":
        return
    path = Path(str(url.database))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
    except OSError as error:
        raise StoreError(
            f"Store {path} cannot be created: {error.strerror}.",
            remedy="Check the directory, its permissions and the disk.",
        ) from error


def lock(connection: sa.Connection) -> None:
    """Keeps other migrations waiting until the transaction ends; on SQLite every write transaction does."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(LOCK)


def migrate(connection: sa.Connection, revision: str = "head") -> None:
    """Brings the schema to this revision, in the transaction of the connection."""
    from alembic import command

    command.upgrade(alembic_config(connection), revision)


def alembic_config(connection: sa.Connection) -> Config:
    """Alembic's configuration for this package's migrations over an open connection."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
