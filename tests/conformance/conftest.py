"""What is held against the suite: the storage types of this collection on new file systems, or one that is named."""

from __future__ import annotations

import contextlib
import json
import secrets
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from openqrm.paths import COLLECTION
from openqrm.types import TypeInfo, TypeRegistry

from tests.conformance.script import Case, Conformance, Script, Steps, Target
from tests.conformance.storage_cases import CASES
from tests.support.roles import LOCALHOST, Host

DISK_MIB = 1024


@dataclass(frozen=True)
class Local:
    """A storage type of this collection on a new file system, made by `make` (empty: tmpfs)."""

    role: str
    make: tuple[str, ...]
    lacks: frozenset[str] = frozenset()


XFS, EXT4 = ("mkfs.xfs", "-q", "-m", "reflink=1"), ("mkfs.ext4", "-q", "-F")
LOCAL = {
    "directory on tmpfs": Local("storage_directory", (), frozenset({"snapshot", "resize"})),
    "directory on xfs": Local("storage_directory", XFS, frozenset({"resize"})),
    "file on ext4": Local("storage_file", EXT4),
    "file on xfs": Local("storage_file", XFS),
    "btrfs": Local("storage_btrfs", ("mkfs.btrfs", "-q")),
}
"""What runs on any machine. Other types need a server with more in its kernel: see docs/conformance.md."""


def begin(
    target: Target, directory: Path, cases: dict[str, tuple[str, Callable[[Script], Case]]]
) -> tuple[dict[str, Case], list[Steps]]:
    """Have the cases that the target can do write their scripts; preparing the location comes first."""
    prefix = f"conf{secrets.token_hex(3)}-"
    first = Script(target, prefix, directory)
    first.prepare()
    running: dict[str, Case] = {}
    scripts: list[Steps] = [first]
    for number, (name, (capability, case)) in enumerate(cases.items()):
        if not capability or target.can(capability):
            script = Script(target, f"{prefix}{number}-", directory)
            running[name] = case(script)
            next(running[name])
            scripts.append(script)
    return running, scripts


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the cases at the target that the command line names, else at the local ones."""
    if "conformance" not in metafunc.fixturenames:
        return
    named = metafunc.config.getoption("--type")
    places = list(named_targets(metafunc.config)) if named else list(LOCAL)
    names = [place.presents if isinstance(place, Target) else place for place in places]
    metafunc.parametrize("conformance", places, indirect=True, ids=names, scope="module")
    metafunc.parametrize("case", list(CASES))


def named_targets(config: pytest.Config) -> Iterator[Target]:
    """The target of the command line, for each kind of volume that its type presents."""
    role: str = config.getoption("--type")
    location, inventory = config.getoption("--location"), config.getoption("--inventory")
    assert location, "--location is missing: give where volumes may be made"
    info = type_of(role)
    host = Host(config.getoption("--host"), Path(inventory).resolve()) if inventory else LOCALHOST
    variables: dict[str, Any] = json.loads(config.getoption("--variables"))
    lacks = frozenset(config.getoption("--lacks").split())
    for presents in info.presents:
        yield Target(info, location, presents, host, lacks, variables, config.getoption("--size-mib"))


def type_of(role: str, family: str = "storage") -> TypeInfo:
    """The type that a role provides, named with its collection."""
    collection = role.rpartition(".")[0]
    types = {info.role: info for info in TypeRegistry.load([collection]).family(family)}
    assert role in types, f"{role} is no {family} type; known: {', '.join(types)}"
    return types[role]


@pytest.fixture(scope="module")
def conformance(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Conformance]:
    """The suite at one target."""
    directory = tmp_path_factory.mktemp("conformance")
    with target_of(request.param, directory) as target:
        yield Conformance(lambda: begin(target, directory, CASES), target.host, directory)


@contextlib.contextmanager
def target_of(place: Target | str, directory: Path) -> Iterator[Target]:
    """The target that is given, or the local one of the name."""
    if isinstance(place, Target):
        yield place
        return
    local = LOCAL[place]
    with mounted(local.make, directory) as mount:
        info = type_of(f"{COLLECTION}.{local.role}")
        yield Target(info, str(mount / "volumes"), info.presents[0], lacks=local.lacks)


@contextlib.contextmanager
def mounted(make: tuple[str, ...], directory: Path) -> Iterator[Path]:
    """A new file system of DISK_MIB, mounted below the directory."""
    disk, mount = directory / "disk", directory / "mount"
    mount.mkdir()
    if make:
        with disk.open("wb") as stream:
            stream.truncate(DISK_MIB << 20)
        subprocess.run([*make, str(disk)], check=True, timeout=60, capture_output=True)
        command = ["mount", "-o", "loop", str(disk), str(mount)]
    else:
        command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "conformance", str(mount)]
    subprocess.run(command, check=True, timeout=60)
    try:
        yield mount
    finally:
        subprocess.run(["umount", str(mount)], check=True, timeout=60)
