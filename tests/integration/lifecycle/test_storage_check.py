"""`openqrm storage check` by its real playbook: all servers at once, and one event for each crossing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from openqrm.model import Storage
from openqrm.runner import RunResult

from tests.support.center import FakeCenter, make_center
from tests.support.killing import run


@pytest.fixture
def center(tmp_path: Path) -> Iterator[FakeCenter]:
    made = make_center(tmp_path)
    (tmp_path / "volumes").mkdir()
    with made.store.write("test", "storages") as tx:
        tx.save(
            [
                Storage(0, "nas1", "fake", "san1", "/srv/one", "10.78.0.1"),
                Storage(0, "nas2", "fake", "san1", "/srv/two", "10.78.0.1"),
                Storage(0, "real", "directory", "san1", str(tmp_path / "volumes"), "10.78.0.1"),
                Storage(0, "nas3", "fake", "san3", "/srv/one", "10.78.0.1"),
            ]
        )
    yield made
    made.store.close()


def fill(center: FakeCenter, location: str, used_mib: int) -> None:
    """Has the fake server san1 say that so much of 1000 MiB is used there."""
    path = center.root / "fake/storage.san1.json"
    path.parent.mkdir(exist_ok=True)
    state = json.loads(path.read_text()) if path.exists() else {"objects": {}, "faults_shown": {}}
    state["objects"][f"space of {location}"] = {"kind": "space", "total_mib": 1000, "used_mib": used_mib}
    path.write_text(json.dumps(state))


def levels(result: RunResult) -> dict[str, str]:
    assert result.errors == ()
    return {row["name"]: row["level"] for row in result.stats["openqrm"]["storages"]}


def events(center: FakeCenter) -> list[tuple[str, str]]:
    with center.store.read() as tx:
        return [(event.name, event.severity) for event in tx.events(kind="storage")]


def test_crossings_are_told_once_and_the_command_line_shows_the_space(center: FakeCenter) -> None:
    fill(center, "/srv/one", 850)
    first = levels(center.run("storage_check"))
    assert {name: first[name] for name in ("nas1", "nas2", "nas3")} == {"nas1": "warning", "nas2": "ok", "nas3": "ok"}
    assert "unknown" not in first.values()
    assert [event for event in events(center) if event[0] != "real"] == [("nas1", "warning")]
    again = center.run("storage_check", check=True, storages=["nas1", "nas2"])
    assert again.stats["openqrm"]["storages"] == []
    fill(center, "/srv/one", 950)
    fill(center, "/srv/two", 850)
    assert levels(center.run("storage_check", storages="nas1")) == {"nas1": "error"}
    fill(center, "/srv/one", 100)
    assert levels(center.run("storage_check", storages=["nas1", "nas3"])) == {"nas1": "ok", "nas3": "ok"}
    assert levels(center.run("storage_check", storages=["nas1"])) == {"nas1": "ok"}
    assert [s for name, s in events(center) if name == "nas1"] == ["warning", "error", "info"]
    config = center.root / "openqrm.yml"
    code, text = run(config, "storage", "check", "nas1", "nas2")
    assert (code, "85 %  warning" in str(text)) == (0, True), text
    code, text = run(config, "storage", "list", "--json")
    shown = {row["name"]: row["space"] for row in json.loads(str(text))}
    assert (shown["nas2"]["used_mib"], shown["nas2"]["total_mib"], shown["nas1"]["level"]) == (850, 1000, "ok")


def test_a_server_that_cannot_be_asked_is_an_event_and_holds_up_nobody(center: FakeCenter) -> None:
    inventory = yaml.safe_load((center.root / "inventory.yml").read_text())
    inventory["all"]["hosts"]["san3"] = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}
    del inventory["all"]["hosts"]["san2"]
    with center.store.write("test", "more") as tx:
        tx.save([Storage(0, "lost", "fake", "san2", "/srv", "10.78.0.1")])
        tx.save([Storage(0, "away", "directory", "san3", "/srv", "10.78.0.1")])
        tx.save([Storage(0, "void", "directory", "san1", str(center.root / "nowhere"), "10.78.0.1")])
    (center.root / "inventory.yml").write_text(yaml.safe_dump(inventory))
    for _ in range(2):
        found = levels(center.run("storage_check"))
    assert {name for name, level in found.items() if level == "unknown"} == {"lost", "away", "void"}
    with center.store.read() as tx:
        said = {event.name: event.message for event in tx.events(kind="storage") if event.severity == "error"}
        assert len([event for event in tx.events(kind="storage") if event.name != "real"]) == 3
    assert "host san2 is not in the inventory" in said["lost"]
    assert "host san3 is unreachable" in said["away"]
    assert "does not exist on this server" in said["void"]
