"""Fixtures that more than one area of the tests uses."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import postgresql


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[postgresql.Server]:
    """A PostgreSQL server of this test run."""
    with postgresql.running_server() as server:
        yield server


@pytest.fixture
def postgresql_url(postgresql_server: postgresql.Server) -> str:
    """The SQLAlchemy URL of a new, empty PostgreSQL database, one for each test."""
    return postgresql_server.create_database()
