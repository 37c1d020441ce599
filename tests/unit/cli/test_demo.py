"""The demonstration: its steps in order, what it prints, and how it fails. The lab is played."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from openqrm import lab as labs
from openqrm.cli import demo as demos
from openqrm.cli.main import main
from openqrm.errors import DeadlineError, NotFoundError
from openqrm.runner import RunResult

from .conftest import Runs

pytestmark = pytest.mark.usefixtures("store", "runs")

LAB = {
    "bmc_url": "http://10.77.0.1:8000",
    "storage": {"host": "lab-storage", "addresses": ["10.77.0.10", "10.78.0.10"]},
    "nodes": [{"name": "node01", "uuid": "u1", "macs": ["52:54:00:00:00:01"], "console": "/d/c/node01"}],
}
PLAYBOOKS = [
    "lab_up",
    "kernel_add",
    "resource_create",
    "storage_create",
    "image_create",
    "appliance_create",
    "appliance_start",
    "appliance_stop",
    "lab_down",
]


@pytest.fixture
def played_lab(monkeypatch: pytest.MonkeyPatch, config_file: Path) -> list[tuple[str, str]]:
    """A lab whose playbooks succeed, over the store of the test: the power actions."""
    actions: list[tuple[str, str]] = []
    monkeypatch.setattr("openqrm.cli.session.lab_config", lambda _name: config_file)
    monkeypatch.setattr(labs, "read_lab", lambda _directory: LAB)
    monkeypatch.setattr(labs, "power", lambda _directory, node, action: actions.append((node, action)))
    monkeypatch.setattr(demos, "APPLIANCE", "db01")
    monkeypatch.setattr(demos, "fetch_page", lambda _prefix, url: f"page of {url}\n")
    return actions


@pytest.fixture
def demo(played_lab: list[tuple[str, str]]) -> Callable[..., Result]:
    """Runs the demonstration."""
    monkeypatched = played_lab
    assert monkeypatched == []
    return lambda *words: CliRunner().invoke(main, ["lab", "demo", "--nodes", "1", *words], prog_name="openqrm")


@pytest.fixture(autouse=True)
def shell_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    """The prefix of commands inside the lab."""
    monkeypatch.setattr(labs, "shell_command", lambda _directory: ["true"])


def test_demo_runs_the_main_job_and_says_how_long_it_took(
    demo: Callable[..., Result], runs: Runs, played_lab: list[tuple[str, str]]
) -> None:
    result = demo("shown")
    assert result.exit_code == 0, result.output
    assert [playbook for playbook, _ in runs.calls] == PLAYBOOKS
    assert played_lab == [("node01", "on")]
    for text in ("[1/11] Build the lab", "page of http", "node1", "STEP", "Total"):
        assert text in result.stdout
    assert runs.calls[0][1] == {"lab_name": "shown", "lab_nodes": 1}
    assert runs.calls[2][1]["resources"] == [
        {
            "name": "node1",
            "power_driver": "redfish",
            "power": {"address": "http://10.77.0.1:8000", "system": "u1"},
            "parameters": {"console_log": "/d/c/node01"},
        }
    ]
    assert runs.calls[3][1]["storages"][0]["address"] == "10.78.0.10"
    assert runs.calls[4][1]["images"][0]["recipe"]["packages"]


def test_demo_keeps_the_lab_when_asked(demo: Callable[..., Result], runs: Runs) -> None:
    result = demo("--keep", "--name", "shown")
    assert "lab_down" not in [playbook for playbook, _ in runs.calls]
    assert "openqrm lab down shown" in result.stdout


def test_demo_as_json_is_one_object(demo: Callable[..., Result]) -> None:
    result = demo("--json")
    assert (result.exit_code, result.stderr) == (0, "")
    found = json.loads(result.stdout)
    assert (found["lab"], len(found["steps"])) == ("demo", len(PLAYBOOKS) + 2)


def test_failing_step_is_named_with_where_to_look(demo: Callable[..., Result], runs: Runs) -> None:
    runs.result = RunResult("failed", errors=("no space left on device",), exit_code=1)
    result = demo()
    assert result.exit_code == 8
    for text in ("Step 1/11 (Build the lab", "no space left", "/log", "/consoles", "openqrm lab down demo"):
        assert text in result.stderr
    assert len(runs.calls) == 1


def test_machines_that_are_not_discovered_in_time_are_an_error(
    demo: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demos, "DISCOVERY_S", -1)
    result = demo("--nodes", "5")
    assert result.exit_code == DeadlineError.exit_code
    assert "node1 idle, node2 active" in result.stderr


def test_page_that_never_comes_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demos, "PAGE_S", -1)
    with pytest.raises(DeadlineError, match="does not answer"):
        demos.fetch_page(["sh", "-c", "echo refused >&2; exit 7"], "http://10.77.0.50/")


def test_page_is_what_curl_prints() -> None:
    assert demos.fetch_page(["echo", "page"], "http://10.77.0.50/").startswith("page curl")


STATUS: dict[str, Any] = {
    "name": "demo",
    "dir": "/d",
    "config": "/d/openqrm.yml",
    "namespace": "ns",
    "bmc_url": "http://b",
    "namespace_present": True,
    "addresses": {},
    "services": [{"name": "api", "pid": 7, "alive": True, "log": "/d/log/api.log"}],
    "storage": {
        "name": "storage",
        "power": "on",
        "macs": ["m0"],
        "addresses": ["10.77.0.10"],
        "console": "/d/c/storage",
    },
    "nodes": [{"name": "node01", "power": "off", "firmware": "bios", "macs": ["m1"], "console": "/d/c/node01"}],
}


@pytest.fixture
def status(monkeypatch: pytest.MonkeyPatch) -> None:
    """One lab with one node."""
    monkeypatch.setattr(labs, "lab_names", lambda: ["demo"])
    monkeypatch.setattr(labs, "lab_status", lambda _directory: STATUS)


@pytest.mark.usefixtures("status")
@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("lab list", ["demo", "up"]),
        ("lab status", ["node01", "off", "api", "yes", "ns"]),
        ("lab status demo", ["storage"]),
    ],
)
def test_labs_are_shown(line: str, words: list[str]) -> None:
    result = CliRunner().invoke(main, line.split())
    assert (result.exit_code, [word for word in words if word not in result.output]) == (0, [])
    assert json.loads(CliRunner().invoke(main, [*line.split(), "--json"]).output)


def test_lab_power(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labs, "power", lambda *_, check: "off" if check else "on")
    assert CliRunner().invoke(main, ["lab", "power", "node01", "on"]).output == "node01 is on.\n"
    result = CliRunner().invoke(main, ["lab", "power", "node01", "status", "--json"])
    assert json.loads(result.output) == {"name": "node01", "power": "on", "check": False}
    checked = CliRunner().invoke(main, ["lab", "power", "node01", "on", "--check"])
    assert checked.output == "Check mode: nothing was changed; node01 is off.\n"


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("lab console node01", ["virsh", "console", "node01"]),
        ("lab shell curl -s http://x", ["true", "curl", "-s", "http://x"]),
        ("lab --lab other shell ls", ["true", "ls"]),
    ],
)
def test_terminal_is_handed_over(monkeypatch: pytest.MonkeyPatch, line: str, command: list[str]) -> None:
    became: list[list[str]] = []
    monkeypatch.setattr("os.execvp", lambda _file, words: became.append(words))
    monkeypatch.setattr(labs, "console_command", lambda _directory, node: ["virsh", "console", node])
    assert CliRunner().invoke(main, line.split()).exit_code == 0
    assert became == [command]


def test_program_that_is_missing_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_file: str, _words: list[str]) -> None:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr("os.execvp", missing)
    result = CliRunner().invoke(main, ["lab", "shell", "ls"])
    assert (result.exit_code, "true does not run" in result.stderr) == (8, True)


@pytest.mark.parametrize(
    ("line", "playbook", "variables"),
    [
        ("lab up", "lab_up", {"lab_name": "demo"}),
        (
            "lab up a --nodes 3 --firmware bios --firmware uefi --memory-mib 1024 --disk-mib 2048 --power-on",
            "lab_up",
            {
                "lab_name": "a",
                "lab_nodes": 3,
                "lab_node_firmware": ["bios", "uefi"],
                "lab_node_memory_mib": 1024,
                "lab_node_disk_mib": 2048,
                "lab_power_on": True,
            },
        ),
        ("lab --lab b up --json", "lab_up", {"lab_name": "b"}),
        ("lab down a --yes", "lab_down", {"lab_name": "a"}),
    ],
)
def test_labs_are_built_and_removed(runs: Runs, line: str, playbook: str, variables: dict[str, Any]) -> None:
    assert CliRunner().invoke(main, line.split()).exit_code == 0
    assert runs.calls == [(playbook, variables)]
    assert runs.configs == [labs.lab_dir(str(variables["lab_name"])) / "openqrm.yml"]


def test_removing_a_lab_asks(runs: Runs) -> None:
    assert (CliRunner().invoke(main, ["lab", "down", "a"]).exit_code, runs.calls) == (2, [])


def test_unknown_lab_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(_directory: Path, node: str, _action: str, *, check: bool) -> str:  # noqa: ARG001
        raise NotFoundError("Lab machine", node, ["node01"])

    monkeypatch.setattr(labs, "power", unknown)
    assert CliRunner().invoke(main, ["lab", "power", "node9", "on"]).exit_code == 3
