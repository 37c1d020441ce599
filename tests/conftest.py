"""Fixtures that more than one area of the tests uses."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import postgresql

# Their assertions are not in a test module, and say as much as there.
pytest.register_assert_rewrite("tests.conformance.storage_cases")


def pytest_addoption(parser: pytest.Parser) -> None:
    """What tests/conformance takes to hold another storage type against its suite."""
    group = parser.getgroup("conformance", "a storage type that tests/conformance is to test")
    group.addoption("--type", default="", help="its role, with the collection: acme.arrays.storage_array")
    group.addoption("--location", default="", help="a location where volumes may be made and removed")
    group.addoption("--inventory", default="", help="Ansible inventory with its server; without it, this machine")
    group.addoption("--host", default="localhost", help="the server's name in the inventory")
    group.addoption("--variables", default="{}", help="variables for the role, as JSON")
    group.addoption("--lacks", default="", help="capabilities of the type that the location cannot have: 'snapshot'")
    group.addoption("--size-mib", type=int, default=64, help="size of the volumes that are made (64)")


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[postgresql.Server]:
    """A PostgreSQL server of this test run."""
    with postgresql.running_server() as server:
        yield server


@pytest.fixture
def postgresql_url(postgresql_server: postgresql.Server) -> str:
    """The SQLAlchemy URL of a new, empty PostgreSQL database, one for each test."""
    return postgresql_server.create_database()
