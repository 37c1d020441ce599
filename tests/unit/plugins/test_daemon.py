"""Cases of the module daemon: real processes, and systemd with recorded answers."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.openqrm.datacenter.plugins.module_utils import daemons
from ansible_collections.openqrm.datacenter.plugins.module_utils.daemons import Daemon, SystemdSupervisor

from tests.unit.plugins.module_cases import run_module

# The daemons outlive the module that starts them.
pytestmark = pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")

SERVE = """
import pathlib, signal, socket, sys
log = pathlib.Path(sys.argv[2])
signal.signal(signal.SIGHUP, lambda *_: log.write_text("reloaded"))
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    signal.pause()
"""


def free_port() -> str:
    """A TCP port that nobody listens on; tests run side by side."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return str(server.getsockname()[1])


@pytest.fixture
def arguments(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[dict[str, Any]]:
    """A daemon that listens on a port; stopped after the test."""
    (tmp_path / "restart").write_text("1")
    (tmp_path / "reload").write_text("1")
    (tmp_path / "serve.py").write_text(SERVE)
    port = free_port()
    given = {
        "name": "serve",
        "argv": [sys.executable, str(tmp_path / "serve.py"), port, str(tmp_path / "note")],
        "supervisor": "process",
        "run_dir": str(tmp_path / "run"),
        "log_dir": str(tmp_path / "log"),
        "restart_files": [str(tmp_path / "restart")],
        "reload_files": [str(tmp_path / "reload")],
        "ready_ports": [f"tcp:{port}"],
        "timeout_s": 60,
    }
    yield given
    run_module("daemon", capsys, given | {"state": "stopped"})


def pid_of(arguments: dict[str, Any]) -> int:
    return int(Path(arguments["run_dir"], "serve.process").read_text().split()[0])


def test_a_process_is_started_reloaded_restarted_and_stopped(
    arguments: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def action(check: bool = False, **more: Any) -> str:
        result = run_module("daemon", capsys, arguments | more, check=check)
        assert result["changed"] is bool(result["action"])
        return str(result["action"])

    assert action(check=True) == "start"
    assert not Path(arguments["run_dir"]).exists()
    assert action() == "start"
    first = pid_of(arguments)
    assert action() == ""
    (tmp_path / "reload").write_text("2")
    assert action(check=True) == "reload"
    assert action() == "reload"
    assert daemons.wait_until(lambda: (tmp_path / "note").exists(), 60)
    assert (action(), pid_of(arguments)) == ("", first)
    (tmp_path / "restart").write_text("2")
    assert action() == "restart"
    assert pid_of(arguments) != first
    assert action(argv=[*arguments["argv"], "more"]) == "restart"
    assert action(state="stopped", check=True) == "stop"
    assert action(state="stopped") == "stop"
    assert action(state="stopped") == ""
    assert list(Path(arguments["run_dir"]).iterdir()) == []


def test_a_process_that_ends_at_once_is_an_error_with_its_log(
    arguments: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    argv = [sys.executable, "-c", "raise SystemExit('no such interface')"]
    result = run_module("daemon", capsys, arguments | {"argv": argv})
    assert result["failed"]
    assert "ended right after its start" in result["msg"]
    assert "no such interface" in result["msg"]


def test_a_process_that_does_not_listen_is_an_error(
    arguments: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    port = f"udp:{arguments['argv'][2]}"
    result = run_module("daemon", capsys, arguments | {"ready_ports": [port], "timeout_s": 1})
    assert f"does not listen on {port} after 1 s" in result["msg"]


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no command": ({"argv": []}, "set argv"),
    "no program": ({"argv": ["/nowhere/program"]}, "cannot be started"),
    "namespace of systemd": ({"supervisor": "systemd", "network_namespace": "x"}, "NetworkNamespacePath"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arguments(case: str, arguments: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    change, expected = BAD[case]
    assert expected in run_module("daemon", capsys, arguments | change)["msg"]


def test_systemd(tmp_path: Path) -> None:
    calls: list[str] = []

    def systemctl(argv: list[str], **_limits: int) -> str:
        calls.append(" ".join(argv[1:]))
        return "4711\n" if argv[1] == "show" and any("restart" in call for call in calls) else "0\n"

    argv = ["/usr/sbin/nginx", "-g", "daemon off; 100% $x"]
    daemon = Daemon("http", argv, str(tmp_path), str(tmp_path / "http.log"), [], [], [], 5, "KILL")
    supervisor = SystemdSupervisor(daemon, str(tmp_path), systemctl)
    assert supervisor.pid() is None
    supervisor.start()
    assert supervisor.pid() == 4711
    unit = (tmp_path / "openqrm-http.service").read_text()
    assert "ExecStart=/usr/sbin/nginx -g 'daemon off; 100%% $$x'\n" in unit
    assert "KillSignal=SIGKILL\n" in unit
    supervisor.reload()
    supervisor.stop()
    assert [call for call in calls if not call.startswith("show")] == [
        "daemon-reload",
        "enable openqrm-http.service",
        "restart openqrm-http.service",
        "reload openqrm-http.service",
        "disable --now openqrm-http.service",
    ]
