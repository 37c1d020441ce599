"""`Reader.candidates`: the same rule as `openqrm.matching`, in SQL, through an index."""

from __future__ import annotations

import itertools
from pathlib import Path

import sqlalchemy as sa
from openqrm.matching import fits, waste_order
from openqrm.model import Nic, Requirements, Resource
from openqrm.store import Store, open_store

from tests.unit.store.samples import fill, resource

REQUIREMENTS = [
    Requirements(),
    Requirements(cores=4),
    Requirements(memory_mib=4096),
    Requirements(nics=2),
    Requirements(disk_mib=10),
    Requirements(type="kvm_vm"),
    Requirements(arch="aarch64"),
    Requirements(tags=frozenset({"ssd"})),
    Requirements(tags=frozenset({"ssd", "rack:r1"})),
    Requirements(anti_affinity="rack"),
    Requirements(resource="node07"),
    Requirements(resource="node07", cores=64),
    Requirements(anti_affinity="rac"),
    Requirements(anti_affinity="RACK"),
    Requirements(anti_affinity="r%k"),
    Requirements(tags=frozenset({"SSD"})),
]


def fleet() -> list[Resource]:
    """One machine of every combination."""
    found = []
    kinds = itertools.product(
        (2, 8),
        (2048, 8192),
        (1, 2),
        (0, 100),
        ("physical", "kvm_vm"),
        ("x86_64", "aarch64"),
        ((), ("ssd",), ("ssd", "rack:r1"), ("rack:",)),
    )
    for number, (cores, memory, nics, disk, kind, arch, tags) in enumerate(kinds):
        macs = tuple(Nic(f"52:54:00:0{nic}:{number >> 8:02x}:{number & 255:02x}") for nic in range(nics))
        found.append(
            resource(
                number,
                cores=cores,
                memory_mib=memory,
                disk_mib=disk,
                type=kind,
                arch=arch,
                nics=macs,
                tags=frozenset(tags),
            )
        )
    return found


def test_the_rule_in_sql_is_the_rule_in_python(store: Store) -> None:
    with store.write("tester", "fleet") as writer:
        saved = writer.save(fleet())
        for requirements in REQUIREMENTS:
            expected = sorted((item for item in saved if fits(requirements, item)), key=waste_order)
            assert writer.candidates(requirements) == expected
            assert writer.candidates(requirements, limit=3) == expected[:3]


def test_only_resources_that_are_free(filled: Store) -> None:
    with filled.write("tester", "x") as writer:
        writer.save([resource(3, monitored=False), resource(4, state="off"), resource(5)])
        writer.assign([("web01", 0, "node01", "golden", 1)])
        writer.set_state("resource", ["node02"], "reserved")
        assert [item.name for item in writer.candidates(Requirements())] == ["node00", "node05"]
        found = writer.candidates(Requirements(), states=("idle", "off"))
        assert [item.name for item in found] == ["node00", "node04", "node05"]
        assert writer.candidates(Requirements(), states=()) == []


def test_the_best_candidate_is_the_first_entry_of_an_index(tmp_path: Path) -> None:
    """No sort and no scan of the fleet, so that the size of the fleet does not matter."""
    store = open_store(f"sqlite:///{tmp_path}/openqrm.db", create=True)
    with store.write("tester", "fill") as writer:
        fill(writer)
    plans: list[list[str]] = []
    with store.read() as reader:
        connection = reader._connection
        sa.event.listen(
            connection, "before_cursor_execute", lambda *call: plans.append(explain(connection, *call[2:4]))
        )
        reader.candidates(Requirements(), limit=1)
    store.close()
    choice = "SEARCH resources USING INDEX ix_resources_choice (state=? AND type=? AND arch=? AND memory_mib>?)"
    assert choice in plans[0]
    assert not [line for line in plans[0] if "TEMP B-TREE" in line]
    scans = [line for lines in plans for line in lines if line.startswith("SCAN") and "VIRTUAL TABLE" not in line]
    assert scans == []


def explain(connection: sa.Connection, statement: str, parameters: object) -> list[str]:
    """SQLite's query plan of a statement."""
    cursor = connection.connection.cursor()
    cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
    return [str(row[3]) for row in cursor.fetchall()]
