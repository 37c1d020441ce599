"""Types that another collection ships: found by the configuration's `collections`, and used by the playbooks."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from openqrm.config import load_config
from openqrm.datacenter import Datacenter
from openqrm.errors import ConfigError
from openqrm.paths import collection_root
from openqrm.types import TypeRegistry

from tests.support.center import FakeCenter, make_center

ROLES = Path(__file__).parents[3] / "roles"
TYPE = "array"


def ship(collection: Path, family: str, name: str) -> None:
    """Makes the role `<family>_<name>` of the collection from this collection's fake."""
    role = collection / "roles" / f"{family}_{name}"
    shutil.copytree(ROLES / f"{family}_fake", role)
    for path in role.rglob("*.yml"):
        text = path.read_text(encoding="utf-8").replace(f"{family}_fake", role.name)
        path.write_text(text.replace("\ntype: fake\n", f"\ntype: {name}\n"), encoding="utf-8")


@pytest.fixture
def arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The collection acme.arrays where Ansible finds it: a storage type and a deployment type."""
    collection = tmp_path / "collections/ansible_collections/acme/arrays"
    for family in ("storage", "deployment"):
        ship(collection, family, TYPE)
    galaxy = {"namespace": "acme", "name": "arrays", "version": "1.0.0", "readme": "README.md", "authors": ["acme"]}
    (collection / "galaxy.yml").write_text(yaml.safe_dump(galaxy))
    monkeypatch.setenv("ANSIBLE_COLLECTIONS_PATH", str(tmp_path / "collections"))
    collection_root.cache_clear()
    yield collection
    collection_root.cache_clear()


@pytest.fixture
def center(tmp_path: Path, arrays: Path) -> Iterator[FakeCenter]:  # noqa: ARG001 - the collection must be there
    made = make_center(tmp_path)
    path = tmp_path / "openqrm.yml"
    path.write_text(path.read_text() + "collections: [acme.arrays]\n")
    yield FakeCenter(made.root, load_config(str(path)), made.store)
    made.store.close()


def test_its_types_are_found_by_the_configuration(center: FakeCenter, arrays: Path) -> None:
    types = Datacenter(center.config, center.store).types
    storage = types.get("storage", TYPE)
    assert (storage.role, storage.path) == (f"acme.arrays.storage_{TYPE}", arrays / f"roles/storage_{TYPE}")
    assert types.get("deployment", TYPE).role == f"acme.arrays.deployment_{TYPE}"
    assert ("storage", TYPE) not in TypeRegistry.load(()).types


def test_two_collections_cannot_provide_one_type(arrays: Path) -> None:
    ship(arrays, "power", "fake")
    with pytest.raises(ConfigError, match="both provide the power type fake"):
        TypeRegistry.load(("acme.arrays",))


def test_an_appliance_starts_and_stops_on_it(center: FakeCenter) -> None:
    (node,) = center.add_nodes(1)
    storage = {"name": "array1", "type": TYPE, "host": "san1", "location": "/vol", "address": "10.78.0.10"}
    assert center.run("storage_create", storages=[storage]).errors == ()
    image = {"name": "golden", "storage": "array1", "deployment": TYPE}
    assert center.run("image_create", images=[image]).errors == ()
    assert center.run("appliance_create", appliances=[{"name": "web01", "image": "golden"}]).errors == ()
    assert center.run("appliance_start", appliances="web01").errors == ()
    with center.store.read() as tx:
        assert (tx.appliance("web01").state, tx.resource(node).state) == ("active", "active")
        plan = next(plan for plan in tx.plans() if plan.verb == "start")
    used = {(operation.role, operation.verb) for operation in plan.operations if operation.role.startswith("acme.")}
    assert used == {
        (f"acme.arrays.storage_{TYPE}", "volume_clone"),
        (f"acme.arrays.deployment_{TYPE}", "authorize"),
    }
    assert center.run("appliance_stop", appliances="web01").errors == ()
    with center.store.read() as tx:
        assert (tx.appliance("web01").state, tx.resource(node).state) == ("stopped", "idle")


def test_a_verb_that_the_role_lacks_is_told_before_anything_runs(center: FakeCenter, arrays: Path) -> None:
    (tasks := arrays / f"roles/storage_{TYPE}/tasks/volume_create.yml").unlink()
    storage = {"name": "array1", "type": TYPE, "host": "san1", "location": "/vol", "address": "10.78.0.10"}
    assert center.run("storage_create", storages=[storage]).errors == ()
    failed = center.run("image_create", images=[{"name": "golden", "storage": "array1", "deployment": TYPE}])
    assert f"Role acme.arrays.storage_{TYPE} cannot volume_create: {tasks} is missing." in failed.errors[-1]
    with center.store.read() as tx:
        assert [plan.verb for plan in tx.plans()] == ["storage_prepare"]


def test_a_module_that_is_not_installed_is_named(center: FakeCenter, arrays: Path) -> None:
    """A type whose collection lacks one of its dependencies: the error says which module, not only that it failed."""
    tasks = arrays / f"roles/storage_{TYPE}/tasks/volume_create.yml"
    content = tasks.read_text()
    tasks.write_text("- acme.missing.volume:\n    name: x\n")
    storage = {"name": "array1", "type": TYPE, "host": "san1", "location": "/vol", "address": "10.78.0.10"}
    assert center.run("storage_create", storages=[storage]).errors == ()
    failed = center.run("image_create", images=[{"name": "golden", "storage": "array1", "deployment": TYPE}])
    assert not failed.ok
    assert "couldn't resolve module/action 'acme.missing.volume'" in failed.errors[-1]
    assert str(tasks) in failed.errors[-1]
    assert len(failed.errors[-1]) < 500 and failed.errors[-1].isprintable()
    tasks.write_text(content)
    image = {"name": "golden", "storage": "array1", "deployment": TYPE}
    assert center.run("image_create", images=[image]).errors == (), "the plan is taken up where it stopped"
    with center.store.read() as tx:
        assert tx.image("golden").volume == "golden"
