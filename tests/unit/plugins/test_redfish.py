"""Power and boot device by Redfish, against recorded BMCs of several vendors that are played back over HTTPS."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.openqrm.datacenter.plugins.module_utils import redfish_bmc
from ansible_collections.openqrm.datacenter.plugins.module_utils.bmc_quirks import QUIRKS, quirks_of
from ansible_collections.openqrm.datacenter.plugins.module_utils.power import Power, PowerError
from ansible_collections.openqrm.datacenter.plugins.module_utils.redfish import Redfish

from tests.support.redfish_player import PASSWORD, Recorded, make_certificate, playing
from tests.unit.plugins.module_cases import run_module

BMCS = Path(__file__).parent / "bmcs"
NAMES = sorted(path.stem for path in BMCS.glob("*.json"))
WORKING = [name for name in NAMES if name != "supermicro-forgets"]
Play = Callable[[str], Recorded]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("tls") / "bmc.pem")


@pytest.fixture
def play(certificate: Path) -> Iterator[Play]:
    """Play BMCs until the test ends."""
    with contextlib.ExitStack() as stack:
        yield lambda name: stack.enter_context(playing(BMCS / f"{name}.json", certificate))


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redfish_bmc, "PAUSE_S", 0)


def power(certificate: Path, mode: str = "once", **options: Any) -> Power:
    settings = {"username": "admin", "password": PASSWORD, "credentials": {}, "request_timeout_s": 10, "retries": 1}
    trust = {"validate_certs": True, "ca_path": f"{certificate}.crt"}
    return Power(Redfish(settings | trust | options), 0, 4, mode)


def node(bmc: Recorded, **more: Any) -> dict[str, Any]:
    return {"name": "node1", "address": bmc.address, **more}


def sent(bmc: Recorded) -> list[Any]:
    """The reset types that the BMC was sent."""
    return [body["ResetType"] for method, _path, body, _tag in bmc.changes if method == "POST"]


RESETS = {"idrac8": "PowerCycle", "ami-gigabyte": "PowerCycle"}


@pytest.mark.parametrize("name", NAMES)
def test_power(name: str, play: Play, certificate: Path) -> None:
    bmc = play(name)
    verbs = ["status", "on", "on", "reset", "off", "off"]
    checked = power(certificate).ensure("on", [node(bmc)], True)
    assert (checked["changed"], checked["items"][0]["power"], bmc.changes) == (True, "on", [])
    results = [power(certificate).ensure(verb, [node(bmc)], False) for verb in verbs]
    assert [(result["items"][0]["power"], result["changed"]) for result in results] == [
        ("off", False),
        ("on", True),
        ("on", False),
        ("on", True),
        ("off", True),
        ("off", False),
    ]
    assert sent(bmc) == ["On", RESETS.get(name, "ForceRestart"), "ForceOff"]


@pytest.mark.parametrize("mode", ["once", "continuous"])
@pytest.mark.parametrize("name", WORKING)
def test_boot_device(name: str, mode: str, play: Play, certificate: Path) -> None:
    bmc = play(name)
    machine = node(bmc, device="pxe", firmware="uefi")
    assert power(certificate, mode).ensure("boot_device", [machine], True)["changed"]
    assert bmc.changes == []
    result = power(certificate, mode).ensure("boot_device", [machine], False)
    assert (result["changed"], result["items"][0]["device"]) == (True, f"pxe {mode}")
    boot = bmc.system["Boot"]
    assert (boot["BootSourceOverrideTarget"], boot["BootSourceOverrideEnabled"]) == ("Pxe", mode.capitalize())
    assert boot.get("BootSourceOverrideMode", "UEFI") == "UEFI", "the mode was not kept"
    assert not power(certificate, mode).ensure("boot_device", [machine], False)["changed"]
    assert len(bmc.changes) == 1


def test_each_quirk_is_needed(play: Play, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the table's row, the recorded BMCs that it is for cannot be used, or are left in another mode."""
    monkeypatch.setattr("ansible_collections.openqrm.datacenter.plugins.module_utils.redfish.quirks_of", lambda *_: {})
    gigabyte = power(certificate).ensure("boot_device", [node(play("ami-gigabyte"), device="pxe")], False)
    assert "HTTP 412 The If-Match precondition failed" in gigabyte["msg"]
    supermicro = play("supermicro-x11")
    power(certificate).ensure("boot_device", [node(supermicro, device="pxe")], False)
    assert supermicro.system["Boot"]["BootSourceOverrideMode"] == "Legacy"


