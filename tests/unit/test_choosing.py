"""A start reads no more of the fleet than it may need, and chooses as if it had read all of it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from openqrm import matching
from openqrm.config import Config
from openqrm.errors import NoResourceError
from openqrm.model import Nic, Requirements, Resource
from openqrm.planning import start
from openqrm.planning.context import Context
from openqrm.store import Store, Writer, open_store
from openqrm.types import TypeRegistry

FREE = "fake"
SIZES = (1024, 2048, 4096, 8192)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    opened = open_store(f"sqlite:///{tmp_path}/openqrm.db", create=True)
    yield opened
    opened.close()


def add(store: Store, *resources: Resource) -> None:
    """Idle resources."""
    with store.write("test", "resources") as tx:
        tx.save(list(resources))
        tx.set_state("resource", [resource.name for resource in resources], "idle")


def node(number: int, memory_mib: int, driver: str = FREE, **fields: object) -> Resource:
    """A resource that nothing was heard of: proven free only by a power driver that reads back."""
    nics = (Nic(f"52:54:00:00:00:{number:02x}"),)
    row = Resource(0, f"node{number:03}", memory_mib=memory_mib, cores=1, nics=nics, power_driver=driver)
    return replace(row, **fields)  # type: ignore[arg-type]


def chosen(store: Store, wanted: list[matching.Wanted], *, read_all: bool = False) -> dict[matching.Member, str]:
    """The resources' names by member; empty where there are not enough."""
    with store.write("test", "choose") as tx:
        context = Context(tx, Config(), TypeRegistry.load([]))
        if read_all:
            found = [row for row in tx.resources(states=["idle"]) if not start.why_not_free(context, row)]
        else:
            found = start._free(context, wanted)
        try:
            return {member: row.name for member, row in matching.assign_members(wanted, found).items()}
        except NoResourceError:
            return {}


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many candidates each query gave."""
    counts: list[int] = []
    original = Writer.candidates

    def candidates(self: Writer, requirements: Requirements, limit: int | None = None) -> list[Resource]:
        rows = original(self, requirements, limit)
        counts.append(len(rows))
        return rows

    monkeypatch.setattr(Writer, "candidates", candidates)
    return counts


def test_one_start_reads_one_candidate(store: Store, read: list[int]) -> None:
    add(store, *(node(number, 1024) for number in range(50)))
    assert chosen(store, [("web", 0, Requirements())]) == {("web", 0): "node000"}
    assert read == [1]


def test_more_are_read_until_enough_are_free(store: Store, read: list[int]) -> None:
    add(store, *(node(number, 1024, "" if number < 10 else FREE) for number in range(50)))
    assert chosen(store, [("web", 0, Requirements())]) == {("web", 0): "node010"}
    assert read == [1, 4, 16]


def test_nothing_that_fits_is_free(store: Store) -> None:
    add(store, *(node(number, 1024, "") for number in range(5)))
    with pytest.raises(NoResourceError, match="node000 fits but is not proven free"):
        chosen(store, [("web", 0, Requirements())])


def test_members_that_must_differ_have_all_to_choose_from(store: Store) -> None:
    racks = [frozenset({"rack:a"})] * 20 + [frozenset({"rack:b"})]
    add(store, *(node(number, 1024, tags=tags) for number, tags in enumerate(racks)))
    wanted = [("web", number, Requirements(anti_affinity="rack")) for number in range(2)]
    assert chosen(store, wanted) == {("web", 0): "node000", ("web", 1): "node020"}


def test_the_choice_is_made_exactly_where_it_can_be_made_from_all(tmp_path: Path) -> None:
    """Several kinds of members take from each other, and none is left without a resource that the fleet has."""
    made = 0
    for seed in range(30):
        draw = random.Random(seed)  # noqa: S311 - a test that can be repeated
        store = open_store(f"sqlite:///{tmp_path}/{seed}.db", create=True)
        add(store, node(0, SIZES[-1]), *(node(n, draw.choice(SIZES), draw.choice(("", FREE))) for n in range(1, 25)))
        wanted = [
            (f"web{number}", 0, Requirements(memory_mib=draw.choice(SIZES), resource=draw.choice(("", "", "node000"))))
            for number in range(draw.randrange(1, 10))
        ]
        found = chosen(store, wanted)
        assert found.keys() == chosen(store, wanted, read_all=True).keys(), seed
        made += bool(found)
        store.close()
    assert 5 <= made <= 25
