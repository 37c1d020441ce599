"""A data centre is its configuration, store and types."""

from __future__ import annotations

from pathlib import Path

import pytest
from openqrm.config import Config
from openqrm.datacenter import Datacenter
from openqrm.errors import NotFoundError, StoreError
from openqrm.store import upgrade


def test_it_opens_the_store_and_finds_the_types(tmp_path: Path) -> None:
    config = Config(store=f"sqlite:///{tmp_path}/openqrm.db")
    upgrade(config.store)
    center = Datacenter.open(config)
    try:
        with center.store.read() as reader:
            assert reader.resources() == []
        assert center.types.get("deployment", "nfs").role == "openqrm.datacenter.deployment_nfs"
        assert center.types is center.types, "they are read once"
    finally:
        center.close()


def test_a_store_that_is_not_there_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="openqrm db upgrade"):
        Datacenter.open(Config(store=f"sqlite:///{tmp_path}/openqrm.db"))
    assert list(tmp_path.iterdir()) == []


def test_a_configured_collection_that_is_missing_is_named(tmp_path: Path) -> None:
    config = Config(store=f"sqlite:///{tmp_path}/openqrm.db", collections=("acme.nowhere",))
    upgrade(config.store)
    center = Datacenter.open(config)
    try:
        with pytest.raises(NotFoundError, match=r"acme\.nowhere"):
            _ = center.types
    finally:
        center.close()
