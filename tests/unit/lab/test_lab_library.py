"""openqrm.lab: status, power, console and names of labs, with a virsh that the test plays."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from openqrm import lab
from openqrm.errors import ApplyError, ConfigError, InvalidValueError, NotFoundError, StateError

MACHINE = {"uuid": "u", "macs": ["52:54:00:77:00:01"], "addresses": [], "console": "/c"}
LAB = {
    "name": "demo",
    "dir": "/labs/demo",
    "namespace": "openqrm-unit-test-none",
    "config": "/labs/demo/openqrm.yml",
    "libvirt_uri": "qemu:///demo",
    "bridges": [{"name": "management", "addresses": ["10.77.0.1/24"]}],
    "bmc_url": "http://10.77.0.1:8000",
    "storage": {**MACHINE, "name": "storage", "firmware": "none"},
    "nodes": [{**MACHINE, "name": "node01", "firmware": "bios", "bmc": "http://10.77.0.1:8000/redfish/v1/Systems/u"}],
}


class Virsh:
    """Stands for the lab's libvirt."""

    def __init__(self) -> None:
        self.running = {"storage"}
        self.calls: list[tuple[str, ...]] = []

    def __call__(self, _lab: dict[str, Any], *arguments: str) -> str:
        """Obeys one virsh command."""
        if arguments[0] == "list":
            return "\n".join(sorted(self.running))
        self.calls.append(arguments)
        {"start": self.running.add, "destroy": self.running.discard, "reset": str}[arguments[0]](arguments[1])
        return ""


@pytest.fixture
def virsh(monkeypatch: pytest.MonkeyPatch) -> Virsh:
    played = Virsh()
    monkeypatch.setattr(lab, "_virsh", played)
    return played


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "demo"
    (path / "run").mkdir(parents=True)
    (path / "lab.json").write_text(json.dumps(LAB))
    return path


@pytest.mark.usefixtures("virsh")
def test_status(directory: Path) -> None:
    started = lab._start_time(os.getpid())
    (directory / "run/api.process").write_text(f"{os.getpid()} {started}\n")
    (directory / "run/bmc.process").write_text(f"{os.getpid()} {0}\n")
    status = lab.lab_status(directory)
    assert [(item["name"], item["alive"]) for item in status["services"]] == [("api", True), ("bmc", False)]
    assert status["services"][0]["log"] == str(directory / "log/api.log")
    assert (status["storage"]["power"], status["nodes"][0]["power"]) == ("on", "off")
    assert status["nodes"][0]["bmc"].endswith("/Systems/u")
    assert (status["namespace_present"], status["addresses"]) == (False, {"management": ["10.77.0.1/24"]})
    json.dumps(status)


def test_status_of_a_lab_whose_libvirt_is_gone(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(directory))
    assert lab.lab_status(directory)["nodes"][0]["power"] == "unknown"
    with pytest.raises(ApplyError, match="virsh does not run"):
        lab.power(directory, "node01", "status")


POWER = {
    "on": ("on", False, ["start"], "on"),
    "on when it runs": ("on", True, [], "on"),
    "off": ("off", True, ["destroy"], "off"),
    "off when it is off": ("off", False, [], "off"),
    "reset": ("reset", True, ["reset"], "on"),
    "status": ("status", False, [], "off"),
}


@pytest.mark.parametrize("case", POWER)
def test_power(directory: Path, virsh: Virsh, case: str) -> None:
    action, running, commands, after = POWER[case]
    if running:
        virsh.running.add("node01")
    assert lab.power(directory, "node01", action) == after
    assert virsh.calls == [(command, "node01") for command in commands]


def test_check_of_power_changes_nothing(directory: Path, virsh: Virsh) -> None:
    assert lab.power(directory, "node01", "on", check=True) == "off"
    assert virsh.calls == []


@pytest.mark.usefixtures("virsh")
@pytest.mark.parametrize("check", [False, True])
def test_a_machine_that_is_off_cannot_be_reset(directory: Path, check: bool) -> None:
    with pytest.raises(StateError, match="node01 is off"):
        lab.power(directory, "node01", "reset", check=check)


@pytest.mark.usefixtures("virsh")
def test_unknown_things_are_refused(directory: Path) -> None:
    with pytest.raises(NotFoundError, match="node01"):
        lab.console_command(directory, "node1")
    with pytest.raises(InvalidValueError, match="Power action"):
        lab.power(directory, "node01", "cycle")
    with pytest.raises(NotFoundError, match="demo"):
        lab.read_lab(directory.parent / "dem")


def test_commands(directory: Path) -> None:
    console = lab.console_command(directory, "node01")
    assert console == ["virsh", "--connect", "qemu:///demo", "console", "--force", "node01"]
    assert lab.shell_command(directory) == ["ip", "netns", "exec", "openqrm-unit-test-none"]


def test_names(directory: Path) -> None:
    (directory.parent / "no-lab").mkdir()
    assert lab.lab_names(directory.parent) == ["demo"]
    assert lab.lab_dir("demo", directory.parent) == directory
    for name in ("", "Demo", "../x", "a" * 21, "1a"):
        with pytest.raises(InvalidValueError):
            lab.lab_dir(name)


def test_a_broken_state_file_is_told(directory: Path) -> None:
    (directory / "lab.json").write_text("{")
    with pytest.raises(ConfigError, match=r"lab\.json cannot be read"):
        lab.read_lab(directory)


def test_an_ordinary_user_is_told_to_be_root(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(StateError, match="Labs need root") as refused:
        lab.lab_status(directory)
    assert 'sudo "$(command -v openqrm)" lab' in (refused.value.remedy or "")
