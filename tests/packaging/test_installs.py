"""Each way of installing runs a playbook by its full name, with nothing of the checkout in reach."""

from __future__ import annotations

import json
import sys
import tarfile
from pathlib import Path

import pytest
import yaml

from tests.support.installs import (
    COLLECTION,
    ROOT,
    Install,
    built_tarball,
    exported_tree,
    galaxy_install,
    library_install,
    run,
    site_packages,
    wheel_install,
)

PLAYBOOK = "openqrm.datacenter.resource_info"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of the checkout as it is now."""
    return exported_tree(tmp_path_factory.mktemp("tree"))


@pytest.fixture(scope="module")
def wheel(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Install:
    return wheel_install(tree, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def library(wheel: Install, tmp_path_factory: pytest.TempPathFactory) -> Install:
    return library_install(wheel, tmp_path_factory.mktemp("library"))


@pytest.fixture(scope="module")
def tarball(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built_tarball(tree, tmp_path_factory.mktemp("tarball"))


@pytest.fixture
def install(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Install, Path]:
    """The installation that the parameter names, and where its collection is."""
    way = request.param
    if way == "checkout":
        clone: Path = request.getfixturevalue("tree")
        return Install(
            Path(sys.executable), clone, {"PYTHONPATH": str(clone / "library")}
        ), clone / "collection" / COLLECTION
    if way == "wheel":
        found: Install = request.getfixturevalue("wheel")
        return found, site_packages(found.python) / COLLECTION
    source = request.getfixturevalue("tarball") if way == "tarball" else f"git+file://{request.getfixturevalue('tree')}"
    return galaxy_install(request.getfixturevalue("library"), source, tmp_path), tmp_path / COLLECTION


@pytest.mark.parametrize("install", ["checkout", "wheel", "tarball", "git"], indirect=True)
def test_a_playbook_runs_by_its_full_name(install: tuple[Install, Path], tmp_path: Path) -> None:
    installed, place = install
    (tmp_path / "openqrm.yml").write_text(
        f"store: sqlite:///{tmp_path}/openqrm.db\nstate_dir: {tmp_path}/state\n", encoding="utf-8"
    )
    env = {
        "OPENQRM_CONFIG": str(tmp_path / "openqrm.yml"),
        "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
        "ANSIBLE_SHOW_CUSTOM_STATS": "true",
    }
    place_of_module = json.loads(installed.ansible("doc", "--json", "openqrm.datacenter.resource_info"))
    assert Path(place_of_module["openqrm.datacenter.resource_info"]["doc"]["filename"]).is_relative_to(place)
    run([installed.python, "-m", "openqrm", "db", "upgrade"], installed.cwd, {**installed.env, **env})
    printed = json.loads(installed.ansible("playbook", "-i", "localhost,", PLAYBOOK, env=env))
    assert printed["stats"]["localhost"]["ok"] == 2
    assert printed["global_custom_stats"]["openqrm"] == {"changed": False, "resources": []}


@pytest.mark.parametrize("install", ["checkout", "wheel", "tarball", "git"], indirect=True)
def test_the_collection_is_listed_with_its_version(install: tuple[Install, Path]) -> None:
    installed, place = install
    listed = json.loads(installed.ansible("galaxy", "collection", "list", "openqrm.datacenter", "--format", "json"))
    version = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))["version"]
    assert listed[str(place.parents[1])] == {"openqrm.datacenter": {"version": version}}


def test_the_tarball_has_only_what_a_collection_needs(tarball: Path) -> None:
    with tarfile.open(tarball) as archive:
        top = {name.split("/")[0] for name in archive.getnames()}
    allowed = {
        "MANIFEST.json",
        "FILES.json",
        "LICENSE",
        "README.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "boot-templates",
        "changelogs",
        "docs",
        "inventory",
        "meta",
        "playbooks",
        "plugins",
        "requirements.yml",
        "roles",
        "tests",
    }
    assert top - allowed == set()


def test_the_wheel_has_library_collection_and_program(wheel: Install) -> None:
    packages = site_packages(wheel.python)
    for name in (
        "openqrm/py.typed",
        "openqrm/store/migrations/env.py",
        *(
            str(COLLECTION / part)
            for part in (
                "galaxy.yml",
                "meta/runtime.yml",
                "playbooks/appliance_start.yml",
                "boot-templates",
                "roles/storage_directory",
            )
        ),
    ):
        assert (packages / name).exists(), name
    assert "appliance" in run([wheel.python.parent / "openqrm", "--help"], wheel.cwd).stdout


def test_ansible_builder_reads_the_execution_environment(
    tree: Path, tarball: Path, library: Install, tmp_path: Path
) -> None:
    program = Path(sys.executable).parent / "ansible-builder"
    dist = tree / "dist"
    dist.mkdir()
    run([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", dist, tree], tmp_path)
    run([program, "create", "-f", tree / "execution-environment.yml", "-c", tmp_path / "context"], tmp_path)
    assert list((tmp_path / "context/_build/packages").glob("openqrm-*.whl"))
    galaxy_install(library, tarball, tmp_path)
    seen = yaml.safe_load(run([program, "introspect", tmp_path], tmp_path).stdout)
    assert [line for line in seen["python"] if line.startswith("sqlalchemy") and "openqrm.datacenter" in line]
    assert [line for line in seen["system"] if line.startswith("zstd") and "openqrm.datacenter" in line]
