"""Fixtures that more than one area of the tests uses."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import postgresql

# Their assertions are not in a test module, and say as much as there.
pytest.register_assert_rewrite("tests.conformance.storage_cases", "tests.conformance.method_cases")


def pytest_addoption(parser: pytest.Parser) -> None:
    """What tests/conformance takes to hold another storage type or deployment method against its suite."""
    group = parser.getgroup("conformance", "a storage type or deployment method that tests/conformance is to test")
    group.addoption("--type", default="", help="its role, with the collection: acme.arrays.storage_array")
    group.addoption("--location", default="", help="a location where volumes may be made and removed")
    group.addoption("--inventory", default="", help="Ansible inventory with its server; without it, this machine")
    group.addoption("--host", default="localhost", help="the server's name in the inventory")
    group.addoption("--variables", default="{}", help="variables for the role, as JSON")
    group.addoption("--lacks", default="", help="what the type, or the location, cannot do: 'snapshot', 'read_only'")
    group.addoption("--size-mib", type=int, default=64, help="size of the volumes that are made (64)")
    group = parser.getgroup("conformance of methods", "what only tests/conformance/test_methods.py takes")
    group.addoption("--address", default="", help="the server's address for clients")
    group.addoption("--client", default="", help="what commands of the client begin with: 'ip netns exec client'")
    group.addoption("--stranger", default="", help="the same for another client, with another address")
    group.addoption("--program", default="", help="the clients' program, unless the method is one of this collection")
    group.addoption("--storage-type", default="", help="the role that makes the volumes; else directories or files")
    group.addoption("--restart", default="", help="the command on the server that restarts what serves grants")


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[postgresql.Server]:
    """A PostgreSQL server of this test run."""
    with postgresql.running_server() as server:
        yield server


@pytest.fixture
def postgresql_url(postgresql_server: postgresql.Server) -> str:
    """The SQLAlchemy URL of a new, empty PostgreSQL database, one for each test."""
    return postgresql_server.create_database()
