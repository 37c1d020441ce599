"""Grants of tgt by the modules, on a real tgtd, with libiscsi's programs as initiators."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.openqrm.datacenter.plugins.module_utils.grants import ensure_grants
from ansible_collections.openqrm.datacenter.plugins.module_utils.tgt import TgtServer
from ansible_collections.openqrm.datacenter.plugins.module_utils.tgt_control import (
    BIND,
    SHOW,
    TARGET,
    TgtControl,
    parse_targets,
)

from tests.conformance.local_methods import ip, namespaces
from tests.unit.plugins.module_cases import run_module

ADDRESSES = ["10.77.1.1", "10.77.1.2"]
PORTALS = [f"{ADDRESSES[0]}:3260"]
PREFIX = "iqn.2010-09.com.openqrm:"
NODE, OTHER, THIRD = "node01", "node02", "node03"
WORD = "correct-horse-9"
WAIT_S = 10


class Killed(BaseException):
    """What ends a run that is killed."""


class KilledControl(TgtControl):  # type: ignore[misc]
    """A control socket of a run that is killed before one of its changes."""

    def __init__(self, path: Path, changes: int) -> None:
        super().__init__(path, WAIT_S)
        self.left = changes

    def ask(self, mode: int, operation: int, *arguments: Any, **more: Any) -> str:
        if operation != SHOW:
            self.left -= 1
            if self.left < 0:
                raise Killed
        answer: str = super().ask(mode, operation, *arguments, **more)
        return answer


class StuckControl(TgtControl):  # type: ignore[misc]
    """A control socket of a tgtd whose sessions do not end, as with a disk that does not answer."""

    def ask(self, mode: int, operation: int, *arguments: Any, **more: Any) -> str:
        if "what" in more and more["what"] == "end a connection":
            return ""
        answer: str = super().ask(mode, operation, *arguments, **more)
        return answer


class Daemon:
    """A tgtd in a network namespace of its own, with volumes."""

    def __init__(self, place: Path, namespace: str) -> None:
        self.place, self.state, self.namespace = place, place / "state", namespace
        self.state.mkdir(mode=0o700)
        self.volumes = [place / name for name in ("web01-0", "web02-0")]
        for volume in self.volumes:
            volume.write_bytes(b"\0" * (4 << 20))
        self.control = TgtControl(self.state / "tgt.0", WAIT_S)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, as the role does."""
        inside = ["ip", "netns", "exec", self.namespace, "env", f"TGT_IPC_SOCKET={self.state}/tgt"]
        with (self.place / "log").open("ab") as log:
            argv = [*inside, "/usr/sbin/tgtd", "--foreground", "--iscsi", "portal=127.0.0.1:3260"]
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + WAIT_S
        while True:
            try:
                self.control.portals()
                return
            except OSError:
                assert time.monotonic() < deadline, (self.place / "log").read_text()
                time.sleep(0.05)

    def kill(self) -> None:
        """End it."""
        assert self.process
        self.process.kill()
        self.process.wait(WAIT_S)

    def server(self, control: TgtControl | None = None, timeout_s: int = WAIT_S) -> TgtServer:
        """What serves grants by it."""
        return TgtServer(str(self.state), timeout_s, PORTALS, control or self.control)

    def written(self) -> Any:
        """The grants file."""
        path = self.state / "iscsi.json"
        return json.loads(path.read_text()) if path.exists() else {}

    def target(self, number: int = 0) -> str:
        """The name of a volume's target."""
        return f"{PREFIX}san1.{self.volumes[number].name}"

    def url(self, name: str, secret: str, number: int, address: str = ADDRESSES[0]) -> str:
        """Where an initiator finds a volume."""
        account = f"{PREFIX}{name}%{secret}@" if secret else ""
        return f"iscsi://{account}{address}/{self.target(number)}/1"

    def program(self, program: str, name: str, *arguments: str) -> list[str]:
        """A command line of a libiscsi program, as an initiator of this name."""
        return ["ip", "netns", "exec", self.namespace, program, "-i", f"{PREFIX}{name}", *arguments]

    def is_let_in(self, name: str, secret: str = WORD, number: int = 0, address: str = ADDRESSES[0]) -> bool:
        """Whether an initiator can use a volume."""
        argv = self.program("iscsi-inq", name, self.url(name, secret, number, address))
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0 or "Login Failed" in done.stderr, done.stdout + done.stderr
        self.control.portals()  # it is there, and has said no
        return done.returncode == 0

    def discovered(self, name: str) -> list[str]:
        """The targets that an initiator is told of."""
        argv = self.program("iscsi-ls", name, f"iscsi://{ADDRESSES[0]}/")
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True)
        return [line.split()[0].removeprefix("Target:") for line in done.stdout.splitlines() if line]

    def busy(self, name: str, secret: str = WORD) -> subprocess.Popen[bytes]:
        """An initiator that reads a volume as fast as it can."""
        argv = self.program("iscsi-perf", name, "-n", self.url(name, secret, 0))
        return subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def wait_for_sessions(self, *names: str) -> None:
        """Wait until these initiators have sessions."""
        pairs = [(str(self.volumes[0]), f"{PREFIX}{name}") for name in names]
        deadline = time.monotonic() + WAIT_S
        while not all(self.server().count_sessions(pair) for pair in pairs):
            assert time.monotonic() < deadline
            time.sleep(0.05)


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    """A running tgtd."""
    with (
        tempfile.TemporaryDirectory(prefix="openqrm-tgt-") as name,  # short: a socket's path has a limit
        namespaces("tgt") as (namespace,),
    ):
        for address in ADDRESSES:
            ip("-n", namespace, "address", "add", f"{address}/32", "dev", "lo")
        made = Daemon(Path(name), namespace)
        made.start()
        try:
            yield made
        finally:
            made.kill()


