"""Fifty processes want ten resources."""

from __future__ import annotations

import multiprocessing

import pytest
from openqrm.store import Store

from tests.unit.store import samples
from tests.unit.store.racer import race

RACERS, RESOURCES = 50, 10


@pytest.mark.parametrize("locked", [True, False])
def test_every_resource_goes_to_one(url: str, store: Store, locked: bool) -> None:
    with store.write("tester", "fill") as writer:
        samples.fill(writer, resources=RESOURCES, members=RACERS)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.unit.store.racer"])
    barrier, results = context.Barrier(RACERS), context.Queue()
    racers = [context.Process(target=race, args=(url, n, locked, barrier, results)) for n in range(RACERS)]
    for racer in racers:
        racer.start()
    reports = [results.get(timeout=240) for _ in racers]
    for racer in racers:
        racer.join()
    winners = {number: resource for number, resource, _ in reports if resource}
    assert sorted(winners.values()) == [f"node{number:02}" for number in range(RESOURCES)]
    with store.read() as reader:
        assert {a.member: a.resource for a in reader.assignments()} == winners
        assert {r.state for r in reader.resources()} == {"reserved"}
        assert len([row for row in reader.audit(limit=10_000) if row.action == "assign"]) == RESOURCES
