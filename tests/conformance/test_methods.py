"""Every deployment method keeps the promises of its family: the suite of method_cases, at each target."""

from __future__ import annotations

import contextlib
import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from openqrm.types import TypeRegistry

from tests.conformance.conftest import type_of
from tests.conformance.grant_script import STORAGES, MethodTarget, begin, client_of, own_program
from tests.conformance.local_methods import LOCAL
from tests.conformance.method_cases import CASES
from tests.conformance.script import Conformance
from tests.support.roles import LOCALHOST, Host

# Methods that need a server's own kernel, as iscsi with LIO does, too: tests/e2e/test_methods_conformance.py has them.
ELSEWHERE = {"nvme_tcp", "sanboot"}
# Methods whose roles have that of nfs or aoe do all that they do on a server; no client of tmpfs ever writes.
BY_OTHERS = {"local", "tmpfs", "sanboot_aoe"}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the cases at the target that the command line names, else at the local ones."""
    if "method" not in metafunc.fixturenames:
        return
    named = metafunc.config.getoption("--type")
    metafunc.parametrize("method", [named] if named else list(LOCAL), indirect=True, scope="module")
    metafunc.parametrize("case", list(CASES))


@pytest.fixture(scope="module")
def method(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Conformance]:
    """The suite at one target."""
    directory = tmp_path_factory.mktemp("methods")
    if request.config.getoption("--type"):
        found: contextlib.AbstractContextManager[MethodTarget] = contextlib.nullcontext(named_target(request.config))
    else:
        found = LOCAL[request.param](directory)
    with found as target:
        yield Conformance(lambda: begin(target, directory, CASES), target.host, directory)


def named_target(config: pytest.Config) -> MethodTarget:
    """The target of the command line."""
    location, inventory, address = (config.getoption(name) for name in ("--location", "--inventory", "--address"))
    assert location, "--location is missing: give where volumes may be made"
    assert address, "--address is missing: give the server's address for clients"
    info = type_of(config.getoption("--type"), "deployment")
    words = {name: tuple(shlex.split(config.getoption(name))) for name in ("--client", "--stranger", "--program")}
    clients = [client_of(f"conformance-{name}", words[f"--{name}"], address) for name in ("client", "stranger")]
    assert clients[0].known["address"] != clients[1].known["address"], "--stranger needs an address of its own"
    return MethodTarget(
        info,
        type_of(config.getoption("--storage-type") or STORAGES[info.needs]),
        location,
        address,
        *clients,
        words["--program"] or own_program(info.name),
        Host(config.getoption("--host"), Path(inventory).resolve()) if inventory else LOCALHOST,
        frozenset(config.getoption("--lacks").split()),
        json.loads(config.getoption("--variables")),
        tuple(shlex.split(config.getoption("--restart"))),
        size_mib=config.getoption("--size-mib"),
    )


def test_deployment_method(method: Conformance, case: str) -> None:
    method.verify(case)


def test_all_methods_of_the_collection_are_held_against_the_suite() -> None:
    methods = {info.name for info in TypeRegistry.load([]).family("deployment") if info.needs != "nothing"}
    assert methods == LOCAL.keys() | ELSEWHERE | BY_OTHERS
