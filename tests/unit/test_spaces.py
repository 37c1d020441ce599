"""How full storages are: levels, and one event for each that is crossed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from openqrm import spaces
from openqrm.datacenter import Datacenter
from openqrm.errors import InvalidValueError, NotFoundError
from openqrm.model import Storage
from openqrm.storagesettings import StorageSettings, all_addresses, storage_settings

from tests.support.center import FakeCenter, make_center


@pytest.fixture
def center(tmp_path: Path) -> Iterator[FakeCenter]:
    made = make_center(tmp_path)
    with made.store.write("test", "storages") as tx:
        tx.save([Storage(0, "nas1", "fake", "san1", "/srv/one", "10.78.0.1")])
    yield made
    made.store.close()


def looks(center: FakeCenter, *percents: float | str) -> list[tuple[str, str]]:
    """Severity and beginning of the events that checks leave; a text is why the storage could not be asked."""
    datacenter = Datacenter(center.config, center.store)
    for percent in percents:
        (call,) = spaces.calls(datacenter, ["nas1"])
        spaces.record(datacenter, [call | answer(percent)], "test")
    with center.store.read() as tx:
        found = tx.events(kind="storage", name="nas1")
    return [(event.severity, event.message.partition(":")[0]) for event in found]


def answer(percent: float | str) -> dict[str, Any]:
    if isinstance(percent, str):
        return {"problem": percent}
    sizes = {"total_mib": 1000, "used_mib": round(10 * percent), "free_mib": 1000 - round(10 * percent)}
    return {"items": [{"location": "/srv/one", "what": "pool vg0/pool0", "used_percent": percent, **sizes}]}


SHORT, FULL, BACK = ("warning", "Space is short"), ("error", "Space is short"), ("info", "Back to normal")
LOST = ("error", "Its space cannot be read")


@pytest.mark.parametrize(
    ("percents", "events"),
    [
        ([10, 79.9], []),
        ([80, 85, 89.9], [SHORT]),
        ([95, 99], [FULL]),
        ([85, 91, 92, 85, 40, 41], [SHORT, FULL, SHORT, BACK]),
        ([80, 79, 80, 78.1, 77.9, 79], [SHORT, BACK]),
        ([90, 89, 90, 87.9], [FULL, SHORT]),
        (["gone", "gone", 10], [LOST, BACK]),
        ([85, "gone", 85], [SHORT, LOST, SHORT]),
        (["gone", 79], [LOST, BACK]),
    ],
)
def test_each_crossing_is_told_once(
    center: FakeCenter, percents: list[float | str], events: list[tuple[str, str]]
) -> None:
    assert looks(center, *percents) == events


def test_levels_are_those_of_the_storage(center: FakeCenter) -> None:
    with center.store.write("test", "levels") as tx:
        levels = {"space_warning_percent": 50, "space_error_percent": 60}
        tx.save([replace(tx.storage("nas1"), parameters=levels)])
    assert looks(center, 49, 51, 61) == [SHORT, FULL]


def test_the_event_says_what_is_full_and_what_to_do(center: FakeCenter) -> None:
    looks(center, 85)
    with center.store.read() as tx:
        (event,) = tx.events(kind="storage")
    assert event.message == (
        "Space is short: pool vg0/pool0 is 85 % full, 150 of 1000 MiB are free; the level is 80 %. "
        "Remove volumes or add room."
    )
    assert event.data["used_percent"] == 85
    assert event.data["level"] == "warning"


def test_what_was_seen_is_kept_without_audit_and_belongs_to_its_storage(center: FakeCenter) -> None:
    looks(center, 10, 20)
    with center.store.write("test", "another") as tx:
        assert spaces.spaces(tx, tx.storages())["nas1"].used_mib == 200
        assert [row for row in tx.audit(limit=1000) if row.kind == "setting" and row.name == spaces.KEY] == []
        tx.remove("storage", ["nas1"])
        tx.save([Storage(0, "nas1", "fake", "san1", "/srv/one", "10.78.0.1")])
        assert spaces.spaces(tx, tx.storages()) == {}


def test_a_location_that_cannot_be_looked_at_is_the_only_one_that_is_unknown(center: FakeCenter) -> None:
    with center.store.write("test", "another") as tx:
        tx.save([Storage(0, "nas2", "fake", "san1", "/srv/two", "10.78.0.1")])
    datacenter = Datacenter(center.config, center.store)
    (call,) = spaces.calls(datacenter, [])
    assert [item["location"] for item in call["locations"]] == ["/srv/one", "/srv/two"]
    items = [*answer(10)["items"], {"location": "/srv/two", "problem": "Location /srv/two does not exist."}]
    rows = spaces.record(datacenter, [call | {"items": items}], "test")
    assert [(row["name"], row["level"], row["message"]) for row in rows] == [
        ("nas1", "ok", ""),
        ("nas2", "unknown", "Location /srv/two does not exist."),
    ]
    assert spaces.record(datacenter, [call | {"items": items[:1]}], "test")[1]["level"] == "unknown"


def test_only_storages_that_exist_are_asked(center: FakeCenter) -> None:
    with pytest.raises(NotFoundError):
        spaces.calls(Datacenter(center.config, center.store), ["nas9"])


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"concurrent_operations": 0}, "concurrent_operations 0"),
        ({"concurrent_operations": "many"}, "concurrent_operations 'many'"),
        ({"space_warning_percent": 101}, "space_warning_percent 101"),
        ({"space_warning_percent": 95}, "is above space_error_percent 90"),
        ({"more_addresses": "10.79.0.10,san1"}, "more_addresses 'san1' is not an IP address"),
        ({"more_addresses": 7}, "more_addresses 7 is not an IP address"),
    ],
)
def test_wrong_parameters_are_named(parameters: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidValueError, match="Storage nas1: ") as caught:
        storage_settings("Storage nas1", parameters)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("given", "addresses"),
    [
        (None, ["10.78.0.10"]),
        ("", ["10.78.0.10"]),
        ("10.79.0.10", ["10.78.0.10", "10.79.0.10"]),
        (["10.79.0.10", "2001:DB8::1"], ["10.78.0.10", "10.79.0.10", "2001:db8::1"]),
        ("10.79.0.10, 10.78.0.10", ["10.78.0.10", "10.79.0.10"]),
    ],
)
def test_a_storage_has_its_address_and_those_that_it_names(given: object, addresses: list[str]) -> None:
    parameters = {} if given is None else {"more_addresses": given}
    assert list(all_addresses(Storage(0, "san1", "lvm", "san1", "/dev/vg0", "10.78.0.10", parameters))) == addresses


def test_parameters_have_defaults_and_may_be_text() -> None:
    assert storage_settings("x", {"other": 1}) == StorageSettings(4, 80, 90)
    assert storage_settings("x", {"concurrent_operations": "7"}).concurrent_operations == 7
