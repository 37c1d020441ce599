"""The suite finds storage types that are broken: a sound one, storage_directory, with one of its verbs replaced."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from openqrm.types import TypeRegistry, read_type

from tests.conformance.conftest import begin
from tests.conformance.script import Target, play
from tests.conformance.storage_cases import CASES

MODULE = "openqrm.datacenter.directory_volume"
# Copies that share their files, so that they share what is written to these.
LINKED = """
- ansible.builtin.command:
    argv: [cp, -al, "{{ item.location }}/{{ item.source }}", "{{ item.location }}/{{ item.name }}"]
    creates: "{{ item.location }}/{{ item.name }}"
  loop: "{{ storage_volumes }}"
  register: linked
- ansible.builtin.set_fact:
    storage_broken_result:
      changed: "{{ linked.changed }}"
      items: "{{ storage_volumes | zip(linked.results) | map('combine') | list }}"
"""


def around(result: str, state: str = "present", **keywords: str) -> str:
    """Tasks that do the verb as they should, but give another result, or run in another way."""
    more = "".join(f"  {keyword}: {value}\n" for keyword, value in keywords.items())
    return f"""
- {MODULE}: {{volumes: "{{{{ storage_volumes }}}}", state: {state}}}
  register: found
{more}- ansible.builtin.set_fact:
    storage_broken_result: {{changed: "{{{{ found.changed }}}}", items: "{{{{ found['items'] }}}}"}}
- ansible.builtin.set_fact:
    storage_broken_result: "{{{{ storage_broken_result | combine({result}) }}}}"
"""


@dataclass(frozen=True)
class Fault:
    """A verb whose tasks are replaced, the case that finds it, and what that says."""

    verb: str
    tasks: str
    case: str
    message: str


FAULTS = {
    "clone that shares writes": Fault("clone", LINKED, "clone", "a write to a clone shows in its source"),
    "snapshot that moves": Fault("snapshot", LINKED, "snapshot", "a write to the source shows in its snapshot"),
    "list that forgets": Fault(
        "list",
        """
- openqrm.datacenter.directory_volume_info: {locations: "{{ storage_locations }}"}
  register: found
- ansible.builtin.set_fact:
    storage_broken_result: {changed: false, items: "{{ found['items'][:-1] }}"}
""",
        "listing",
        "the list is not what was made",
    ),
    "create that always says changed": Fault(
        "create", around("{'changed': true}"), "create", "a second creation changed something"
    ),
    "create that starts anew": Fault(
        "create",
        f"""
- {MODULE}: {{volumes: "{{{{ storage_volumes }}}}", state: absent}}
  when: not ansible_check_mode
- {MODULE}: {{volumes: "{{{{ storage_volumes }}}}"}}
  register: storage_broken_result
""",
        "create",
        "a second creation changed something",
    ),
    "create that does check mode for real": Fault(
        "create", around("{}", check_mode="false"), "create", "check mode created volumes"
    ),
    "create one after the other": Fault(
        "create",
        f"""
- {MODULE}: {{volumes: ["{{{{ item }}}}"]}}
  loop: "{{{{ storage_volumes }}}}"
  register: found
- ansible.builtin.set_fact:
    storage_broken_result:
      changed: "{{{{ found.changed }}}}"
      items: "{{{{ found.results | map(attribute='items') | flatten }}}}"
""",
        "bad object",
        "something was touched although one object is bad",
    ),
    "results in another order": Fault(
        "create", around("{'items': found['items'] | reverse | list}"), "bulk", "results are in another order"
    ),
    "removal that only says so": Fault(
        "remove", around("{}", "absent", check_mode="true"), "remove", "a second removal changed something"
    ),
    "resize that is refused by nobody": Fault("resize", around("{}"), "lacking", "what cannot be done is not refused"),
}


def broken_type(directory: Path, fault: Fault | None) -> Target:
    """The target at a storage type of a collection of its own, in the directory, that has the fault."""
    role = directory / "ansible_collections/acme/broken/roles/storage_broken"
    shutil.copytree(TypeRegistry.load([]).get("storage", "directory").path, role)
    for path in role.rglob("*.yml"):
        text = path.read_text(encoding="utf-8").replace("storage_directory", "storage_broken")
        path.write_text(text.replace("type: directory", "type: broken"), encoding="utf-8")
    if fault:
        name = "volume_" + fault.verb
        (role / f"tasks/{name}.yml").write_text(fault.tasks, encoding="utf-8")
    info = read_type(role / "meta/openqrm.yml", "acme.broken")
    return Target(info, str(directory / "volumes"), "filesystem", lacks=frozenset({"resize"}))  # it has no quotas


def verify(directory: Path, fault: Fault | None, cases: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the cases at the broken type, as far as they need nothing of the file system."""
    monkeypatch.setenv("ANSIBLE_COLLECTIONS_PATH", str(directory))
    target = broken_type(directory, fault)
    running, scripts = begin(target, directory, {name: CASES[name] for name in cases})
    play(scripts, directory, target.host)
    for case in running.values():
        with pytest.raises(StopIteration):
            next(case)


@pytest.mark.parametrize("name", FAULTS)
def test_the_suite_finds_the_fault(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fault = FAULTS[name]
    with pytest.raises(AssertionError) as error:
        verify(tmp_path, fault, [fault.case], monkeypatch)
    assert fault.message in str(error.value)


def test_the_same_type_without_a_fault_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = {fault.case for fault in FAULTS.values()} - {"snapshot"}  # that needs a file system with reflinks
    verify(tmp_path, None, sorted(cases), monkeypatch)
