"""Cases of the modules iscsi_target and iscsi_target_info, on a tree that stands for the kernel's configfs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.openqrm.datacenter.plugins.module_utils import block_servers, lio
from ansible_collections.openqrm.datacenter.plugins.module_utils.lio import LioServer

from tests.unit.plugins.fake_configfs import LIO, FakeConfigFs
from tests.unit.plugins.module_cases import run_module

NODE, OTHER = "iqn.2010-09.com.openqrm:node01", "iqn.2010-09.com.openqrm:node02"
WORD = "correct-horse-9"
TPG = "iscsi/iqn.2010-09.com.openqrm:san1.web01-0/tpgt_1"


class Server:
    """A machine whose kernel has an iSCSI target that is made up."""

    def __init__(self, directory: Path) -> None:
        self.state = directory / "state"
        self.tree = FakeConfigFs(directory / "target", LIO, "core")
        self.volumes = [directory / name for name in ("web01-0", "web02-0")]
        for volume in self.volumes:
            volume.write_bytes(b"x" * 4096)

    def written(self) -> Any:
        """The grants file."""
        path = self.state / "iscsi.json"
        return json.loads(path.read_text()) if path.exists() else {}


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    """A server that the modules use."""
    made = Server(tmp_path)

    def lio_server(options: Any) -> LioServer:
        return LioServer(options["state_dir"], 5, ["10.78.0.10:3260"], made.tree)

    monkeypatch.setattr(block_servers, "SERVERS", {"iscsi": lio_server})
    return made


def grant(server: Server, initiator: str = NODE, number: int = 0, **more: Any) -> dict[str, Any]:
    name = server.volumes[number].name
    path = str(server.volumes[number])
    return {"volume": name, "path": path, "target": f"san1.{name}", "client": {"iqn": initiator}, **more}


def call(
    capsys: pytest.CaptureFixture[str], server: Server, *grants: dict[str, Any], check: bool = False, **more: Any
) -> dict[str, Any]:
    arguments = {"grants": list(grants), "state_dir": str(server.state), **more}
    return run_module("iscsi_target", capsys, arguments, check=check)


def listed(capsys: pytest.CaptureFixture[str], server: Server) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = run_module("iscsi_target_info", capsys, {"state_dir": str(server.state)})["items"]
    return items


def test_grants_come_and_go(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = grant(server), grant(server, OTHER, number=1, read_only=True)
    assert call(capsys, server, one, two, check=True)["changed"]
    assert server.written() == {} and not server.tree.names("iscsi")
    given = call(capsys, server, one, two)
    assert [item["changed"] for item in given["items"]] == [True, True]
    assert given["items"][0]["client"] == {"iqn": NODE}
    assert given["diff"]["after"][f"{server.volumes[1]} {OTHER}"] == "ro san1.web02-0"
    before = list(server.tree.log)
    assert not call(capsys, server, one, two)["changed"]
    assert server.tree.log == before
    assert [(item["client"]["iqn"], item["read_only"]) for item in listed(capsys, server)] == [
        (NODE, False),
        (OTHER, True),
    ]
    assert call(capsys, server, one, state="absent", check=True)["changed"]
    taken = call(capsys, server, one, state="absent")
    assert (taken["changed"], taken["items"][0]["sessions"]) == (True, 0)
    again = call(capsys, server, one, state="absent")
    assert (again["changed"], again["items"][0]["sessions"]) == (False, 0)
    assert [item["client"]["iqn"] for item in listed(capsys, server)] == [OTHER]
    assert call(capsys, server, two, state="absent")["changed"]
    assert server.tree.names("iscsi") == server.tree.names(lio.FILES) == []


def test_what_the_kernel_is_told(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    call(capsys, server, grant(server, secret=WORD))
    tree = server.tree
    assert tree.read(f"{lio.FILES}/san1.web01-0/control") == (
        f"fd_dev_name={server.volumes[0]},fd_dev_size=4096,fd_buffered_io=1"
    )
    assert tree.names(f"{TPG}/np") == ["10.78.0.10:3260"]
    values = {name: tree.read(f"{TPG}/attrib/{name}") for name in tree.names(f"{TPG}/attrib")}
    assert values == {
        "authentication": "1",
        "generate_node_acls": "0",
        "demo_mode_write_protect": "1",
        "prod_mode_write_protect": "0",
    }
    assert [tree.read(f"{TPG}/acls/{NODE}/auth/{name}") for name in ("userid", "password")] == [NODE, WORD]
    assert server.tree.log[-1] == f"write {TPG}/enable 1", "nobody gets in before all is as it should be"


def test_the_secret_is_in_one_file_only(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    result = call(capsys, server, grant(server, secret=WORD))
    assert WORD not in json.dumps(result)
    assert "with a secret" in json.dumps(result["diff"])
    (path,) = [path for path in server.state.iterdir() if WORD in path.read_text()]
    assert (path.name, path.stat().st_mode & 0o777) == ("iscsi.json", 0o600)
    changed = call(capsys, server, grant(server, secret=f"{WORD}9"))
    assert changed["changed"] and WORD not in json.dumps(changed)
    assert server.tree.read(f"{TPG}/acls/{NODE}/auth/password") == f"{WORD}9"


def test_a_shared_volume_is_read_only_for_each(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    both = [grant(server, name, read_only=True) for name in (NODE, OTHER)]
    call(capsys, server, *both)
    for name in (NODE, OTHER):
        assert server.tree.read(f"{TPG}/acls/{name}/lun_0/write_protect") == "1"
    assert server.tree.read(f"{TPG}/attrib/prod_mode_write_protect") == "1"
    taken = call(capsys, server, both[0], state="absent")
    assert taken["items"][0]["sessions"] == 0
    assert server.tree.names(f"{TPG}/acls") == [OTHER]
    assert server.tree.read(f"{TPG}/enable") == "1"


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no iqn": ({"client": {"address": "10.78.0.100"}}, "the client's iqn '' is not one"),
    "iqn": ({"client": {"iqn": "iqn.2010-09.com.openqrm:a_b"}}, "is not one"),
    "path out": ({"client": {"iqn": "iqn.2010-09.com.openqrm:../../x"}}, "is not one"),
    "target": ({"target": "../x"}, "is not a name"),
    "no target": ({"target": ""}, "is not a name"),
    "relative": ({"path": "srv/x"}, "give an absolute path"),
    "comma": ({"path": "/srv/a b"}, "give an absolute path"),
    "missing": ({"path": "/nowhere/x"}, "there is no such block device or file"),
    "directory": ({"path": "/usr"}, "there is no such block device or file"),
    "secret": ({"secret": "short"}, "a secret has 12 to 128"),
    "secret of two lines": ({"secret": "a" * 12 + "\n"}, "a secret has 12 to 128"),
    "mixed": ({"secret": WORD, "client": {"iqn": OTHER}}, "give all of its clients a secret, or none"),
    "two targets": ({"target": "san1.other", "client": {"iqn": OTHER}}, "it has the targets"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_grant_fails_before_anything_is_touched(
    case: str, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    change, expected = BAD[case]
    result = call(capsys, server, grant(server), grant(server) | change)
    assert result["failed"]
    assert expected in result["msg"]
    assert server.tree.log == [] and server.written() == {}


def test_two_volumes_cannot_have_one_target(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    call(capsys, server, grant(server))
    result = call(capsys, server, grant(server, number=1, target="san1.web01-0"))
    assert "the target san1.web01-0 is that of" in result["msg"]


def test_a_run_that_was_killed_is_finished(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    call(capsys, server, grant(server))
    server.tree.unlink(f"{TPG}/acls/{NODE}/lun_0/volume")
    server.tree.write(f"{TPG}/enable", "0")
    assert listed(capsys, server) == []
    assert call(capsys, server, grant(server))["changed"]
    assert len(listed(capsys, server)) == 1
    (server.state / "iscsi.json").write_text("{}")
    taken = call(capsys, server, grant(server), state="absent")
    assert (taken["changed"], taken["items"][0]["sessions"]) == (True, 0)
    assert server.tree.names("iscsi") == []
    assert not call(capsys, server, grant(server), state="absent")["changed"]


def test_a_volume_with_another_target_is_served_anew(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    call(capsys, server, grant(server))
    assert call(capsys, server, grant(server, target="san2.web01-0"))["changed"]
    assert server.tree.names("iscsi") == ["iqn.2010-09.com.openqrm:san2.web01-0"]
    assert server.tree.names(lio.FILES) == ["san2.web01-0"]


def test_an_acl_that_cannot_be_removed_is_a_session_that_is_left(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    call(capsys, server, grant(server))
    acl = server.tree.root / TPG / "acls" / NODE
    (acl / "stuck").mkdir()
    (acl / "info").write_text("InitiatorName: x\nLIO Session ID: 1\n")
    assert call(capsys, server, grant(server), state="absent", check=True)["items"][0]["sessions"] == 1
    result = call(capsys, server, grant(server), state="absent")
    assert result["items"][0]["sessions"] == 1
    assert not (acl / "lun_0").exists(), "the volume is taken from it first"


def test_modules_are_loaded_where_the_kernel_has_none(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.write_bytes(b"x")
    calls: list[list[str]] = []
    tree = FakeConfigFs(tmp_path / "target", LIO)

    def load(argv: list[str]) -> str:
        calls.append(argv)
        (tmp_path / "target/core").mkdir(parents=True)
        return ""

    server = LioServer(str(tmp_path), 5, [], tree, load)
    server.serve({str(volume): {NODE: {"target": "v", "mode": "rw", "secret": ""}}}, {str(volume)})
    assert calls == [["modprobe", "--all", *lio.MODULES]]
