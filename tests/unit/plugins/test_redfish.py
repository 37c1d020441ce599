"""Power by Redfish, against BMCs whose modules' answers are made up."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.openqrm.datacenter.plugins.plugin_utils.redfish import Redfish, RedfishError, ensure

NODE = {"name": "node1", "address": "https://bmc1/", "system": "1"}


class Bmc:
    """A BMC with two systems; `deaf` ones take commands and do nothing."""

    def __init__(self, power: str = "Off", deaf: bool = False) -> None:
        self.power = power
        self.target = "None"
        self.deaf = deaf
        self.commands: list[str] = []
        self.options: dict[str, Any] = {}

    def call(self, module: str, options: dict[str, Any]) -> dict[str, Any]:
        """What the module of community.general answers."""
        self.options = options
        command = options["command"][0]
        if options["baseuri"] == "dead":
            return {"failed": True, "msg": "timed out"}
        if module.endswith("info"):
            boot = {"BootSourceOverrideEnabled": "Once", "BootSourceOverrideTarget": self.target}
            data = {"PowerState": self.power} if command == "GetSystemInventory" else boot
            entries = [[{"system_uri": "/redfish/v1/Systems/1"}, data], [{"system_uri": "/redfish/v1/Systems/2"}, {}]]
            return {"redfish_facts": {"system": {"entries": entries}, "boot_override": {"entries": entries}}}
        self.commands.append(command)
        if not self.deaf:
            self.power = {"PowerForceOff": "Off"}.get(command, "On") if command.startswith("Power") else self.power
            self.target = options.get("bootdevice", self.target)
        return {"changed": True}


def redfish(bmc: Bmc, **credentials: Any) -> Redfish:
    return Redfish(bmc.call, {"username": "admin", "password": "all"}, credentials, 0)


# verb, power before, power afterwards, commands (none: unchanged)
CASES = [
    ("status", "On", "on", []),
    ("status", "PoweringOff", "on", []),
    ("on", "Off", "on", ["PowerOn"]),
    ("on", "On", "on", []),
    ("off", "On", "off", ["PowerForceOff"]),
    ("off", "Off", "off", []),
    ("reset", "On", "on", ["PowerForceRestart"]),
    ("reset", "Off", "on", ["PowerOn"]),
]


@pytest.mark.parametrize("check", [False, True], ids=["real", "check"])
@pytest.mark.parametrize(("verb", "before", "after", "commands"), CASES)
def test_power(verb: str, before: str, after: str, commands: list[str], check: bool) -> None:
    bmc = Bmc(before)
    result = ensure(redfish(bmc), verb, [NODE], check)
    changed = bool(commands)
    assert result == {"changed": changed, "items": [{"name": "node1", "power": after, "changed": changed}]}
    assert bmc.commands == ([] if check else commands)
    assert bmc.options["baseuri"] == "bmc1"


def test_boot_device() -> None:
    bmc = Bmc()
    wanted = dict(NODE, device="pxe")
    assert ensure(redfish(bmc), "boot_device", [wanted], True)["changed"]
    assert bmc.commands == []
    assert ensure(redfish(bmc), "boot_device", [wanted], False)["changed"]
    assert (bmc.target, bmc.commands) == ("Pxe", ["SetOneTimeBoot"])
    assert not ensure(redfish(bmc), "boot_device", [wanted], False)["changed"]


def test_what_is_not_read_back_is_an_error_and_does_not_stop_the_others() -> None:
    deaf, good = Bmc("On", deaf=True), Bmc("On")
    both = Redfish(lambda m, o: (deaf if o["baseuri"] == "bmc1" else good).call(m, o), {}, {}, 0)
    result = ensure(both, "off", [NODE, {"name": "node2", "address": "bmc2", "system": "1"}], False)
    assert result["failed"]
    assert result["msg"] == (
        "Resource node1: power off was asked for, the BMC at https://bmc1/ still says on after 0 s."
    )
    assert [item["power"] for item in result["items"]] == ["on", "off"]


BAD = {
    "dead": (dict(NODE, address="dead"), "did not do GetSystemInventory: timed out"),
    "plain http": (dict(NODE, address="http://bmc1"), "give the host or the https:// URL"),
    "no address": (dict(NODE, address=""), "its BMC address is empty"),
    "other system": (dict(NODE, system="9"), "has no system 9; it has: 1, 2"),
    "no system": (dict(NODE, system=None), "has no system (none was named)"),
    "no power": (dict(NODE, system="2"), "the power is None"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_machine_fails_before_any_other_is_changed(case: str) -> None:
    endpoint, expected = BAD[case]
    bmc = Bmc("On")
    with pytest.raises(RedfishError) as error:
        ensure(redfish(bmc), "off", [NODE, endpoint], False)
    assert expected in str(error.value)
    assert bmc.commands == []


def test_a_machine_can_have_credentials_of_its_own() -> None:
    bmc = Bmc()
    ensure(redfish(bmc, node1={"username": "root", "password": "own"}), "status", [NODE], False)
    assert (bmc.options["username"], bmc.options["password"]) == ("root", "own")
