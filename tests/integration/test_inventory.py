"""The inventory plug-in through Ansible's own commands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from openqrm.store import Store

from tests.support.ansible_runs import Ansible
from tests.support.fleet import add_plan, make_fleet


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """The store of `make_fleet`, with a configuration file beside it."""
    url = f"sqlite:///{tmp_path}/openqrm.db"
    (tmp_path / "openqrm.yml").write_text(f"store: {url}\n", encoding="utf-8")
    opened = make_fleet(url)
    yield opened
    opened.close()


@pytest.fixture
def ansible(store: Store, tmp_path: Path) -> Ansible:  # noqa: ARG001 - the store must be there
    """Ansible on that store, with the inventory file of the project."""
    return Ansible(tmp_path / "openqrm.yml")


def configured(ansible: Ansible, tmp_path: Path, text: str) -> Ansible:
    """The same with an inventory file of its own."""
    source = tmp_path / "own.openqrm.yml"
    source.write_text(f"plugin: openqrm.datacenter.datacenter\n{text}", encoding="utf-8")
    return Ansible(ansible.config, (str(source),), ansible.environment)


def test_graph(ansible: Ansible) -> None:
    """Groups with their hosts, and no warning."""
    done = ansible.run("ansible-inventory", "--graph", "appliance_web")
    assert (done.code, done.errors) == (0, "")
    assert done.output.split() == ["@appliance_web:", "|--web-0", "|--web-1"]


def test_list(ansible: Ansible) -> None:
    """Every host with its variables."""
    found = ansible.inventory_json("--list")
    variables = found["_meta"]["hostvars"]
    assert sorted(variables) == ["db", "node1", "node2", "san1", "san2", "web-0", "web-1"]
    assert (
        variables["node1"] | {"ansible_host": "10.77.0.51", "openqrm_cores": 4, "openqrm_macs": ["52:54:00:00:00:01"]}
        == variables["node1"]
    )
    assert variables["san1"]["openqrm_storages"][0]["type"] == "directory"
    assert found["state_idle"]["hosts"] == ["node1", "node2"]
    assert found["appliance_web"]["hosts"] == ["web-0", "web-1"]


def test_host(ansible: Ansible) -> None:
    """One host's variables."""
    assert ansible.inventory_json("--host", "web-0")["ansible_host"] == "10.77.0.52"


def test_text_is_no_template(ansible: Ansible, store: Store) -> None:
    """What machines tell of themselves is never evaluated."""
    with store.write("test", "hostile") as writer:
        writer.report("node1", hardware={}, mode="{{ lookup('pipe', 'id') }}")
    done = ansible.run("ansible", "node1", "-c", "local", "-m", "ansible.builtin.debug", "-a", "var=openqrm_mode")
    assert done.code == 0
    assert "lookup('pipe', 'id')" in done.output.replace('\\"', "'").replace("''", "'")


def test_limit(ansible: Ansible) -> None:
    """Groups combine in patterns as in any inventory."""
    found = ansible.inventory_json("--list", "--limit", "openqrm_resources:&tag_ssd")
    assert list(found["_meta"]["hostvars"]) == ["node1"]


def test_static_inventory_joins(ansible: Ansible, tmp_path: Path) -> None:
    """A storage server is a host of the user's inventory: its variables and its groups come together."""
    static = tmp_path / "hosts.yml"
    static.write_text("all: {hosts: {san1: {ansible_host: 10.0.0.9}, other: {}}}\n", encoding="utf-8")
    for sources in ((str(static), *ansible.inventory), (*ansible.inventory, str(static))):
        found = Ansible(ansible.config, sources).inventory_json("--list")
        assert found["storage_directory"]["hosts"] == ["san1"]
        assert found["_meta"]["hostvars"]["san1"]["ansible_host"] == "10.0.0.9"


def test_storage_on_the_controller_stays_local(ansible: Ansible, store: Store) -> None:
    """A storage on localhost does not turn localhost into a host that is reached by ssh."""
    with store.write("test", "local") as writer:
        san2 = writer.storage("san2")
        writer.save([type(san2)(0, "here", "directory", "localhost", "/srv/here", "127.0.0.1")])
    assert ansible.inventory_json("--host", "localhost")["ansible_connection"] == "local"


def test_templates_of_the_user(ansible: Ansible, tmp_path: Path) -> None:
    """`compose`, `groups` and `keyed_groups` see the variables."""
    text = (
        "compose: {size: openqrm_cores * 2}\ngroups: {large: openqrm_cores | default(0) > 2}\n"
        "keyed_groups: [{key: openqrm_arch, prefix: arch}]\nkinds: [resource]\ngroup_by: []\ngroup_prefix: x_\n"
    )
    found = configured(ansible, tmp_path, text).inventory_json("--list")
    assert found["_meta"]["hostvars"]["node1"]["size"] == 8
    assert found["large"]["hosts"] == ["node1"]
    assert found["arch_x86_64"]["hosts"] == ["node1", "node2"]
    assert sorted(found["all"]["children"]) == ["arch_x86_64", "large", "openqrm_resources", "ungrouped"]


def test_only_the_hosts_of_a_plan(ansible: Ansible, store: Store) -> None:
    """The plan's number comes by the environment."""
    planned = Ansible(ansible.config, ansible.inventory, {"OPENQRM_PLAN": str(add_plan(store))})
    done = planned.run("ansible", "all", "--list-hosts")
    assert (done.code, done.errors) == (0, "")
    assert sorted(done.output.split()[2:]) == ["boot1", "node2", "san1", "web-0", "web-1"]


def test_cache(ansible: Ansible, store: Store, tmp_path: Path) -> None:
    """A cached inventory does not read the store; flushing does."""
    cache = tmp_path / "cache"
    cached = configured(
        ansible, tmp_path, f"cache: true\ncache_plugin: ansible.builtin.jsonfile\ncache_connection: {cache}\n"
    )
    assert "node1" in cached.inventory_json("--list")["_meta"]["hostvars"]
    with store.write("test", "gone") as writer:
        writer.remove("resource", ["node1"])
    assert "node1" in cached.inventory_json("--list")["_meta"]["hostvars"]
    assert "node1" not in cached.inventory_json("--list", "--flush-cache")["_meta"]["hostvars"]


@pytest.mark.parametrize(
    ("text", "environment", "message"),
    [
        ("config: nowhere.yml\n", {}, "nowhere.yml: No such file or directory"),
        ("kinds: [machine]\n", {}, "machine"),
        ("states: [idel]\n", {}, "idel"),
        ("states: [off]\n", {}, "quarantined"),
        ("", {"OPENQRM_PLAN": "77"}, "Plan 77 does not exist"),
    ],
)
def test_errors_are_told(
    ansible: Ansible, tmp_path: Path, text: str, environment: dict[str, str], message: str
) -> None:
    """What is wrong, on one line of the warning that Ansible makes of it."""
    wrong = configured(Ansible(ansible.config, environment=environment), tmp_path, text)
    done = Ansible(wrong.config, wrong.inventory, environment | {"ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "1"}).run(
        "ansible-inventory", "--list"
    )
    assert done.code != 0
    assert message in done.errors
    assert "Traceback" not in done.errors
