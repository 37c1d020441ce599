"""The playbooks that describe objects: changed, unchanged, check mode, differences, removal, and errors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from openqrm.store import Store

from tests.support.ansible_runs import REPOSITORY, Ansible
from tests.support.fleet import make_fleet


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """The store of `make_fleet`, with a configuration file beside it."""
    url = f"sqlite:///{tmp_path}/openqrm.db"
    settings = {"store": url, "boot": {"root": f"{tmp_path}/boot"}}
    (tmp_path / "openqrm.yml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    opened = make_fleet(url)
    yield opened
    opened.close()


@pytest.fixture
def ansible(store: Store, tmp_path: Path) -> Ansible:  # noqa: ARG001 - the store must be there
    """Ansible on that store."""
    return Ansible(tmp_path / "openqrm.yml")


NEW: list[tuple[str, dict[str, Any]]] = [
    ("resource", {"name": "node3", "macs": ["52:54:00:00:00:03"], "cores": 8, "tags": ["gpu"]}),
    ("storage", {"name": "san3", "type": "directory", "host": "localhost", "location": "", "address": "10.78.0.12"}),
    ("appliance", {"name": "shop", "image": "web", "requirements": {"memory_mib": 512}}),
]


@pytest.mark.parametrize(("kind", "entry"), NEW)
def test_create_and_remove(ansible: Ansible, store: Store, tmp_path: Path, kind: str, entry: dict[str, Any]) -> None:
    """Check mode writes nothing; the second run changes nothing; differences are shown; removal likewise."""
    entry = entry | ({"location": f"{tmp_path}/volumes"} if kind == "storage" else {})
    create = (f"{kind}_create", {f"{kind}s": [entry]})
    checked = ansible.playbook(*create, "--check", "--diff")
    assert (checked["code"], checked["changed"]) == (0, True)
    assert checked["diff"][0]["before"] == ""
    assert yaml.safe_load(checked["diff"][0]["after"])["name"] == entry["name"]
    with store.read() as reader:
        assert entry["name"] not in {item.name for item in getattr(reader, f"{kind}s")()}
    assert not (tmp_path / "volumes").exists()
    first, second = ansible.playbook(*create), ansible.playbook(*create)
    assert (first["changed"], second["changed"]) == (True, False)
    assert first["stats"][f"{kind}s"][0]["name"] == entry["name"]
    assert second["stats"]["changed"] is False
    assert (tmp_path / "volumes").is_dir() is (kind == "storage"), "a storage's server is prepared"
    assert [ansible.playbook(f"{kind}_remove", {f"{kind}s": entry["name"]})["changed"] for _ in range(2)] == [
        True,
        False,
    ]


def test_many_in_one_transaction(ansible: Ansible, store: Store) -> None:
    """A list is one write: all of it or nothing."""
    entries = [{"name": f"many{number}", "cores": 2} for number in range(200)]
    failed = ansible.playbook("resource_create", {"resources": [*entries, {"name": "last", "cores": -1}]})
    assert failed["code"] == 2
    assert failed["messages"] == ["Resource last: cores -1 is not valid. Use a whole number from 0 to 65536."]
    with store.read() as reader:
        assert reader.count("resource") == {"idle": 2}
    assert ansible.playbook("resource_create", {"resources": entries})["changed"]
    with store.read() as reader:
        assert reader.count("resource") == {"idle": 2, "new": 200}


def test_default_kernel(ansible: Ansible, store: Store, tmp_path: Path) -> None:
    """Setting the default kernel publishes what nodes boot; a kernel that is the default is not removed."""
    checked = ansible.playbook("kernel_set_default", {"kernel": "arm"}, "--check", "--diff")
    assert (checked["code"], checked["changed"], (tmp_path / "boot").exists()) == (0, True, False)
    assert "default.ipxe" in checked["diff"][0]["after"]
    assert [ansible.playbook("kernel_set_default", {"kernel": "arm"})["changed"] for _ in range(2)] == [True, False]
    with store.read() as reader:
        assert reader.setting("default_kernel") == "arm"
    assert json.loads((tmp_path / "boot/manifests/default.json").read_text())["kernel"]["name"] == "arm"
    refused = ansible.playbook("kernel_remove", {"kernels": ["arm"]})
    assert refused["messages"][0].startswith("Kernel arm cannot be removed: it is used by idle resources")


@pytest.mark.parametrize(
    ("kind", "filters", "names"),
    [
        ("resource", {"resource_tags": ["ssd"]}, ["node1"]),
        ("resource", {"macs": "52-54-00-00-00-02", "states": ["idle"], "types": ["physical"]}, ["node2"]),
        ("kernel", {"arches": "aarch64"}, ["arm"]),
        ("storage", {"storage_hosts": ["san2"], "types": ["disk"]}, ["san2"]),
        ("image", {"kinds": ["golden"], "storages": ["san1"]}, ["web"]),
        ("appliance", {"states": ["stopped"], "appliances": ["web", "gone"]}, ["web"]),
    ],
)
def test_info(ansible: Ansible, kind: str, filters: dict[str, Any], names: list[str]) -> None:
    """What is there, filtered, with what refers to it; nothing changes."""
    found = ansible.playbook(f"{kind}_info", filters)
    objects = found["stats"][f"{kind}s"]
    assert (found["changed"], [item["name"] for item in objects]) == (False, names)
    related = {
        "resource": {"appliance": "web" if names == ["node2"] else ""},
        "kernel": {"default": False},
        "storage": {"images": []},
        "image": {"appliances": ["db", "web"]},
        "appliance": {
            "assigned": [{"member": 0, "resource": "node2", "address": "10.77.0.52", "image": "web", "epoch": 1}]
        },
    }[kind]
    assert objects[0] | related == objects[0]


def test_state_of_an_image(ansible: Ansible, tmp_path: Path) -> None:
    """Registered by the module, the same again, shared by its playbook, removed by name."""
    play = tmp_path / "image.yml"
    options = {"name": "mail", "storage": "san1", "volume": "mail", "deployment": "nfs"}
    tasks = [
        {"openqrm.datacenter.image": options, "register": "first"},
        {"openqrm.datacenter.image": {"images": [options]}, "register": "second"},
        {"ansible.builtin.assert": {"that": ["first.changed", "not second.changed"]}},
    ]
    play.write_text(yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]), encoding="utf-8")
    done = ansible.run("ansible-playbook", str(play))
    assert (done.code, done.errors) == (0, ""), done.output
    change = ("image_set", {"images": [{"name": "mail", "shared": True}]})
    assert ansible.playbook(*change, "--check")["changed"]
    assert [ansible.playbook(*change)["changed"] for _ in range(2)] == [True, False]
    tasks = [
        {"openqrm.datacenter.image": {"names": ["mail"], "state": "absent"}, "register": "gone"},
        {"ansible.builtin.assert": {"that": ["gone.changed", "gone.images[0].name == 'mail'"]}},
    ]
    play.write_text(yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]), encoding="utf-8")
    done = ansible.run("ansible-playbook", str(play))
    assert (done.code, done.errors) == (0, ""), done.output


def test_every_playbook_says_its_variables() -> None:
    """Each of these playbooks starts with what it does and which variables it takes."""
    for path in sorted((REPOSITORY / "playbooks").glob("*_info.yml")):
        assert path.read_text(encoding="utf-8").startswith("---\n# Reports what the store knows"), path


def test_without_the_library(ansible: Ansible, tmp_path: Path) -> None:
    """Where the Python package is missing, state plug-ins and inventory say so."""
    missing = tmp_path / "missing" / "openqrm"
    missing.mkdir(parents=True)
    (missing / "__init__.py").write_text("raise ImportError('no openqrm')\n", encoding="utf-8")
    without = Ansible(ansible.config, ansible.inventory, {"PYTHONPATH": str(missing.parent)})
    run = Ansible(without.config, (), without.environment).run("ansible-playbook", "openqrm.datacenter.resource_info")
    assert run.code == 2
    assert "Failed to import the required Python library (openqrm)" in run.output + run.errors
    listed = without.run("ansible-inventory", "--list")
    assert "Failed to import the required Python library (openqrm)" in listed.errors
