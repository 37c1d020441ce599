"""Every type keeps the contract of its family, in this collection and in those of OPENQRM_CONTRACT_COLLECTIONS."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from openqrm.contracts import problems
from openqrm.errors import ConfigError, ConflictError, InvalidValueError
from openqrm.skeleton import write_skeleton
from openqrm.types import FAMILIES, TypeInfo, TypeRegistry, UnknownTypeError, read_type

TYPES = TypeRegistry.load(os.environ.get("OPENQRM_CONTRACT_COLLECTIONS", "").split()).types


@pytest.mark.parametrize("info", TYPES.values(), ids=lambda info: info.role)
def test_type_keeps_its_contract(info: TypeInfo) -> None:
    assert problems(info) == []


def test_families_that_the_main_job_needs_have_a_real_type_and_a_fake() -> None:
    wanted = {"storage": "directory", "deployment": "nfs", "power": "redfish", "plugin": "hosts"}
    assert set(wanted.items()) <= set(TYPES)
    assert {("storage", "fake"), ("deployment", "fake"), ("hypervisor", "fake"), ("power", "fake")} <= set(TYPES)
    assert {("service", name) for name in ("dhcp", "tftp", "http")} <= set(TYPES)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


BROKEN: dict[str, tuple[str, Callable[[Path], object]]] = {
    "verb missing": ("verb volume_remove: tasks/", lambda role: (role / "tasks/volume_remove.yml").unlink()),
    "capability missing": ("verb volume_clone: tasks/", lambda role: (role / "tasks/volume_clone.yml").unlink()),
    "tasks that are no YAML": (
        "tasks/volume_list.yml is not YAML: while parsing",
        lambda role: (role / "tasks/volume_list.yml").write_text("- name: ["),
    ),
    "tasks that are no list": (
        "tasks/volume_list.yml is not a list of tasks",
        lambda role: (role / "tasks/volume_list.yml").write_text("- x\n"),
    ),
    "specs that are no YAML": (
        "meta/argument_specs.yml is not YAML",
        lambda role: (role / "meta/argument_specs.yml").write_bytes(b"\xff"),
    ),
    "specs that are no mapping": (
        "meta/argument_specs.yml is not a mapping",
        lambda role: (role / "meta/argument_specs.yml").write_text("- x\n"),
    ),
    "readme with a playbook that is no YAML": (
        "has no playbook",
        lambda role: edit(role / "README.md", "```yaml\n", "```yaml\n- ["),
    ),
    "no readme": ("README.md is missing", lambda role: (role / "README.md").unlink()),
    "readme without playbook": ("has no playbook", lambda role: (role / "README.md").write_text("# x\n")),
    "no defaults": ("defaults/main.yml is missing", lambda role: (role / "defaults/main.yml").unlink()),
    "undocumented default": (
        "the default odd is not",
        lambda role: (role / "defaults/main.yml").write_text("odd: 1\nfake_faults: []\n"),
    ),
    "other default": (
        "the default of fake_state_dir differs",
        lambda role: edit(role / "defaults/main.yml", "/var/lib/openqrm/fake", "/srv"),
    ),
    "result not set": (
        "does not set the fact storage_fake_result",
        lambda role: edit(role / "tasks/volume_list.yml", "storage_fake_result", "result"),
    ),
    "result without items": (
        "does not set the fact storage_fake_result",
        lambda role: (role / "tasks/volume_list.yml").write_text(
            "- ansible.builtin.set_fact:\n    storage_fake_result: {changed: false, objects: []}\n"
        ),
    ),
    "other list variable": (
        "its family's contract says ['storage_volumes']",
        lambda role: edit(role / "meta/argument_specs.yml", "storage_volumes:", "volumes:"),
    ),
    "key missing": (
        "do not take the key source",
        lambda role: edit(role / "meta/argument_specs.yml", "          source:", "          origin:"),
    ),
    "key required": (
        "require the key size_mib",
        lambda role: edit(
            role / "meta/argument_specs.yml",
            "            description: Size in MiB; not used.\n",
            "            description: Size in MiB; not used.\n            required: true\n",
        ),
    ),
    "option not described": (
        "option fake_faults.item has no description",
        lambda role: edit(
            role / "meta/argument_specs.yml", "            description: Name of the object that fails.", "            #"
        ),
    ),
    "no entry point": (
        "has no entry point 'volume_list'",
        lambda role: edit(role / "meta/argument_specs.yml", "  volume_list:", "  list:"),
    ),
    "main without prepare": (
        "does not include prepare.yml",
        lambda role: (role / "tasks/main.yml").write_text("---\n[]\n"),
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_role_is_found(case: str, tmp_path: Path) -> None:
    expected, damage = BROKEN[case]
    role = tmp_path / "storage_fake"
    shutil.copytree(TYPES["storage", "fake"].path, role)
    damage(role)
    found = problems(read_type(role / "meta/openqrm.yml"))
    assert any(expected in problem for problem in found), found


def test_a_missing_hook_file_is_found(tmp_path: Path) -> None:
    role = tmp_path / "deployment_nfs"
    shutil.copytree(TYPES["deployment", "nfs"].path, role)
    (role / "files/root-mount.sh").unlink()
    assert any("files/root-mount.sh" in problem for problem in problems(read_type(role / "meta/openqrm.yml")))


WRONG_METADATA = {
    "unknown family": ({"family": "storages"}, "key family is 'storages'"),
    "no family": ({"family": None}, "key family is None"),
    "unknown key": ({"colour": "red"}, "key colour is not known for family storage"),
    "key of another family": ({"read_back": True}, "key read_back is not known"),
    "wrong choice": ({"presents": "files"}, "key presents has 'files', not one of filesystem, block"),
    "wrong element": ({"capabilities": ["clone", "fly"]}, "key capabilities has 'fly'"),
    "wrong shape": ({"capabilities": "clone"}, "key capabilities is 'clone', not a list"),
    "not text": ({"description": 5}, "key description is 5, not a str"),
    "placeholder": ({"volume_path": "{location}/{x}"}, "unknown placeholder {x}"),
    "brace": ({"volume_path": "{location"}, "key volume_path is '{location'"),
    "path of none": (
        {"volume_path": {"filesystem": "{volume}"}},
        "key volume_path is not one for each of presents, block",
    ),
    "no path of one": (
        {"presents": ["block", "filesystem"], "volume_path": {"block": "{volume}"}},
        "key volume_path is not",
    ),
    "presents nothing": ({"presents": []}, "presents, none"),
    "other name": ({"type": "other"}, "the role must be named storage_other"),
}


@pytest.mark.parametrize("case", WRONG_METADATA)
def test_wrong_metadata_names_file_and_key(case: str, tmp_path: Path) -> None:
    change, expected = WRONG_METADATA[case]
    good = {"family": "storage", "type": "x", "description": "d", "presents": "block", "volume_path": "{volume}"}
    path = tmp_path / "storage_x/meta/openqrm.yml"
    path.parent.mkdir(parents=True)
    path.write_text(yaml.safe_dump(good | change), encoding="utf-8")
    with pytest.raises(ConfigError) as error:
        read_type(path)
    assert str(path) in error.value.message
    assert expected in error.value.message


@pytest.mark.parametrize("manifest", [{}, {"initiator": "{client_iqn}"}])
def test_what_firmware_boots_has_a_uri(manifest: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "deployment_x/meta/openqrm.yml"
    path.parent.mkdir(parents=True)
    content = {"family": "deployment", "type": "x", "description": "d", "needs": "block", "boot_mode": "san"}
    path.write_text(yaml.safe_dump(content | {"manifest": manifest}), encoding="utf-8")
    with pytest.raises(ConfigError, match="key manifest has no uri, which boot mode san needs"):
        read_type(path)


@pytest.mark.parametrize("text", ["[]", "family: [", ""])
def test_metadata_that_is_no_mapping_names_the_file(text: str, tmp_path: Path) -> None:
    path = tmp_path / "storage_x/meta/openqrm.yml"
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"openqrm\.yml"):
        read_type(path)


def test_an_unknown_type_lists_the_known_ones() -> None:
    with pytest.raises(UnknownTypeError) as error:
        TypeRegistry(TYPES).get("storage", "dircetory")
    known = ", ".join(sorted(name for family, name in TYPES if family == "storage"))
    assert str(error.value) == (
        f"Storage type dircetory does not exist. Known storage types: {known}. Did you mean directory?"
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_a_skeleton_keeps_the_contract_and_is_found_in_its_collection(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection = f"acme.skeleton_{family}"
    roles = tmp_path / "ansible_collections" / collection.replace(".", "/") / "roles"
    files = write_skeleton("sample", family, roles, collection)
    assert all(path.is_file() for path in files)
    monkeypatch.setenv("ANSIBLE_COLLECTIONS_PATH", str(tmp_path))
    info = TypeRegistry.load([collection]).get(family, "sample")
    assert info.role == f"{collection}.{family}_sample"
    assert problems(info) == []
    with pytest.raises(ConflictError):
        write_skeleton("sample", family, roles, collection)


def test_two_collections_with_the_same_type_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    role = tmp_path / "ansible_collections/acme/doubled/roles/storage_fake"
    shutil.copytree(TYPES["storage", "fake"].path, role)
    monkeypatch.setenv("ANSIBLE_COLLECTIONS_PATH", str(tmp_path))
    with pytest.raises(ConfigError, match=r"openqrm\.datacenter\.storage_fake and acme\.doubled\.storage_fake"):
        TypeRegistry.load(["acme.doubled"])


@pytest.mark.parametrize("name", ["", "Array", "a/b", "../x", "1a", "a" * 40, "a b"])
def test_a_skeleton_needs_a_name_that_a_role_can_have(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidValueError):
        write_skeleton(name, "storage", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_skeleton_needs_a_family_that_is_known(tmp_path: Path) -> None:
    with pytest.raises(InvalidValueError, match="Known families: storage"):
        write_skeleton("x", "storages", tmp_path)
