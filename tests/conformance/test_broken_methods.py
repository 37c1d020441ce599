"""The suite finds deployment methods that are broken: a sound one, deployment_fake, with one of its verbs replaced."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from openqrm.types import TypeRegistry, read_type

from tests.conformance.grant_script import begin
from tests.conformance.local_methods import ADDRESSES, fake
from tests.conformance.method_cases import CASES
from tests.conformance.script import play
from tests.support.roles import LOCALHOST

STRANGER = ADDRESSES["stranger"]
# A session that was let in once, and is never looked at again.
LASTING = """
import contextlib
from tests.conformance.clients.client import main
from tests.conformance.clients.fake import FakeVolume, opened

@contextlib.contextmanager
def once(request):
    with opened(request) as volume:
        found = volume.granted()
        volume.granted = lambda: found
        yield volume

main(once)
"""


def doing(
    verb: str,
    objects: str = "deployment_grants",
    found: str = "found['items']",
    changed: str = "found.changed",
    **more: str,
) -> str:
    """Tasks that do a verb with other objects, give another result, or run in another way."""
    keywords = "".join(f"  {keyword}: {value}\n" for keyword, value in more.items())
    return f"""
- openqrm.datacenter.fake_deployment:
    verb: {verb}
    objects: "{{{{ {objects} }}}}"
    state_dir: "{{{{ fake_state_dir }}}}"
  register: found
{keywords}- ansible.builtin.set_fact:
    deployment_broken_result: {{changed: "{{{{ {changed} }}}}", items: "{{{{ {found} }}}}"}}
"""


ONE_BY_ONE = """
- openqrm.datacenter.fake_deployment:
    verb: authorize
    objects: ["{{ item }}"]
    state_dir: "{{ fake_state_dir }}"
  loop: "{{ deployment_grants }}"
  register: found
- ansible.builtin.set_fact:
    deployment_broken_result:
      changed: "{{ found.changed }}"
      items: "{{ found.results | map(attribute='items') | flatten }}"
"""
# The same for the stranger, too.
OTHERS = f"map('combine', {{'client': {{'address': '{STRANGER}'}}}})"
EVERYBODY = f"deployment_grants + deployment_grants | {OTHERS} | list"
LISTED = """
- openqrm.datacenter.fake_deployment: {verb: grants_list, state_dir: "{{ fake_state_dir }}"}
  register: found
- ansible.builtin.set_fact:
    deployment_broken_result: {changed: false, items: "{{ ITEMS }}"}
"""
# The same, with writing.
ALWAYS_WRITABLE = "deployment_grants | map('combine', {'read_only': false}) | list"


@dataclass(frozen=True)
class Fault:
    """A verb whose tasks are replaced, the case that finds it, and what that says. Others: `program` of the client,
    `restart` of the server."""

    case: str
    message: str
    verb: str = ""
    tasks: str = ""
    program: str = ""
    restart: str = ""


FAULTS = {
    "authorize for everybody": Fault(
        "grant",
        "a client without a grant is let in",
        "authorize",
        doing("authorize", EVERYBODY, "found['items'][:deployment_grants | length]"),
    ),
    "authorize that always says changed": Fault(
        "grant", "a second authorize changed something", "authorize", doing("authorize", changed="true")
    ),
    "authorize that does check mode for real": Fault(
        "grant", "check mode gave a grant", "authorize", doing("authorize", check_mode="false")
    ),
    "authorize that only says so": Fault(
        "grant", "the client of the grant is not let in", "authorize", doing("authorize", check_mode="true")
    ),
    "authorize that does not know read-only": Fault(
        "read only",
        "a client with a read-only grant can write",
        "authorize",
        doing("authorize", ALWAYS_WRITABLE),
    ),
    "authorize one after the other": Fault(
        "bad object", "a grant was given although another one cannot be", "authorize", ONE_BY_ONE
    ),
    "results in another order": Fault(
        "bulk", "results are in another order", "authorize", doing("authorize", found="found['items'] | reverse | list")
    ),
    "revoke that only says so": Fault(
        "in use", "the client still writes", "revoke", doing("revoke", check_mode="true")
    ),
    "revoke that does check mode for real": Fault("in use", "not one", "revoke", doing("revoke", check_mode="false")),
    "revoke that proves nothing": Fault(
        "in use",
        "revoke does not prove that no session is left",
        "revoke",
        doing("revoke", found="found['items'] | map('combine', {'sessions': 1}) | list"),
    ),
    "revoke that lets sessions last": Fault("in use", "the client still writes", program=LASTING),
    "revoke that takes a volume from all": Fault(
        "several",
        "revoking one client's grant shut out the other",
        "revoke",
        doing("revoke", EVERYBODY, "found['items'][:deployment_grants | length]"),
    ),
    "list that forgets": Fault(
        "bulk", "the list is not what was granted", "grants_list", LISTED.replace("ITEMS", "found['items'][:-1]")
    ),
    "list without clients": Fault(
        "grant",
        "the list does not say for whom",
        "grants_list",
        LISTED.replace("ITEMS", "found['items'] | map('combine', {'client': {}}) | list"),
    ),
    "grants that are lost at a restart": Fault(
        "restart", "a grant is lost at a restart", restart="rm {directory}/fake/deployment.localhost.json"
    ),
}


def verify(directory: Path, fault: Fault | None, cases: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the cases at a method of a collection of its own, in the directory, that has the fault."""
    monkeypatch.setenv("ANSIBLE_COLLECTIONS_PATH", str(directory))
    role = directory / "ansible_collections/acme/broken/roles/deployment_broken"
    shutil.copytree(TypeRegistry.load([]).get("deployment", "fake").path, role)
    for path in role.rglob("*.yml"):
        text = path.read_text(encoding="utf-8").replace("deployment_fake", "deployment_broken")
        path.write_text(text.replace("type: fake", "type: broken"), encoding="utf-8")
    with fake(directory) as sound:
        target = replace(sound, info=read_type(role / "meta/openqrm.yml", "acme.broken"), patience_s=1)
        if fault and fault.verb:
            (role / f"tasks/{fault.verb}.yml").write_text(fault.tasks, encoding="utf-8")
        if fault and fault.restart:
            target = replace(target, restart=tuple(fault.restart.format(directory=directory).split()))
        if fault and fault.program:
            program = directory / "program.py"
            program.write_text(fault.program, encoding="utf-8")
            target = replace(target, program=("env", "PYTHONPATH=.", sys.executable, str(program)))
        running, scripts = begin(target, directory, {name: CASES[name] for name in cases})
        play(scripts, directory, LOCALHOST)
    for case in running.values():
        with pytest.raises(StopIteration):
            next(case)


@pytest.mark.parametrize("name", FAULTS)
def test_the_suite_finds_the_fault(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fault = FAULTS[name]
    with pytest.raises(AssertionError) as error:
        verify(tmp_path, fault, [fault.case], monkeypatch)
    assert fault.message in str(error.value)


def test_the_same_method_without_a_fault_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    verify(tmp_path, None, sorted({fault.case for fault in FAULTS.values()}), monkeypatch)