def grant(daemon: Daemon, name: str = NODE, number: int = 0, secret: str = WORD, **more: Any) -> dict[str, Any]:
    volume = daemon.volumes[number]
    target = f"san1.{volume.name}"
    return {"path": str(volume), "target": target, "client": {"iqn": f"{PREFIX}{name}"}, "secret": secret, **more}


def call(
    capsys: pytest.CaptureFixture[str], daemon: Daemon, *grants: dict[str, Any], check: bool = False, **more: Any
) -> dict[str, Any]:
    arguments = {"server": "tgt", "addresses": ADDRESSES[:1], "state_dir": str(daemon.state), "timeout_s": WAIT_S}
    return run_module("iscsi_target", capsys, {**arguments, "grants": list(grants), **more}, check=check)


def listed(capsys: pytest.CaptureFixture[str], daemon: Daemon) -> list[dict[str, Any]]:
    arguments = {"server": "tgt", "addresses": ADDRESSES[:1], "state_dir": str(daemon.state)}
    items: list[dict[str, Any]] = run_module("iscsi_target_info", capsys, arguments)["items"]
    return items


def test_grants_come_and_go(
    daemon: Daemon, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = grant(daemon)
    assert call(capsys, daemon, one, check=True)["changed"]
    assert (daemon.written(), daemon.control.targets()) == ({}, [])
    with monkeypatch.context() as patched:
        patched.setattr(subprocess, "Popen", None)  # a secret cannot be in the arguments of a command: there is none
        given = call(capsys, daemon, one)
    assert given["changed"] and WORD not in json.dumps(given)
    assert daemon.is_let_in(NODE)
    wrong = [
        daemon.is_let_in(NODE, "wrong-horse-99"),
        daemon.is_let_in(NODE, ""),
        daemon.is_let_in(OTHER),
        daemon.is_let_in(OTHER, ""),
    ]
    assert wrong == [False] * 4
    assert [daemon.discovered(NODE), daemon.discovered(OTHER)] == [[daemon.target()], []]
    assert not call(capsys, daemon, one)["changed"]
    (path,) = [path for path in daemon.state.iterdir() if path.is_file() and WORD in path.read_text()]
    assert (path.name, path.stat().st_mode & 0o777) == ("iscsi.json", 0o600)
    assert [item["sessions"] for item in listed(capsys, daemon)] == [0]
    assert call(capsys, daemon, one, state="absent", check=True)["changed"]
    taken = call(capsys, daemon, one, state="absent")
    assert (taken["changed"], taken["items"][0]["sessions"]) == (True, 0)
    assert not daemon.is_let_in(NODE)
    again = call(capsys, daemon, one, state="absent")
    assert (again["changed"], again["items"][0]["sessions"]) == (False, 0)
    assert (listed(capsys, daemon), daemon.control.targets()) == ([], [])


def test_a_session_in_use_ends_in_bounded_time(daemon: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    call(capsys, daemon, grant(daemon), grant(daemon, OTHER))
    with daemon.busy(NODE) as busy, daemon.busy(OTHER) as kept:
        try:
            daemon.wait_for_sessions(NODE, OTHER)
            assert call(capsys, daemon, grant(daemon), state="absent", check=True)["items"][0]["sessions"] == 1
            begun = time.monotonic()
            taken = call(capsys, daemon, grant(daemon), state="absent")
            assert time.monotonic() - begun < WAIT_S / 2
            assert taken["items"][0]["sessions"] == 0
            assert [item["sessions"] for item in listed(capsys, daemon)] == [1], "who keeps its grant keeps its session"
            call(capsys, daemon, grant(daemon, OTHER), state="absent")
            assert daemon.control.targets() == []
        finally:
            busy.kill()
            kept.kill()


def test_one_of_three_goes(daemon: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    """A gap between the accounts of a target would lock out who comes behind it, and end tgtd."""
    call(capsys, daemon, *(grant(daemon, name, secret=f"{WORD}-{name}") for name in (NODE, OTHER, THIRD)))
    call(capsys, daemon, grant(daemon, NODE), state="absent")
    assert [daemon.is_let_in(name, f"{WORD}-{name}") for name in (NODE, OTHER, THIRD)] == [False, True, True]
    assert len(listed(capsys, daemon)) == 2


def test_a_new_secret_takes_the_place_of_the_old_one(daemon: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    call(capsys, daemon, grant(daemon), grant(daemon, OTHER, secret=f"{WORD}-2"))
    changed = call(capsys, daemon, grant(daemon, secret=f"{WORD}-new"))
    assert changed["changed"] and WORD not in json.dumps(changed)
    assert [daemon.is_let_in(NODE), daemon.is_let_in(NODE, f"{WORD}-new")] == [False, True]
    assert daemon.is_let_in(OTHER, f"{WORD}-2")


def test_read_only_and_back(daemon: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    for read_only in (True, False):
        assert call(capsys, daemon, grant(daemon, secret="", read_only=read_only))["changed"]
        (target,) = daemon.control.targets()
        assert target.read_only == read_only
        assert [item["read_only"] for item in listed(capsys, daemon)] == [read_only]
    assert [daemon.is_let_in(NODE, ""), daemon.is_let_in(OTHER, "")] == [True, False]


def test_an_address_that_is_let_in_is_taken_out(daemon: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    call(capsys, daemon, grant(daemon, secret=""))
    (target,) = daemon.control.targets()
    daemon.control.ask(TARGET, BIND, "initiator-address=ALL", tid=target.tid)
    assert daemon.is_let_in(OTHER, "")
    assert call(capsys, daemon, grant(daemon, secret=""))["changed"]
    assert [daemon.is_let_in(NODE, ""), daemon.is_let_in(OTHER, "")] == [True, False]


def test_tgtd_is_restarted(daemon: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    call(capsys, daemon, grant(daemon), grant(daemon, OTHER, number=1))
    before = {(target.name, target.serial) for target in daemon.control.targets()}
    daemon.kill()
    failed = call(capsys, daemon, grant(daemon), state="absent")
    assert failed["failed"] and "prepare this server first" in failed["msg"], "nobody can say that no session is left"
    call(capsys, daemon, grant(daemon))
    daemon.start()
    assert listed(capsys, daemon) == []
    settings = {"server": "tgt", "addresses": ADDRESSES[:1], "state_dir": str(daemon.state)}
    arguments = {"method": "iscsi", "settings": settings, "supervisor": "process"}
    restored = run_module("grant_restore", capsys, arguments)
    assert (restored["changed"], restored["problems"]) == (True, {})
    assert {(target.name, target.serial) for target in daemon.control.targets()} == before
    assert [daemon.is_let_in(NODE), daemon.is_let_in(OTHER, number=1)] == [True, True]
    assert not run_module("grant_restore", capsys, arguments)["changed"]


def test_it_listens_where_it_is_told_and_nowhere_else(daemon: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    call(capsys, daemon, grant(daemon))
    assert daemon.control.portals() == set(PORTALS)
    moved = call(capsys, daemon, grant(daemon), addresses=ADDRESSES[1:])
    assert moved["changed"]
    assert daemon.is_let_in(NODE, address=ADDRESSES[1])
    missing = call(capsys, daemon, grant(daemon), addresses=["10.99.0.1"])
    assert missing["failed"] and "listen at 10.99.0.1:3260" in missing["msg"]
    assert daemon.control.portals() == set()


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "two modes": ({"client": {"iqn": f"{PREFIX}{OTHER}"}, "read_only": True}, "read-only for all of its clients"),
    "two secrets": ({"path": "web02-0", "target": "x", "secret": f"{WORD}-2"}, "has another secret for"),
    "some secrets": ({"client": {"iqn": f"{PREFIX}{OTHER}"}, "secret": ""}, "give all of its clients a secret"),
    "a comma": ({"path": "a,b"}, "with a comma"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_tgt_cannot_do_is_refused(case: str, daemon: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    change, expected = REFUSED[case]
    (daemon.place / "a,b").write_bytes(b"x")
    change = change | ({"path": str(daemon.place / change["path"])} if "path" in change else {})
    refused = call(capsys, daemon, grant(daemon), grant(daemon) | change)
    assert refused["failed"] and expected in refused["msg"]
    assert (daemon.written(), daemon.control.targets()) == ({}, [])


def nobody_else_is_let_in(daemon: Daemon, names: set[str]) -> bool:
    """Whether all that are let in are of these initiators, and are asked for a secret."""
    return all(
        set(target.rules) <= names and (target.accounts or not target.rules) for target in daemon.control.targets()
    )


@pytest.mark.parametrize("kind", ["given", "changed", "taken", "taken from one"])
def test_a_run_that_is_killed_anywhere_is_finished_by_the_next(kind: str, daemon: Daemon) -> None:
    node, other = grant(daemon), grant(daemon, OTHER)
    names = {f"{PREFIX}{name}" for name in (NODE, OTHER)}
    before = {"given": [], "changed": [grant(daemon, secret=f"{WORD}-old"), other], "taken": [node]}.get(
        kind, [node, other]
    )
    state = "absent" if kind.startswith("taken") else "present"
    for changes in range(100):
        ensure_grants(daemon.server(), [node, other], "absent", False)
        ensure_grants(daemon.server(), before, "present", False)
        try:
            ensure_grants(daemon.server(KilledControl(daemon.state / "tgt.0", changes)), [node], state, False)
            break
        except Killed:
            assert nobody_else_is_let_in(daemon, names), f"killed after {changes} changes it lets others in"
        done = ensure_grants(daemon.server(), [node], state, False)
        assert nobody_else_is_let_in(daemon, names)
        served = {target.path: target for target in daemon.control.targets()}
        wanted = daemon.written()
        assert [item.get("sessions", 0) for item in done["items"]] == [0]
        assert served.keys() == wanted.keys(), f"killed after {changes} changes"
        unserved = daemon.server().unserved(wanted)
        assert unserved == set(), f"killed after {changes} changes: {served}, {wanted}"
        assert not ensure_grants(daemon.server(), [node], state, False)["changed"]
    assert changes >= 3
    assert daemon.is_let_in(NODE) == (state == "present")
    assert daemon.is_let_in(OTHER) == (kind in ("changed", "taken from one"))


def test_a_secret_of_a_grant_that_a_killed_run_left_is_not_used_again(daemon: Daemon) -> None:
    ensure_grants(daemon.server(), [grant(daemon, secret=f"{WORD}-old")], "present", False)
    with pytest.raises(Killed):
        ensure_grants(daemon.server(KilledControl(daemon.state / "tgt.0", 0)), [grant(daemon)], "absent", False)
    assert daemon.written() == {}
    ensure_grants(daemon.server(), [grant(daemon)], "present", False)
    assert [daemon.is_let_in(NODE), daemon.is_let_in(NODE, f"{WORD}-old")] == [True, False]


def test_a_target_without_its_volume_is_cleared_away(daemon: Daemon) -> None:
    with pytest.raises(Killed):
        ensure_grants(daemon.server(KilledControl(daemon.state / "tgt.0", 6)), [grant(daemon)], "present", False)
    assert [target.path for target in daemon.control.targets()] == [None]
    ensure_grants(daemon.server(), [grant(daemon)], "absent", False)
    assert (daemon.written(), daemon.control.targets()) == ({}, [])


def test_sessions_that_do_not_end_are_counted(daemon: Daemon) -> None:
    ensure_grants(daemon.server(), [grant(daemon)], "present", False)
    stuck = StuckControl(daemon.state / "tgt.0", WAIT_S)
    with daemon.busy(NODE) as busy:
        try:
            daemon.wait_for_sessions(NODE)
            taken = ensure_grants(daemon.server(stuck, timeout_s=1), [grant(daemon)], "absent", False)
            assert taken["items"][0]["sessions"] == 1
            assert not daemon.is_let_in(NODE)
            again = ensure_grants(daemon.server(), [grant(daemon)], "absent", False)
            assert again["items"][0]["sessions"] == 0
            assert daemon.control.targets() == []
        finally:
            busy.kill()


def test_a_bulk_of_grants(daemon: Daemon) -> None:
    volumes = [daemon.place / f"v{number}" for number in range(100)]
    for volume in volumes:
        volume.write_bytes(b"\0" * 4096)
    grants = [
        {"path": str(volume), "target": volume.name, "client": {"iqn": f"{PREFIX}{volume.name}"}, "secret": WORD}
        for volume in volumes
    ]
    begun = time.monotonic()
    assert ensure_grants(daemon.server(), grants, "present", False)["changed"]
    assert time.monotonic() - begun < 30
    assert not ensure_grants(daemon.server(), grants, "present", False)["changed"]
    taken = ensure_grants(daemon.server(), grants, "absent", False)
    assert {item["sessions"] for item in taken["items"]} == {0}
    assert daemon.control.targets() == []


def test_what_a_client_says_of_itself_is_no_target(daemon: Daemon) -> None:
    """A list with a name twice would be one that somebody has written a part of."""
    ensure_grants(daemon.server(), [grant(daemon)], "present", False)
    text = daemon.control.ask(TARGET, SHOW)
    assert len(parse_targets(text)) == 1
    with pytest.raises(OSError, match="not clear"):
        parse_targets(text + text)
