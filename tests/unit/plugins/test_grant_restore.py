"""Cases of the module grant_restore, and of the program that it installs."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.openqrm.datacenter.plugins.module_utils import block_restore, block_servers
from ansible_collections.openqrm.datacenter.plugins.module_utils.lio import LioServer
from ansible_collections.openqrm.datacenter.plugins.module_utils.tgt import TgtServer
from ansible_collections.openqrm.datacenter.plugins.modules import grant_restore

from tests.unit.plugins.fake_configfs import LIO, FakeConfigFs
from tests.unit.plugins.module_cases import run_module

MODULE_UTILS = Path(block_restore.__file__).parent
INITIATOR = "iqn.2010-09.com.openqrm:node01"


class Server:
    """A machine that was rebooted: it has grants, and serves nothing."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.tree = FakeConfigFs(directory / "target", LIO, "core")
        self.volume = directory / "web01-0"
        self.volume.write_bytes(b"x" * 4096)
        self.state = directory / "state"
        self.state.mkdir()
        value = {"target": "san1.web01-0", "mode": "rw", "secret": ""}
        grants = {str(self.volume): {INITIATOR: value}, "/nowhere/x": {INITIATOR: value | {"target": "x"}}}
        (self.state / "iscsi.json").write_text(json.dumps(grants))
        self.calls: list[str] = []

    def command(self, argv: list[str]) -> str:
        """What systemctl does."""
        self.calls.append(" ".join(argv))
        if argv[1] == "enable":
            unit = self.directory / "units" / argv[2]
            for name in unit.read_text().rpartition("WantedBy=")[2].split():
                wants = unit.parent / f"{name}.wants"
                wants.mkdir(exist_ok=True)
                (wants / argv[2]).unlink(missing_ok=True)
                (wants / argv[2]).symlink_to(f"../{argv[2]}")
        return ""

    def call(self, capsys: pytest.CaptureFixture[str], check: bool = False, **more: Any) -> dict[str, Any]:
        arguments = {
            "method": "iscsi",
            "settings": {"state_dir": str(self.state), "addresses": ["10.78.0.10"]},
            "program_dir": str(self.directory / "program"),
            "unit_dir": str(self.directory / "units"),
        }
        return run_module("grant_restore", capsys, arguments | more, check=check)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    """A server that the module uses."""
    made = Server(tmp_path)

    def lio_server(options: Any) -> LioServer:
        return LioServer(options["state_dir"], 1, ["10.78.0.10:3260"], made.tree)

    monkeypatch.setattr(block_servers, "SERVERS", {"iscsi": lio_server})
    monkeypatch.setattr(grant_restore, "run", made.command)
    return made


def test_grants_are_served_now_and_at_boot(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    assert server.call(capsys, check=True)["changed"]
    assert not (server.directory / "units").exists() and server.tree.names("iscsi") == []
    result = server.call(capsys)
    assert result["changed"]
    assert list(result["problems"]) == ["/nowhere/x"], "one volume that is missing does not keep the others"
    assert server.tree.names("iscsi") == ["iqn.2010-09.com.openqrm:san1.web01-0"]
    assert server.calls == ["systemctl daemon-reload", "systemctl enable openqrm-iscsi.service"]
    unit = (server.directory / "units/openqrm-iscsi.service").read_text()
    assert f"Environment=PYTHONPATH={server.directory}/program" in unit
    (server.state / "iscsi.json").write_text("{}")
    assert not server.call(capsys)["changed"]


def test_without_systemd_nothing_is_installed(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    assert server.call(capsys, supervisor="process")["changed"]
    assert server.calls == [] and not (server.directory / "program").exists()


def test_with_tgtd_grants_are_served_whenever_it_starts(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    """A tgtd that is started anew has forgotten all: its unit starts that of the grants, and restarts it."""
    (server.state / "iscsi.json").write_text("{}")
    server.call(capsys)  # as for LIO, before
    made = block_servers.SERVERS["iscsi"]({"state_dir": str(server.state)})
    made.unit = TgtServer.unit
    block_servers.SERVERS["iscsi"] = lambda _options: made
    settings = {"server": "tgt", "state_dir": str(server.state)}
    assert server.call(capsys, settings=settings)["changed"]
    unit = (server.directory / "units/openqrm-iscsi.service").read_text()
    assert "nvmet.service openqrm-tgt.service\nPartOf=openqrm-tgt.service\n" in unit
    assert unit.endswith("WantedBy=multi-user.target openqrm-tgt.service\n")
    assert (server.directory / "units/openqrm-tgt.service.wants/openqrm-iscsi.service").is_symlink()
    assert not server.call(capsys, settings=settings)["changed"]


def test_unknown_settings_are_refused(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    result = server.call(capsys, settings={"adresses": ["10.78.0.10"]})
    assert result["failed"] and "adresses" in result["msg"]


def test_the_installed_program_runs_by_itself(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    (server.state / "iscsi.json").write_text("{}")
    server.call(capsys)
    argv = [sys.executable, "-I", "-c", "import runpy, sys; sys.path.insert(0, sys.argv.pop(1)); "]
    argv[-1] += f"runpy.run_module({block_restore.PACKAGE + '.block_restore'!r}, run_name='__main__', alter_sys=True)"
    argv += [str(server.directory / "program"), str(server.state / "iscsi.settings.json")]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_all_that_the_program_imports_is_installed() -> None:
    wanted, looked = {"block_restore"}, set[str]()
    while todo := wanted - looked:
        name = todo.pop()
        looked.add(name)
        for node in ast.walk(ast.parse((MODULE_UTILS / f"{name}.py").read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(block_restore.PACKAGE):
                wanted.add((node.module or "").rpartition(".")[2])
    assert sorted(wanted) == list(block_restore.NAMES)
