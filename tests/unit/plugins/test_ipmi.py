"""Power by IPMI, against BMCs that answer what ipmitool prints for them."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.openqrm.datacenter.plugins.module_utils import ipmi
from ansible_collections.openqrm.datacenter.plugins.module_utils.commands import CommandError
from ansible_collections.openqrm.datacenter.plugins.module_utils.ipmi import Ipmi
from ansible_collections.openqrm.datacenter.plugins.module_utils.power import Power, PowerError

from tests.unit.plugins.module_cases import run_module

Capsys = pytest.CaptureFixture[str]
NODE = {"name": "node1", "address": "bmc1"}
PASSWORD = "correct horse"  # noqa: S105
IDENTITY = """Device ID                 : 32
Firmware Revision         : {2}
Manufacturer ID           : {0}
Manufacturer Name         : Unknown (0x2A7C)
Product ID                : {1} (0x0f02)
Aux Firmware Rev Info     :
    0x00
"""
PLAIN, SUPERMICRO, SIMULATOR = ("674", "256", "2.40"), ("10876", "2437", "3.94"), ("4753", "3842", "9.08")


class Bmc:
    """A BMC behind ipmitool. `deaf` takes commands and does nothing; `fails` is how often it does not answer."""

    def __init__(self, power: str = "off", identity: tuple[str, str, str] = PLAIN, **more: Any) -> None:
        self.power = power
        self.identity = identity
        self.deaf: bool = more.get("deaf", False)
        self.fails: int = more.get("fails", 0)
        self.refuses: str = more.get("refuses", "nothing")
        self.flags = [0, 0, 0, 0, 0]
        self.asked: list[str] = []
        self.calls: list[tuple[list[str], dict[str, str]]] = []

    def run(self, argv: list[str], _timeout_s: int, environment: dict[str, str]) -> str:
        """What ipmitool prints, as recorded with ipmitool 1.8.19."""
        self.calls.append((argv, environment))
        words = argv[argv.index("-R") + 2 :]
        text = " ".join(words)
        if self.fails or text.startswith(self.refuses):
            self.fails = max(0, self.fails - 1)
            raise CommandError(argv, 1, "Error: Unable to establish IPMI v2 / RMCP+ session")
        if text not in ("chassis power status", "mc info", " ".join(ipmi.GET_FLAGS)):
            self.asked.append(text)
        return self.answer(words)

    def answer(self, words: list[str]) -> str:
        """What is printed for these words."""
        if words[0] == "mc":
            return IDENTITY.format(*self.identity)
        if words[:2] == ["chassis", "power"]:
            if words[2] != "status" and not self.deaf:
                self.power = "off" if words[2] == "off" else "on"
            return f"Chassis Power is {self.power}\n"
        if words == ipmi.GET_FLAGS:
            return " 01 05 " + " ".join(f"{byte:02x}" for byte in self.flags) + "\n"
        if words[:4] == ipmi.SET_FLAGS and not self.deaf:
            self.flags = [int(word, 16) for word in words[4:]]
        return "\n"


def power(bmc: Bmc, mode: str = "once", **options: Any) -> Power:
    settings = {"username": "admin", "password": PASSWORD, "credentials": {}, "cipher_suite": "", "retries": 0}
    driver = Ipmi(bmc.run, settings | {"request_timeout_s": 1} | options)
    return Power(driver, 0, 4, mode)


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ipmi, "PAUSE_S", 0)


# verb, power before, power afterwards, what the BMC is asked to do (empty: unchanged)
CASES = [
    ("status", "on", "on", []),
    ("on", "off", "on", ["chassis power on"]),
    ("on", "on", "on", []),
    ("off", "on", "off", ["chassis power off"]),
    ("off", "off", "off", []),
    ("reset", "on", "on", ["chassis power reset"]),
    ("reset", "off", "on", ["chassis power on"]),
]


@pytest.mark.parametrize("check", [False, True], ids=["real", "check"])
@pytest.mark.parametrize(("verb", "before", "after", "asked"), CASES)
def test_power(verb: str, before: str, after: str, asked: list[str], check: bool) -> None:
    bmc = Bmc(before)
    changed = bool(asked)
    result = power(bmc).ensure(verb, [NODE], check)
    assert result == {"changed": changed, "items": [{"name": "node1", "power": after, "changed": changed}]}
    assert bmc.asked == ([] if check else asked)


KEEP = " ".join(ipmi.KEEP_FLAGS)
# device, mode, firmware, BMC, boot flags that are set, what is read back
BOOT = [
    ("pxe", "once", "bios", PLAIN, "0x80 0x04 0x00 0x00 0x00", "pxe once"),
    ("pxe", "continuous", "bios", PLAIN, "0xc0 0x04 0x00 0x00 0x00", "pxe continuous"),
    ("disk", "once", "bios", PLAIN, "0x80 0x08 0x00 0x00 0x00", "disk once"),
    ("pxe", "once", "uefi", PLAIN, "0xa0 0x04 0x00 0x00 0x00", "pxe once"),
    ("disk", "continuous", "uefi", PLAIN, "0xe0 0x08 0x00 0x00 0x00", "disk continuous"),
    ("disk", "continuous", "uefi", SUPERMICRO, "0xe0 0x24 0x00 0x00 0x00", "disk continuous"),
    ("disk", "once", "bios", SUPERMICRO, "0x80 0x08 0x00 0x00 0x00", "disk once"),
    ("pxe", "once", "uefi", SUPERMICRO, "0xa0 0x04 0x00 0x00 0x00", "pxe once"),
]


@pytest.mark.parametrize(("device", "mode", "firmware", "identity", "sent", "found"), BOOT)
def test_boot_device(
    device: str, mode: str, firmware: str, identity: tuple[str, str, str], sent: str, found: str
) -> None:
    bmc = Bmc(identity=identity)
    wanted = NODE | {"device": device, "firmware": firmware}
    assert power(bmc, mode).ensure("boot_device", [wanted], True)["changed"]
    assert bmc.asked == []
    result = power(bmc, mode).ensure("boot_device", [wanted], False)
    assert (result["changed"], result["items"][0]["device"]) == (True, found)
    assert bmc.asked == [KEEP, " ".join(ipmi.SET_FLAGS) + " " + sent]
    assert not power(bmc, mode).ensure("boot_device", [wanted], False)["changed"]


def test_a_continuous_override_does_for_one_boot_but_not_the_other_way() -> None:
    bmc = Bmc()
    wanted = NODE | {"device": "pxe"}
    power(bmc, "once").ensure("boot_device", [wanted], False)
    assert power(bmc, "continuous").ensure("boot_device", [wanted], False)["changed"]
    assert not power(bmc, "once").ensure("boot_device", [wanted], False)["changed"]


def test_a_boot_device_can_be_left_alone() -> None:
    bmc = Bmc("on")
    result = power(bmc, "unchanged").ensure("boot_device", [NODE | {"device": "pxe"}], False)
    assert result == {"changed": False, "items": [{"name": "node1", "power": "on", "changed": False}]}
    assert (bmc.asked, bmc.flags) == ([], [0, 0, 0, 0, 0])


def test_flags_that_are_not_valid_are_no_override() -> None:
    bmc = Bmc()
    bmc.flags = [0x00, 0x04, 0, 0, 0]
    assert power(bmc).ensure("boot_device", [NODE | {"device": "pxe"}], True)["changed"]
    bmc.identity = SIMULATOR
    assert not power(bmc).ensure("boot_device", [NODE | {"device": "pxe"}], True)["changed"]


def test_a_bmc_that_drops_flags_after_a_minute_is_used_all_the_same() -> None:
    bmc = Bmc(refuses=KEEP)
    assert power(bmc).ensure("boot_device", [NODE | {"device": "pxe"}], False)["items"][0]["device"] == "pxe once"


def test_what_is_not_read_back_is_an_error_and_does_not_stop_the_others() -> None:
    deaf, good = Bmc("on", deaf=True), Bmc("on")

    def run(argv: list[str], timeout_s: int, environment: dict[str, str]) -> str:
        return (deaf if argv[argv.index("-H") + 1] == "bmc1" else good).run(argv, timeout_s, environment)

    both = power(good)
    both._driver._run = run
    result = both.ensure("off", [NODE, {"name": "node2", "address": "bmc2"}], False)
    assert result["failed"]
    assert result["msg"] == "Resource node1: power off was asked for, bmc1 still says on after 0 s."
    assert [(item["power"], item["changed"]) for item in result["items"]] == [("on", True), ("off", True)]
    deaf.power = "on"
    refused = both.ensure("boot_device", [NODE | {"device": "pxe"}], False)
    assert refused["msg"] == "Resource node1: boot device pxe once was asked for, bmc1 still says none after 0 s."


def test_a_request_that_fails_is_repeated() -> None:
    bmc = Bmc("on", fails=2)
    assert power(bmc, retries=2).ensure("status", [NODE], False)["items"][0]["power"] == "on"
    bmc.fails = 3
    with pytest.raises(PowerError, match="did not do chassis power status: Error: Unable to establish"):
        power(bmc, retries=2).ensure("status", [NODE], False)


BAD = {
    "no address": (NODE | {"address": ""}, "its BMC address is empty; give a host"),
    "option as address": (NODE | {"address": "-I"}, "its BMC address is -I; give a host"),
    "URL": (NODE | {"address": "https://bmc1"}, "its BMC address is https://bmc1; give a host"),
    "line break": (NODE | {"address": "bmc1\n-x"}, "give a host"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_machine_fails_before_any_is_asked(case: str) -> None:
    endpoint, expected = BAD[case]
    bmc = Bmc("on")
    with pytest.raises(PowerError, match=re.escape(expected)):
        power(bmc).ensure("off", [NODE, endpoint], False)
    assert bmc.calls == []


def test_machines_that_do_not_answer_are_all_named_and_none_is_changed() -> None:
    bmc = Bmc("on", refuses="chassis power status")
    with pytest.raises(PowerError) as error:
        power(bmc).ensure("off", [NODE, NODE | {"name": "node2"}], False)
    assert "Resource node1:" in str(error.value) and "Resource node2:" in str(error.value)
    assert bmc.asked == []


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [("bmc1", "bmc1", "623"), ("10.0.0.9:6230", "10.0.0.9", "6230"), ("[fd00::9]:6230", "fd00::9", "6230")],
)
def test_addresses(address: str, host: str, port: str) -> None:
    bmc = Bmc()
    power(bmc).ensure("status", [NODE | {"address": address}], False)
    argv = bmc.calls[0][0]
    assert (argv[argv.index("-H") + 1], argv[argv.index("-p") + 1]) == (host, port)


def test_the_password_is_never_an_argument_and_machines_can_have_their_own() -> None:
    bmc = Bmc()
    own = {"node2": {"password": "of its own"}}
    power(bmc, credentials=own, cipher_suite="17").ensure("status", [NODE, NODE | {"name": "node2"}], False)
    assert sorted(environment["IPMI_PASSWORD"] for _argv, environment in bmc.calls) == [PASSWORD, "of its own"]
    for argv, _environment in bmc.calls:
        assert not any(secret in " ".join(argv) for secret in (PASSWORD, "of its own"))
        assert argv[argv.index("-U") + 1] == "admin"
        assert argv[argv.index("-C") + 1] == "17"


def test_the_bmc_is_asked_what_it_is_once() -> None:
    bmc = Bmc()
    power(bmc).ensure("boot_device", [NODE | {"device": "pxe"}], False)
    assert sum("info" in argv for argv, _environment in bmc.calls) == 1


def test_the_module_tells_what_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capsys) -> None:
    """The module itself, with a program in ipmitool's place that shows what it was given, and fails after `status`."""
    program = tmp_path / "ipmitool"
    program.write_text(
        '#!/bin/sh\ncase "$*" in *status) echo "Chassis Power is on" ;; *) echo "$IPMI_PASSWORD?"; exit 1 ;; esac\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    arguments = {"endpoints": [NODE], "username": "admin", "password": PASSWORD, "retries": 0}
    status = run_module("ipmi_power", capsys, arguments | {"verb": "status"})
    assert (status["changed"], status["items"][0]["power"]) == (False, "on")
    checked = run_module("ipmi_power", capsys, arguments | {"verb": "off"}, check=True)
    assert (checked["changed"], checked["items"][0]["power"]) == (True, "off")
    failed = run_module("ipmi_power", capsys, arguments | {"verb": "off"})
    assert failed["failed"] and "Resource node1: the BMC at bmc1 did not do chassis power off" in failed["msg"]
    assert failed["items"] == [{"name": "node1", "power": "on", "changed": True}]
    assert PASSWORD not in str(failed)
    assert "needs a device" in run_module("ipmi_power", capsys, arguments | {"verb": "boot_device"})["msg"]
