"""Simulated nodes report what the boot tree on disk makes them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from openqrm.boot.manifest import sha256
from openqrm.config import Boot, Config
from openqrm.fakenode import report_boot, report_off
from openqrm.store import Store

from tests.support.fleet import make_fleet


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A configuration whose boot tree is empty."""
    return Config(boot=Boot(root=str(tmp_path / "boot")))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """The store of `make_fleet`."""
    opened = make_fleet(f"sqlite:///{tmp_path}/openqrm.db")
    yield opened
    opened.close()


def publish(config: Config, mac: str) -> str:
    """A manifest for this MAC; its text."""
    text = json.dumps({"kernel": {"vmlinuz": "a" * 64}, "epoch": 7})
    path = Path(config.boot.root, "manifests", f"{mac}.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return text


def test_a_node_with_a_manifest_is_deployed(store: Store, config: Config) -> None:
    text = publish(config, "52-54-00-00-00-02")
    report_boot(store, config, ["node2", "gone"])
    with store.read() as reader:
        node = reader.resource("node2")
    assert (node.mode, node.stage, node.reported_epoch) == ("deployed", "up", 7)
    assert (node.manifest, node.kernel) == (sha256(text), "a" * 64)


@pytest.mark.parametrize(("before", "after"), [("off", "idle"), ("unknown", "idle"), ("idle", "idle")])
def test_a_node_without_one_is_idle(store: Store, config: Config, before: str, after: str) -> None:
    if before != "idle":
        with store.write("test", "set-up") as writer:
            writer.set_state("resource", ["node1"], before)
    report_boot(store, config, ["node1"])
    with store.read() as reader:
        node = reader.resource("node1")
    assert (node.state, node.mode, node.reported_epoch) == (after, "idle", 0)


def test_every_boot_has_its_own_id(store: Store, config: Config) -> None:
    seen = set()
    for _ in range(3):
        report_boot(store, config, ["node1"])
        with store.read() as reader:
            seen.add(reader.resource("node1").boot_id)
    assert len(seen) == 3


def test_a_machine_that_is_off_is_silent(store: Store, config: Config) -> None:
    publish(config, "52-54-00-00-00-02")
    report_boot(store, config, ["node2"])
    report_off(store, ["node2", "gone"])
    with store.read() as reader:
        node = reader.resource("node2")
    assert (node.mode, node.stage, node.boot_id, node.manifest, node.reported_epoch) == ("", "", "", "", 0)
