"""Cases of the module dnsmasq_host."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.openqrm.datacenter.plugins.module_utils import dnsmasq

from tests.unit.plugins.module_cases import run_module

NODE = {"name": "node1", "mac": "52-54-00-AA-BB-01", "address": "10.77.0.50"}
LINE = "52:54:00:aa:bb:01,10.77.0.50,node1\n"
OTHER = "52:54:00:aa:bb:01,10.77.0.60,node1\n"

# kind, state, files before, entries, files after, changed per entry, whether the daemon must read its files again
CASES: dict[str, tuple[str, str, dict[str, str], list[dict[str, str]], dict[str, str], list[bool], bool]] = {
    "new": ("dhcp", "present", {}, [NODE], {"node1": LINE}, [True], False),
    "there already": ("dhcp", "present", {"node1": LINE}, [NODE], {"node1": LINE}, [False], False),
    "other address": ("dhcp", "present", {"node1": OTHER}, [NODE], {"node1": LINE}, [True], True),
    "removed": ("dhcp", "absent", {"node1": LINE, "n2": OTHER}, [{"name": "node1"}], {"n2": OTHER}, [True], True),
    "gone already": ("dhcp", "absent", {}, [NODE], {}, [False], False),
    "dns": (
        "dns",
        "present",
        {},
        [{"name": "Web01", "address": "10.0.0.1"}],
        {"web01": "10.0.0.1 Web01\n"},
        [True],
        False,
    ),
    "dns changed": (
        "dns",
        "present",
        {"a": "1.1.1.1 a\n"},
        [{"name": "a", "address": "::1"}],
        {"a": "::1 a\n"},
        [True],
        False,
    ),
    "dns removed": ("dns", "absent", {"a": "1.1.1.1 a\n"}, [{"name": "a"}], {}, [True], False),
}

BAD: dict[str, tuple[dict[str, str], str]] = {
    "name with slash": (NODE | {"name": "../x"}, "not a host name"),
    "name with newline": (NODE | {"name": "a\n"}, "not a host name"),
    "long label": (NODE | {"name": "a" * 64}, "not a host name"),
    "mac": (NODE | {"mac": "52:54"}, "'52:54' is not a MAC address"),
    "address": (NODE | {"address": "10.0.0"}, "'10.0.0' is not an IP address"),
    "no address": ({"name": "n", "mac": NODE["mac"]}, "'' is not an IP address"),
}


def files_of(directory: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in directory.iterdir()}


@pytest.fixture
def hosts(tmp_path: Path) -> Path:
    """The directory that dnsmasq watches."""
    directory = tmp_path / "hosts"
    directory.mkdir()
    return directory


@pytest.mark.parametrize("check", [False, True], ids=["real", "check"])
@pytest.mark.parametrize("case", CASES)
def test_entries(
    case: str, check: bool, hosts: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, state, before, entries, after, changed, reread = CASES[case]
    for name, text in before.items():
        (hosts / name).write_text(text)
    told: list[Any] = []
    monkeypatch.setattr("ansible_collections.openqrm.datacenter.plugins.modules.dnsmasq_host.tell_daemon", told.append)
    arguments = {"kind": kind, "directory": str(hosts), "entries": entries, "state": state, "pid_file": "/p"}
    result = run_module("dnsmasq_host", capsys, arguments, check=check)
    assert [item["changed"] for item in result["items"]] == changed
    assert result["changed"] is any(changed)
    assert files_of(hosts) == (before if check else after)
    assert told == (["/p"] if reread and not check else [])
    wanted = {name: after.get(name) for name in before.keys() | after.keys() if after.get(name) != before.get(name)}
    assert result["diff"]["after"] == wanted


@pytest.mark.parametrize("case", BAD)
def test_a_bad_entry_fails_before_anything_is_written(
    case: str, hosts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entry, expected = BAD[case]
    good = {"name": "good", "mac": "52:54:00:aa:bb:02", "address": "10.77.0.51"}
    arguments = {"kind": "dhcp", "directory": str(hosts), "entries": [good, entry]}
    result = run_module("dnsmasq_host", capsys, arguments)
    assert result["failed"]
    assert expected in result["msg"]
    assert files_of(hosts) == {}


@pytest.mark.parametrize("key", ["name", "mac", "address"])
def test_two_reservations_with_the_same_key_are_refused(
    key: str, hosts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = {"name": "node2", "mac": "52-54-00-AA-BB-02", "address": "10.77.0.51"}
    arguments = {"kind": "dhcp", "directory": str(hosts), "entries": [NODE, other | {key: NODE[key]}]}
    assert f"the same {key}" in run_module("dnsmasq_host", capsys, arguments)["msg"]


def test_only_a_running_dnsmasq_is_signalled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append((pid, number)))
    pid_file = tmp_path / "pid"
    dnsmasq.tell_daemon(str(pid_file))
    pid_file.write_text(f"{os.getpid()}\n")
    dnsmasq.tell_daemon(str(pid_file))
    assert sent == []
    read = dnsmasq.read_text
    monkeypatch.setattr(dnsmasq, "read_text", lambda path: "dnsmasq\n" if "comm" in path else read(path))
    dnsmasq.tell_daemon(str(pid_file))
    assert sent == [(os.getpid(), signal.SIGHUP)]
