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
WITH_CD = ["ami-gigabyte", "idrac9", "ilo5", "lenovo-xcc", "supermicro-x11"]
IMAGE = "http://10.77.0.1/ipxe/ipxe.iso"
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


def drives(bmc: Recorded) -> list[Any]:
    """What is in each of the BMC's virtual media that takes CDs."""
    return [item["Image"] for item in bmc.resources.values() if "CD" in item.get("MediaTypes", [])]


def media_changes(bmc: Recorded) -> list[tuple[str, Any]]:
    """What the BMC was sent for its virtual media."""
    return [(method, body) for method, path, body, _tag in bmc.changes if "VirtualMedia" in path]


@pytest.mark.parametrize("mode", ["once", "continuous"])
@pytest.mark.parametrize("name", WITH_CD)
def test_boot_from_virtual_media(name: str, mode: str, play: Play, certificate: Path) -> None:
    bmc = play(name)
    machine = node(bmc, device="cd", media=IMAGE, firmware="uefi")
    checked = power(certificate, mode).ensure("boot_device", [machine], True)
    assert (checked["changed"], checked["items"][0]["device"], bmc.changes) == (True, "none, CD none", [])
    result = power(certificate, mode).ensure("boot_device", [machine], False)
    assert (result["changed"], result["items"][0]["device"]) == (True, f"cd {mode}")
    assert drives(bmc)[0] == IMAGE and not any(drives(bmc)[1:])
    target = "UsbCd" if name == "supermicro-x11" else "Cd"
    assert bmc.system["Boot"]["BootSourceOverrideTarget"] == target
    assert len(media_changes(bmc)) == 1
    assert not power(certificate, mode).ensure("boot_device", [machine], False)["changed"]
    assert len(bmc.changes) == 2


@pytest.mark.parametrize("name", WITH_CD)
def test_only_another_image_is_ejected(name: str, play: Play, certificate: Path) -> None:
    bmc = play(name)
    machine = node(bmc, device="cd", media=IMAGE, firmware="uefi")
    power(certificate).ensure("boot_device", [machine], False)
    bmc.system["Boot"]["BootSourceOverrideEnabled"] = "Disabled"  # it was booted
    bmc.changes.clear()
    assert power(certificate).ensure("boot_device", [machine], False)["changed"]
    assert media_changes(bmc) == [], "an image that is inserted was inserted again"
    other = machine | {"media": "https://boot.example.com/other.iso"}
    checked = power(certificate).ensure("boot_device", [other], True)
    assert (checked["changed"], checked["items"][0]["device"]) == (True, f"cd once, CD {IMAGE}")
    power(certificate).ensure("boot_device", [other], False)
    eject = {"Image": None, "Inserted": False} if name == "lenovo-xcc" else {}
    assert media_changes(bmc)[0][1] == eject
    assert drives(bmc)[0] == other["media"]
    bmc.changes.clear()
    power(certificate).ensure("boot_device", [machine | {"device": "pxe"}], False)
    assert media_changes(bmc) == [], "what is in the drive matters only to what boots from it"


def test_how_an_image_is_inserted(play: Play, certificate: Path) -> None:
    fetched = {"Image": IMAGE, "TransferProtocolType": "HTTP", "TransferMethod": "Stream"}
    expected = {
        "ilo5": ("POST", {"Image": IMAGE}),
        "ami-gigabyte": ("POST", fetched),
        "lenovo-xcc": ("PATCH", {"Image": IMAGE, "Inserted": True, "WriteProtected": True}),
    }
    for name, request in expected.items():
        bmc = play(name)
        power(certificate).ensure("boot_device", [node(bmc, device="cd", media=IMAGE)], False)
        assert media_changes(bmc) == [request]


def test_a_bmc_without_a_cd_drive_is_an_error(play: Play, certificate: Path) -> None:
    floppy, none = play("ilo5"), play("idrac8")
    floppy.resources["/redfish/v1/Managers/1/VirtualMedia/2/"]["MediaTypes"] = ["USBStick"]
    machines = [node(bmc, device="cd", media=IMAGE) | {"name": bmc.address} for bmc in (floppy, none)]
    with pytest.raises(PowerError) as caught:
        power(certificate).ensure("boot_device", machines, False)
    media = "/redfish/v1/Managers/1/VirtualMedia"
    for bmc, found in ((floppy, f"{media}/1/ (Floppy, USBStick), {media}/2/ (USBStick)"), (none, "none")):
        why = f"did not do boot_device cd: it has no virtual media for CDs; it has: {found}."
        assert f"Resource {bmc.address}: the BMC at {bmc.address} {why}" in str(caught.value)
    assert floppy.changes == none.changes == []


def test_an_image_that_is_not_inserted_is_an_error(
    play: Play, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bmc = play("idrac9")
    monkeypatch.setattr(bmc, "insert", lambda _drive, _body: (204, ""))
    result = power(certificate).ensure("boot_device", [node(bmc, device="cd", media=IMAGE)], False)
    assert result["msg"] == (
        f"Resource node1: boot device cd once was asked for, {bmc.address} still says cd once, CD none after 0 s."
    )


def test_each_quirk_is_needed(play: Play, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the table's row, the recorded BMCs that it is for cannot be used, or are left in another mode."""
    monkeypatch.setattr("ansible_collections.openqrm.datacenter.plugins.module_utils.redfish.quirks_of", lambda *_: {})
    gigabyte = power(certificate).ensure("boot_device", [node(play("ami-gigabyte"), device="pxe")], False)
    assert "HTTP 412 The If-Match precondition failed" in gigabyte["msg"]
    supermicro = play("supermicro-x11")
    power(certificate).ensure("boot_device", [node(supermicro, device="pxe")], False)
    assert supermicro.system["Boot"]["BootSourceOverrideMode"] == "Legacy"
    power(certificate).ensure("boot_device", [node(supermicro, device="cd", media=IMAGE)], False)
    assert supermicro.system["Boot"]["BootSourceOverrideTarget"] == "Cd"


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
    "other medium": ({"media": "nfs://10.0.0.1/ipxe.iso"}, "its power parameter media is no address of an image"),
    "a medium without host": ({"media": "ipxe.iso"}, "give ipxe, or the http:// or https:// URL of an ISO image"),
    "a medium with a password": ({"media": "https://a:b@x/ipxe.iso"}, "without user and password"),
    "a medium that is no URL": ({"media": "http://[::1/ipxe.iso"}, "is no address of an image"),
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
        ("redfish", "Supermicro", "01.74.09", {"mode_with_override": True, "cd_by_usb": True}),
        ("redfish", "Super Micro Computer", "", {"mode_with_override": True, "cd_by_usb": True}),
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