def test_a_boot_device_that_the_bmc_forgets_is_an_error(play: Play, certificate: Path) -> None:
    bmc = play("supermicro-forgets")
    result = power(certificate).ensure("boot_device", [node(bmc, device="pxe", firmware="uefi")], False)
    assert result["msg"] == (
        f"Resource node1: boot device pxe once was asked for, {bmc.address} still says none after 0 s."
    )


def test_what_a_bmc_says_is_told(play: Play, certificate: Path) -> None:
    bmc = play("ilo5")
    with pytest.raises(PowerError, match=r"HTTP 401 There is no valid session established.*give its user and password"):
        power(certificate, password="wrong").ensure("status", [node(bmc)], False)  # noqa: S106
    own = power(certificate, password="x", credentials={"node1": {"password": PASSWORD}})  # noqa: S106
    assert own.ensure("status", [node(bmc)], False)["items"][0]["power"] == "off"
    del bmc.system["Actions"]["#ComputerSystem.Reset"]["ResetType@Redfish.AllowableValues"][0]
    refused = power(certificate).ensure("on", [node(bmc)], False)
    assert refused["items"][0]["power"] == "on", "ForceOn or PushPowerButton does as well"
    assert sent(bmc) == ["PushPowerButton"]


def test_certificates_are_checked(play: Play, certificate: Path) -> None:
    bmc = play("idrac9")
    with pytest.raises(PowerError, match=r"CERTIFICATE_VERIFY_FAILED.*Trust its authority by ca_path"):
        power(certificate, ca_path=None).ensure("status", [node(bmc)], False)
    unchecked = power(certificate, ca_path=None, validate_certs=False)
    assert unchecked.ensure("status", [node(bmc)], False)["items"][0]["power"] == "off"


def test_a_busy_bmc_is_asked_again(play: Play, certificate: Path) -> None:
    bmc = play("idrac9")
    bmc.busy = 2
    assert power(certificate, retries=2).ensure("status", [node(bmc)], False)["items"][0]["power"] == "off"
    bmc.busy = 2
    with pytest.raises(PowerError, match="HTTP 503 The service is temporarily unavailable"):
        power(certificate, retries=1).ensure("status", [node(bmc)], False)


BAD = {
    "plain http": ({"address": "http://bmc1"}, "give the host or the https:// URL"),
    "no address": ({"address": ""}, "its BMC address is empty"),
    "a path": ({"address": "bmc1/../x"}, "give the host"),
    "a password in it": ({"address": "https://a:b@bmc1"}, "give the host"),
    "a line break": ({"address": "bmc1\r\nX: y"}, "give the host"),
    "nobody there": ({"address": "127.0.0.1:1"}, "did not do GET /redfish/v1/: "),
    "other system": ({"system": "9"}, "has no system 9; it has: System.Embedded.1"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_machine_fails_before_any_other_is_changed(case: str, play: Play, certificate: Path) -> None:
    wrong, expected = BAD[case]
    bmc = play("idrac9")
    with pytest.raises(PowerError, match=re.escape(expected)):
        power(certificate).ensure("on", [node(bmc), node(bmc) | {"name": "node2"} | wrong], False)
    assert bmc.changes == []


def test_rows_of_the_quirk_table_name_their_source() -> None:
    for quirk in QUIRKS:
        assert quirk["source"] and quirk["seen"] and quirk["changes"]
        for key in ("manufacturer", "model", "firmware"):
            re.compile(str(quirk.get(key, "")))


@pytest.mark.parametrize(
    ("protocol", "manufacturer", "firmware", "changes"),
    [
        ("redfish", "Supermicro", "01.74.09", {"mode_with_override": True}),
        ("redfish", "Super Micro Computer", "", {"mode_with_override": True}),
        ("redfish", "HPE", "iLO 5 v2.72", {}),
        ("redfish", "Dell Inc.", "7.00", {}),
        ("ipmi", "Supermicro", "", {}),
        ("ipmi", "10876", "", {"efi_devices": {"disk": 0x24}}),
        ("redfish", None, None, {}),
    ],
)
def test_quirks(protocol: str, manufacturer: str, firmware: str, changes: dict[str, Any]) -> None:
    assert quirks_of(protocol, {"manufacturer": manufacturer, "model": "x", "firmware": firmware}) == changes


def test_the_module(play: Play, certificate: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bmc = play("idrac9")
    login = {"username": "admin", "password": PASSWORD, "ca_path": f"{certificate}.crt", "endpoints": [node(bmc)]}
    done = run_module("redfish_power", capsys, login | {"verb": "on"})
    assert (done["changed"], done["items"]) == (True, [{"name": "node1", "power": "on", "changed": True}])
    failed = run_module("redfish_power", capsys, login | {"verb": "status", "ca_path": str(tmp_path / "none")})
    assert "none cannot be read" in failed["msg"]
