"""power_redfish against sushy-tools' emulator with machines that it makes up."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bcrypt
import pytest

from tests.support.roles import Step, run

REDFISH = "openqrm.datacenter.power_redfish"
SYSTEMS = ["11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"]
STARTED_S = 60


def free_port() -> int:
    """A TCP port of the loopback interface that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def configure(directory: Path, port: int) -> Path:
    """Write the emulator's configuration, certificate and password."""
    files = ["-keyout", str(directory / "key.pem"), "-out", str(directory / "certificate.pem")]
    subject = ["-days", "3", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subprocess.run(
        ["openssl", "req", *kind, *files, *subject],
        check=True,
        capture_output=True,
        timeout=60,
    )
    hashed = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
    (directory / "htpasswd").write_text(f"admin:{hashed}\n")
    machine = {"power_state": "Off", "external_notifier": False, "nics": []}
    settings = {
        "FAKE_DRIVER": True,
        "LISTEN_IP": "127.0.0.1",
        "LISTEN_PORT": port,
        "SSL_CERT": str(directory / "certificate.pem"),
        "SSL_KEY": str(directory / "key.pem"),
        "AUTH_FILE": str(directory / "htpasswd"),
        "STATE_DIR": str(directory),
        "FAKE_SYSTEMS": [machine | {"uuid": uuid, "name": uuid[:4]} for uuid in SYSTEMS],
    }
    path = directory / "emulator.py"
    path.write_text("".join(f"SUSHY_EMULATOR_{key} = {value!r}\n" for key, value in settings.items()))
    return path


def wait_for(port: int) -> None:
    """Return when something listens on the port."""
    deadline = time.monotonic() + STARTED_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert time.monotonic() < deadline, "the emulator does not listen"
            time.sleep(0.2)
        else:
            return


@pytest.fixture
def bmc(tmp_path: Path) -> Iterator[str]:
    """The address of an emulated BMC with two machines."""
    port = free_port()
    command = [str(Path(sys.executable).with_name("sushy-emulator")), "--config", str(configure(tmp_path, port))]
    with (tmp_path / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as emulator:
        try:
            wait_for(port)
            yield f"127.0.0.1:{port}"
        finally:
            emulator.terminate()


def test_power_and_boot_device(bmc: str, tmp_path: Path) -> None:
    variables = {
        "power_redfish_username": "admin",
        "power_redfish_password": "secret",
        "power_redfish_ca_path": str(tmp_path / "certificate.pem"),
    }
    machines = [{"name": uuid[:4], "address": bmc, "system": uuid} for uuid in SYSTEMS]

    def step(verb: str, check: bool = False, **more: Any) -> Step:
        return Step(REDFISH, verb, {"power_endpoints": [machine | more for machine in machines]}, check)

    verbs = ["status", "on", "on", "reset", "off", "off", "status"]
    steps = [step("on", check=True), *(step(verb) for verb in verbs), *[step("boot_device", device="pxe")] * 2]
    outcomes = run(tmp_path, steps, variables)
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
        ("off", False),
    ]


def test_what_is_not_trusted_is_refused(bmc: str, tmp_path: Path) -> None:
    machine = {"name": "n1", "address": bmc, "system": SYSTEMS[0]}
    trusted = {"power_redfish_username": "admin", "power_redfish_ca_path": str(tmp_path / "certificate.pem")}
    steps = [
        Step(
            REDFISH,
            "status",
            {"power_endpoints": [machine], "power_redfish_username": "admin", "power_redfish_password": "x"},
        ),
        Step(REDFISH, "status", {"power_endpoints": [machine], "power_redfish_password": "wrong"} | trusted),
        Step(REDFISH, "off", {"power_endpoints": [machine, machine | {"name": "n2", "system": "9"}]} | trusted),
    ]
    own = {"power_redfish_credentials": {"n1": {"password": "secret"}, "n2": {"password": "secret"}}}
    untrusted, unknown = run(tmp_path, steps[:2], {})
    assert "CERTIFICATE_VERIFY_FAILED" in untrusted.failed
    assert "HTTP 401 Incorrect username or password" in unknown.failed
    (missing,) = run(tmp_path, steps[2:], own)
    assert "has no system 9" in missing.failed
