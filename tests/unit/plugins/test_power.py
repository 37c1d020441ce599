"""What all power drivers share, with a driver whose machines are in memory."""

from __future__ import annotations

import threading

import pytest
from ansible_collections.openqrm.datacenter.plugins.module_utils.power import Driver, Power, PowerError

BREAK_S = 10


class Meeting(Driver):
    """Machines that answer only when as many as `size` are asked at once; `peak` is the most that ever were."""

    def __init__(self, size: int) -> None:
        self.barrier = threading.Barrier(size)
        self.lock = threading.Lock()
        self.now = self.peak = 0

    def power(self, endpoint: dict[str, str]) -> str:
        with self.lock:
            self.now += 1
            self.peak = max(self.peak, self.now)
        self.barrier.wait(BREAK_S)
        with self.lock:
            self.now -= 1
        return "on" if endpoint["name"].endswith("1") else "off"


def test_machines_are_asked_side_by_side_and_no_more_than_allowed() -> None:
    driver = Meeting(4)
    endpoints = [{"name": f"n{number}"} for number in range(12)]
    items = Power(driver, 0, 4).ensure("status", endpoints, False)["items"]
    assert [item["name"] for item in items] == [endpoint["name"] for endpoint in endpoints]
    assert [item["name"] for item in items if item["power"] == "on"] == ["n1", "n11"]
    assert driver.peak == 4


class Broken(Driver):
    """A driver with an error of its own."""

    def power(self, endpoint: dict[str, str]) -> str:
        raise KeyError(endpoint["name"])


def test_an_error_of_the_driver_itself_is_not_taken_for_the_machines() -> None:
    with pytest.raises(KeyError):
        Power(Broken(), 0, 4).ensure("status", [{"name": "n1"}], False)


def test_a_boot_device_has_to_be_named() -> None:
    with pytest.raises(PowerError, match="Resource n1: verb boot_device needs a device"):
        Power(Meeting(1), 0, 4).ensure("boot_device", [{"name": "n1", "device": None}], False)
