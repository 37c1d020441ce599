"""lab_domain: defines, redefines, starts and removes; never stops a wanted machine; a cut run converges."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.openqrm.datacenter.plugins.module_utils.commands import CommandError
from ansible_collections.openqrm.datacenter.plugins.modules import lab_domain


class Virsh:
    """Stands for virsh: a libvirt in memory."""

    def __init__(self, **running: bool) -> None:
        self.running = running
        self.calls: list[str] = []
        self.failing = ""

    def __call__(self, argv: list[str], **_options: str) -> str:
        """Obeys one command."""
        verb, rest = argv[4], argv[5:]
        if verb == self.failing:
            raise CommandError(argv, 1, "failed")
        if verb == "list":
            return self.listed(rest[-1])
        if verb == "uri":
            return "uri"
        self.calls.append(" ".join([verb, Path(rest[-1]).name]))
        self.obey(verb, Path(rest[-1]).name.split(".")[0])
        return ""

    def listed(self, selection: str) -> str:
        """The names that a list shows."""
        shown = {"--all": [True, False], "--state-running": [True], "--state-paused": []}[selection]
        return "\n".join(name for name, running in self.running.items() if running in shown)

    def obey(self, verb: str, name: str) -> None:
        """Changes the machine's state."""
        if verb == "undefine":
            del self.running[name]
        else:
            self.running[name] = {"define": self.running.get(name, False), "start": True, "destroy": False}[verb]


def ensure(virsh: Virsh, base: Path, *domains: dict[str, Any], check_mode: bool = False) -> dict[str, Any]:
    params = {"record_dir": str(base), "domains": list(domains), "timeout_s": 1}
    result: dict[str, Any] = lab_domain.ensure(params, check_mode, lab_domain.Libvirt("uri", virsh))
    return result


def domain(name: str, xml: str = "<domain/>", running: bool = False) -> dict[str, Any]:
    return {"name": name, "xml": xml, "running": running}


def test_defines_and_starts_then_is_unchanged(tmp_path: Path) -> None:
    virsh, wanted = Virsh(), [domain("a", running=True), domain("b")]
    assert [item["changed"] for item in ensure(virsh, tmp_path, *wanted)["items"]] == [True, True]
    assert virsh.calls == ["define a.xml.new", "start a", "define b.xml.new"]
    assert ensure(virsh, tmp_path, *wanted)["changed"] is False


def test_a_running_machine_is_redefined_but_not_stopped(tmp_path: Path) -> None:
    virsh = Virsh()
    ensure(virsh, tmp_path, domain("a", running=True))
    virsh.calls.clear()
    assert ensure(virsh, tmp_path, domain("a", xml="<domain id='2'/>"))["changed"]
    assert (virsh.calls, virsh.running) == (["define a.xml.new"], {"a": True})


def test_a_machine_that_libvirt_lost_is_defined_again(tmp_path: Path) -> None:
    virsh = Virsh()
    ensure(virsh, tmp_path, domain("a"))
    virsh.running.clear()
    assert ensure(virsh, tmp_path, domain("a"))["changed"]


def test_a_define_that_failed_is_done_again(tmp_path: Path) -> None:
    virsh = Virsh()
    virsh.failing = "define"
    with pytest.raises(CommandError):
        ensure(virsh, tmp_path, domain("a"))
    virsh.failing = ""
    assert ensure(virsh, tmp_path, domain("a"))["changed"]


def test_surplus_machines_are_removed(tmp_path: Path) -> None:
    virsh = Virsh(old=True)
    assert ensure(virsh, tmp_path)["changed"]
    assert virsh.calls == ["destroy old", "undefine old"]
    assert ensure(virsh, tmp_path)["changed"] is False


def test_check_mode_changes_nothing(tmp_path: Path) -> None:
    virsh = Virsh(old=True)
    done = ensure(virsh, tmp_path, domain("a", running=True), check_mode=True)
    assert done["diff"]["after"] == {"old": None, "a": "<domain/>", "a running": True}
    assert (virsh.calls, list(tmp_path.iterdir())) == ([], [])


def test_check_mode_of_a_lab_that_is_not_there_asks_nobody(tmp_path: Path) -> None:
    virsh = Virsh()
    virsh.failing = "uri"
    assert ensure(virsh, tmp_path / "none", domain("a"), check_mode=True)["changed"]


def test_waiting_for_libvirt_has_an_end() -> None:
    virsh = Virsh()
    virsh.failing = "uri"
    with pytest.raises(CommandError):
        lab_domain.Libvirt("uri", virsh).wait(0)
