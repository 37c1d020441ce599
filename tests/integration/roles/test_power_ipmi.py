"""power_ipmi against OpenIPMI's simulator, with ipmitool and IPMI 2.0 over UDP as they are."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.ipmi_sim import PASSWORD, Machine, machine
from tests.support.roles import Step, run

IPMI = "openqrm.datacenter.power_ipmi"
VARIABLES = {
    "power_ipmi_username": "admin",
    "power_ipmi_password": PASSWORD,
    "power_ipmi_cipher_suite": "3",
    "power_ipmi_timeout_s": 3,
    "power_ipmi_retries": 0,
}


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[list[Machine]]:
    """Two machines that are off."""
    with machine(tmp_path / "n1") as first, machine(tmp_path / "n2") as second:
        yield [first, second]


def step(machines: list[Machine], verb: str, check: bool = False, **more: Any) -> Step:
    endpoints = [{"name": item.directory.name, "address": item.address} | more for item in machines]
    return Step(IPMI, verb, {"power_endpoints": endpoints}, check)


def test_power_and_boot_device(machines: list[Machine], tmp_path: Path) -> None:
    verbs = ["status", "on", "on", "reset", "off", "off", "status"]
    steps = [step(machines, "on", check=True), *(step(machines, verb) for verb in verbs)]
    steps += [step(machines, "boot_device", device="pxe", check=True)]
    steps += [step(machines, "boot_device", device=device) for device in ("pxe", "pxe", "disk")]
    outcomes = run(tmp_path, steps, VARIABLES)
    assert [outcome.failed for outcome in outcomes] == [""] * len(steps)
    assert [(outcome.items[1]["power"], outcome.changed) for outcome in outcomes] == [
        ("on", True),
        ("off", False),
        ("on", True),
        ("on", False),
        ("on", True),
        ("off", True),
        ("off", False),
        ("off", False),
        ("off", True),
        ("off", True),
        ("off", False),
        ("off", True),
    ]
    assert [outcome.items[0]["device"] for outcome in outcomes[-3:]] == [
        "pxe continuous",
        "pxe continuous",
        "disk continuous",
    ]
    wanted = ["set power 1", "set reset 1", "set power 0", "set boot pxe", "set boot default"]
    assert [item.asked() for item in machines] == [wanted, wanted]


def test_what_fails_is_told(machines: list[Machine], tmp_path: Path) -> None:
    first, second = machines
    (second.directory / "deaf").touch()
    gone = Machine(tmp_path / "n3", "127.0.0.1:9")
    wrong = step([first], "status")
    steps = [
        step([first, gone], "on"),
        Step(IPMI, "status", dict(wrong.variables) | {"power_ipmi_password": "wrong"}),
        Step(IPMI, "status", dict(wrong.variables) | {"power_ipmi_password": "longer than twenty letters"}),
        step([first, second], "on"),
    ]
    begun = time.monotonic()
    unreached, refused, long, deaf = run(tmp_path, steps, VARIABLES)
    assert "Resource n3: the BMC at 127.0.0.1:9 did not do chassis power status" in unreached.failed
    assert "Resource n1: the BMC" in refused.failed and "user, password and cipher suite" in refused.failed
    assert "longer than 20" in long.failed
    assert "Resource n2: power on was asked for" in deaf.failed
    assert first.asked() == ["set power 1"], (
        "a machine was switched though another cannot be reached, or was not at last"
    )
    assert time.monotonic() - begun < 90
