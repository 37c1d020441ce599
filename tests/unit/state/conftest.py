"""A small data centre, and types that it may use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from openqrm.store import Store
from openqrm.types import TypeInfo, TypeRegistry

from tests.support.fleet import make_fleet


def _type(family: str, name: str, **fields: Any) -> TypeInfo:
    return TypeInfo(family, name, f"test.types.{family}_{name}", Path("roles"), "", **fields)


@pytest.fixture
def types() -> Callable[[], TypeRegistry]:
    """A storage type that clones and one that cannot, a deployment for each, and a power driver."""
    known = [
        _type("storage", "directory", presents=("filesystem",), capabilities=("clone",)),
        _type("storage", "disk", presents=("block",)),
        _type("deployment", "nfs", needs="filesystem", boot_mode="network_root"),
        _type("deployment", "iscsi", needs="block", boot_mode="network_root"),
        _type("deployment", "disk", needs="block", boot_mode="local"),
        _type("power", "redfish"),
    ]
    registry = TypeRegistry({(item.family, item.name): item for item in known})
    return lambda: registry


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """The store of `make_fleet`."""
    opened = make_fleet(f"sqlite:///{tmp_path}/openqrm.db")
    yield opened
    opened.close()
