"""Cases of the modules nvme_subsystem and nvme_subsystem_info, on a tree that stands for the kernel's configfs."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import zlib
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.openqrm.datacenter.plugins.module_utils import block_servers, nvmet
from ansible_collections.openqrm.datacenter.plugins.module_utils.nvmet import NvmetServer

from tests.unit.plugins.fake_configfs import NVMET, FakeConfigFs
from tests.unit.plugins.module_cases import run_module

NODE, OTHER = "nqn.2010-09.com.openqrm:node01", "nqn.2010-09.com.openqrm:node_2"
WORD = "correct-horse-9"
SUBSYSTEM = f"subsystems/{NODE}:san1.web01-0"
TABLE = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0A004E0A:1144 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: 0A004E0A:1144 64004E0A:C001 01 00000000:00000000 00:00000000 00000000     0        0 2 1 0 20 4 30 10 -1
   2: 0A004E0A:0016 65004E0A:C002 01 00000000:00000000 00:00000000 00000000     0        0 3 1 0 20 4 30 10 -1
"""


class MadeUpLoops:
    """Loop devices that are files, one beside the other, so that a child process changes them, too."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir()

    def all(self) -> dict[str, str]:
        return {f"/dev/{path.name}": path.read_text() for path in self.directory.iterdir()}

    def attach(self, path: str) -> str:
        name = f"loop{len(self.all())}"
        (self.directory / name).write_text(path)
        return f"/dev/{name}"

    def detach(self, device: str) -> None:
        (self.directory / Path(device).name).unlink()


class Server:
    """A machine whose kernel has an NVMe target that is made up."""

    def __init__(self, directory: Path) -> None:
        self.state = directory / "state"
        self.tree = FakeConfigFs(directory / "nvmet", NVMET, "subsystems", "hosts", "ports")
        self.loops = MadeUpLoops(directory / "loops")
        self.volumes = [directory / name for name in ("web01-0", "web02-0")]
        for volume in self.volumes:
            volume.write_bytes(b"x" * 4096)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    """A server that the modules use."""
    made = Server(tmp_path)

    def nvmet_server(options: Any) -> NvmetServer:
        addresses = ["10.78.0.10", "fd00::1"]
        return NvmetServer(options["state_dir"], 1, addresses, 4420, options["authentication"], made.tree, made.loops)

    monkeypatch.setattr(block_servers, "SERVERS", {"nvme_tcp": nvmet_server})
    monkeypatch.setattr(nvmet, "TABLES", (str(tmp_path / "tcp"),))
    return made


def grant(server: Server, host: str = NODE, number: int = 0, **more: Any) -> dict[str, Any]:
    name = server.volumes[number].name
    client = {"nqn": host, "address": "10.78.0.100"}
    return {"volume": name, "path": str(server.volumes[number]), "target": f"san1.{name}", "client": client, **more}


def call(
    capsys: pytest.CaptureFixture[str], server: Server, *grants: dict[str, Any], check: bool = False, **more: Any
) -> dict[str, Any]:
    arguments = {"grants": list(grants), "state_dir": str(server.state), **more}
    return run_module("nvme_subsystem", capsys, arguments, check=check)


def listed(capsys: pytest.CaptureFixture[str], server: Server) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = run_module("nvme_subsystem_info", capsys, {"state_dir": str(server.state)})["items"]
    return items


def test_grants_come_and_go(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = grant(server), grant(server, OTHER, number=1)
    assert call(capsys, server, one, two, check=True)["changed"]
    assert not server.tree.names("subsystems") and not server.loops.all()
    given = call(capsys, server, one, two)
    assert [item["changed"] for item in given["items"]] == [True, True]
    before = list(server.tree.log)
    assert not call(capsys, server, one, two)["changed"]
    assert server.tree.log == before
    assert [item["client"]["nqn"] for item in listed(capsys, server)] == [NODE, OTHER]
    taken = call(capsys, server, one, state="absent")
    assert (taken["changed"], taken["items"][0]["sessions"]) == (True, 0)
    again = call(capsys, server, one, state="absent")
    assert (again["changed"], again["items"][0]["sessions"]) == (False, 0)
    assert [item["client"]["nqn"] for item in listed(capsys, server)] == [OTHER]
    assert list(server.loops.all().values()) == [str(server.volumes[1])]
    call(capsys, server, two, state="absent")
    assert server.tree.names("subsystems") == [] and server.loops.all() == {}


def test_what_the_kernel_is_told(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    call(capsys, server, grant(server))
    tree = server.tree
    assert tree.read(f"{SUBSYSTEM}/attr_allow_any_host") == "0"
    assert tree.names(f"{SUBSYSTEM}/allowed_hosts") == [NODE]
    assert tree.read(f"{SUBSYSTEM}/namespaces/1/device_path") == "/dev/loop0"
    assert len(tree.read(f"{SUBSYSTEM}/attr_serial") or "") == 20
    ports = {
        name: [tree.read(f"ports/{name}/addr_{key}") for key in ("trtype", "adrfam", "traddr", "trsvcid")]
        for name in tree.names("ports")
    }
    assert ports == {"4711": ["tcp", "ipv4", "10.78.0.10", "4420"], "4712": ["tcp", "ipv6", "fd00::1", "4420"]}
    assert tree.names("ports/4712/subsystems") == [f"{NODE}:san1.web01-0"]


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no nqn": ({"client": {"iqn": "iqn.2010-09.com.openqrm:node01"}}, "the client's nqn '' is not one"),
    "nqn": ({"client": {"nqn": "nqn.2010-09.com.openqrm:../x"}}, "is not one"),
    "target": ({"target": "a/b"}, "is not a name"),
    "read-only": ({"read_only": True}, "cannot grant it read-only; use iscsi or aoe"),
    "long": ({"client": {"nqn": "nqn.2010-09.com.openqrm:" + "a" * 188}}, "longer than 223"),
    "missing": ({"path": "/nowhere/x"}, "there is no such block device or file"),
    "other secret": ({"secret": WORD}, "has another grant with another secret"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_grant_fails_before_anything_is_touched(
    case: str, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    change, expected = BAD[case]
    result = call(capsys, server, grant(server), grant(server, number=1) | change)
    assert result["failed"]
    assert expected in result["msg"]
    assert server.tree.log == [] and not (server.state / "nvme_tcp.json").exists()


def test_a_run_that_was_killed_is_finished(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    call(capsys, server, grant(server))
    server.tree.unlink(f"ports/4711/subsystems/{NODE}:san1.web01-0")
    assert call(capsys, server, grant(server))["changed"]
    (server.state / "nvme_tcp.json").write_text("{}")
    server.tree.unlink(f"{SUBSYSTEM}/allowed_hosts/{NODE}")
    taken = call(capsys, server, grant(server), state="absent")
    assert (taken["changed"], taken["items"][0]["sessions"]) == (True, 0)
    assert server.tree.names("subsystems") == []


def test_a_target_of_another_volume_is_served_anew(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    call(capsys, server, grant(server))
    (server.state / "nvme_tcp.json").write_text("{}")
    assert call(capsys, server, grant(server, number=1, target="san1.web01-0"))["changed"]
    device = server.tree.read(f"{SUBSYSTEM}/namespaces/1/device_path")
    assert server.loops.all() == {device: str(server.volumes[1])}


def test_connections_that_stay_are_sessions(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "tcp").write_text(TABLE)
    call(capsys, server, grant(server))
    assert listed(capsys, server)[0]["sessions"] == 1
    assert call(capsys, server, grant(server), state="absent")["items"][0]["sessions"] == 1
    (tmp_path / "tcp").write_text("")
    assert call(capsys, server, grant(server), state="absent")["items"][0]["sessions"] == 0


def test_addresses_of_connections() -> None:
    assert nvmet.peers(TABLE, 4420) == {"10.78.0.100"}
    assert nvmet.address_of("000000FD000000000000000001000000") == "fd00::1"


def test_authentication(server: Server, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    result = call(capsys, server, grant(server), authentication="required")
    assert "authentication is required, but the grant has no secret" in result["msg"]
    result = call(capsys, server, grant(server, secret=WORD), authentication="required")
    assert "no NVMe authentication" in result["msg"]
    assert call(capsys, server, grant(server, secret=WORD))["changed"]
    server.tree.remove(f"{SUBSYSTEM}/namespaces/1")
    monkeypatch.setitem(NVMET, r"hosts/[^/]+", {"dhchap_key": ""})
    shutil.rmtree(server.tree.root / "hosts" / NODE)
    result = call(capsys, server, grant(server, secret=WORD), authentication="required")
    assert result["changed"] and WORD not in json.dumps(result)
    assert server.tree.read(f"hosts/{NODE}/dhchap_key") == nvmet.key_of(WORD)


def test_the_node_makes_the_same_key_and_its_crc_is_right() -> None:
    hook = Path(__file__).parents[3] / "roles/deployment_nvme_tcp/files/root-mount.sh"
    script = f'. {hook}; nvme_key "$1"; echo; nvme_host_id "$1"'
    done = subprocess.run(
        ["busybox", "sh", "-euc", script, "sh", WORD], capture_output=True, text=True, check=True, timeout=20
    )
    key, host_id = done.stdout.split()
    assert key == nvmet.key_of(WORD)
    assert [len(part) for part in host_id.split("-")] == [8, 4, 4, 4, 12]
    raw = base64.b64decode(key.split(":")[2])
    assert len(raw) == 68 and zlib.crc32(raw[:64]) == int.from_bytes(raw[64:], "little")
