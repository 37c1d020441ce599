"""The store: all state of a data centre, in SQLite or PostgreSQL. Nothing else in the project writes SQL."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import sqlalchemy as sa

from openqrm.errors import TransactionLostError
from openqrm.store import engine as engines
from openqrm.store.migrate import current, head, upgrade
from openqrm.store.reader import Reader
from openqrm.store.writer import Writer

__all__ = ["Reader", "Store", "Writer", "current", "head", "open_store", "upgrade"]
LOCK_TIMEOUT_S = 30.0
ATTEMPTS = 5
T = TypeVar("T")


class Store:
    """An open store. Threads may share it; every transaction has a connection of its own."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    @contextlib.contextmanager
    def read(self) -> Iterator[Reader]:
        """A consistent view. Raises: StoreError."""
        with engines.transaction(self._engine, write=False) as connection:
            yield Reader(connection)

    @contextlib.contextmanager
    def write(self, actor: str, reason: str) -> Iterator[Writer]:
        """One transaction of `actor` (who) for `reason` (why): committed at the end, rolled back on any exception.

        Raises: StoreError when the store fails or stays locked; ConflictError when it refuses the change.
        """
        with engines.transaction(self._engine, write=True) as connection:
            writer = Writer(connection, actor, reason)
            yield writer
            writer.flush()

    def again(self, work: Callable[[], T]) -> T:
        """What `work` returns, which is one transaction of this store: done again where the database broke it off.

        Raises: TransactionLostError after the last attempt; what `work` raises.
        """
        for _ in range(ATTEMPTS - 1):
            try:
                return work()
            except TransactionLostError:
                time.sleep(engines.PAUSE_S)
        return work()

    def close(self) -> None:
        """Closes all connections."""
        self._engine.dispose()


def open_store(url: str, *, create: bool = False, timeout_s: float = LOCK_TIMEOUT_S) -> Store:
    """The store at `url`; `create` makes an empty database into one. Waiting for a lock ends after `timeout_s`.

    Raises: StoreError when it cannot be reached or its schema is not of this version.
    """
    if create and not current(url, timeout_s=timeout_s):
        upgrade(url, timeout_s=timeout_s)
    engine = engines.connect(engines.parse_url(url), timeout_s)
    try:
        engines.check_revision(engine)
    except BaseException:
        engine.dispose()
        raise
    return Store(engine)
