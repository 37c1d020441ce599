"""Every storage type keeps the promises of its family: the suite of storage_cases, at each target."""

from __future__ import annotations

from openqrm.types import TypeRegistry

from tests.conformance.conftest import LOCAL
from tests.conformance.script import Conformance

# Types whose volumes are in no place of their own, or need a server that is not everywhere: tests/e2e has it.
ELSEWHERE = {"storage_fake", "storage_lvm", "storage_zfs"}


def test_storage_type(conformance: Conformance, case: str) -> None:
    conformance.verify(case)  # that a capability it lacks is refused is the case "lacking"


def test_all_types_of_the_collection_are_held_against_the_suite() -> None:
    roles = {info.path.name for info in TypeRegistry.load([]).family("storage")}
    assert roles <= {local.role for local in LOCAL.values()} | ELSEWHERE
