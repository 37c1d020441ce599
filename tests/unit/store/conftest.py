"""Every test of this directory that takes `url` or `store` runs on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from openqrm.store import Store, open_store

from tests.unit.store import samples


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a new, empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/openqrm.db"
    return str(request.getfixturevalue("postgresql_url"))


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """An empty store."""
    opened = open_store(url, create=True, timeout_s=20)
    yield opened
    opened.close()


@pytest.fixture
def filled(store: Store) -> Store:
    """A store with `samples.fill`."""
    with store.write("tester", "fill") as writer:
        samples.fill(writer)
    return store
