"""Plans take turns on storage servers: processes race for them, and some are killed while it is theirs."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from openqrm.config import Config, Deadlines
from openqrm.model import Operation, Plan, Storage
from openqrm.planning import turns
from openqrm.planning.owner import owner_of
from openqrm.store import Store, Writer

from tests.unit.store.turn_taker import CLONE, HOSTS, Taker, add_plan, work

ROUNDS, TAKERS, DYING = 3, 9, 3
CONFIG = Config()


def add_storages(store: Store, limits: dict[str, int]) -> None:
    """A storage on each host with its limit."""
    with store.write("tester", "storages") as tx:
        tx.save(
            [
                Storage(0, host, "fake", host, "/srv", "10.78.0.1", {"concurrent_operations": limit})
                for host, limit in limits.items()
            ]
        )


def take(store: Store, plan: Plan, seq: int = 1, config: Config = CONFIG) -> str:
    """What the plan's operation waits for."""
    with store.write("tester", "turn") as tx:
        return turns.take(tx, config, plan.id, seq)[0]


@pytest.mark.parametrize("limits", [{"san1": 1, "san2": 2}, {"san1": 3, "san2": 1}])
def test_no_server_works_for_more_plans_than_it_may_and_all_get_their_turn(
    url: str, store: Store, tmp_path: Path, limits: dict[str, int]
) -> None:
    add_storages(store, limits)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.unit.store.turn_taker"])
    log = tmp_path / "log"
    # As many are killed in their turn as there are turns: if theirs were not given to others, nobody would end.
    takers = [Taker(url, number, ROUNDS, dies=number < DYING, log=str(log / str(number))) for number in range(TAKERS)]
    log.mkdir()
    processes = [context.Process(target=work, args=(taker,)) for taker in takers]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=200)
    assert [process.exitcode for process in processes] == [-signal.SIGKILL] * DYING + [0] * (TAKERS - DYING)
    most = most_at_once(log)
    assert all(most[host] <= limit for host, limit in limits.items()), most
    assert max(most.values()) > 1, "nobody worked at the same time: the limits were not tried"


def most_at_once(log: Path) -> dict[str, int]:
    """How many takers worked on each host at the same time at most, by what they wrote down."""
    moments = [
        (float(when), int(change), host)
        for path in log.iterdir()
        for when, change, host in (line.split() for line in path.read_text().splitlines())
    ]
    now, most = dict.fromkeys(HOSTS, 0), dict.fromkeys(HOSTS, 0)
    for _, change, host in sorted(moments):
        now[host] += change
        most[host] = max(most[host], now[host])
    return most


def test_a_turn_of_a_process_that_is_gone_counts_for_nothing(store: Store) -> None:
    add_storages(store, {"san1": 1})
    context = multiprocessing.get_context("fork")
    other = context.Process(target=time.sleep, args=(300,))
    other.start()
    first, second = (add_plan(store, ["san1"], owner) for owner in (owner_of(other.pid), owner_of()))
    assert take(store, first) == ""
    assert take(store, second) == f"waits for storage san1: 1 of 1 operations run (plans {first.id})"
    os.kill(other.pid or 0, signal.SIGKILL)
    other.join()
    assert take(store, second) == ""


def test_a_controller_of_another_host_keeps_its_turn_for_the_lease(store: Store) -> None:
    add_storages(store, {"san1": 1})
    first, second = add_plan(store, ["san1"], "elsewhere:1:1"), add_plan(store, ["san1"], owner_of())
    assert take(store, first) == ""
    assert "1 of 1" in take(store, second)
    gone = replace(CONFIG, deadlines=Deadlines(lease_s=0))
    assert take(store, second, config=gone) == ""


def test_whoever_takes_a_plan_up_again_takes_its_turn_again(store: Store) -> None:
    add_storages(store, {"san1": 1})
    first, second = add_plan(store, ["san1"], "host:1:1"), add_plan(store, ["san1"], owner_of())
    assert take(store, first) == ""
    assert take(store, second, config=replace(CONFIG, deadlines=Deadlines(lease_s=0))) == ""
    with store.write("tester", "resume") as tx:
        tx.set_plan(first.id, "applying", owner=owner_of())
    assert "1 of 1" in take(store, first)


def end_operation(tx: Writer, plan: Plan) -> None:
    tx.set_operation(plan.id, 1, "done")


def end_plan(tx: Writer, plan: Plan) -> None:
    tx.set_plan(plan.id, "failed")


@pytest.mark.parametrize("over", [end_operation, end_plan])
def test_what_is_over_is_no_turn(store: Store, over: Callable[[Writer, Plan], None]) -> None:
    add_storages(store, {"san1": 1})
    first, second = (add_plan(store, ["san1"], owner_of()) for _ in range(2))
    assert take(store, first) == take(store, first) == ""
    assert take(store, second)
    with store.write("tester", "over") as tx:
        over(tx, first)
    assert take(store, second) == ""


def test_a_call_takes_all_of_its_servers_or_none(store: Store) -> None:
    add_storages(store, {"san1": 1, "san2": 1})
    both, one, other = (add_plan(store, hosts, owner_of()) for hosts in (["san1", "san2"], ["san2"], ["san1"]))
    assert take(store, one) == ""
    assert "storage san2" in take(store, both, 1)
    assert take(store, other) == ""
    with store.write("tester", "over") as tx:
        for plan in (one, other):
            tx.set_operation(plan.id, 1, "done")
    assert take(store, both, 2) == take(store, both, 1) == ""


@pytest.mark.parametrize(
    "change",
    [
        {"verb": "volume_list"},
        {"role": "openqrm.datacenter.service_boot"},
        {"host": "localhost"},
        {"phase": 101},
    ],
)
def test_reading_taking_back_and_other_work_wait_for_nothing(store: Store, change: dict[str, object]) -> None:
    add_storages(store, {"san1": 1})
    assert take(store, add_plan(store, ["san1"], owner_of())) == ""
    free: Operation = replace(CLONE, **change)  # type: ignore[arg-type]
    assert take(store, add_plan(store, [free.host], owner_of(), free)) == ""


def test_of_several_storages_on_a_host_the_one_that_allows_least_counts(store: Store) -> None:
    add_storages(store, {"san1": 2})
    with store.write("tester", "another") as tx:
        tx.save([Storage(0, "strict", "fake", "san1", "/other", "10.78.0.1", {"concurrent_operations": 1})])
    plans = [add_plan(store, ["san1"], owner_of()) for _ in range(2)]
    assert take(store, plans[0]) == ""
    assert take(store, plans[1]).startswith("waits for storage strict: 1 of 1")


def test_turns_do_not_make_a_later_plan_one_about_the_same_objects(store: Store) -> None:
    add_storages(store, {"san1": 4})
    first, second = (add_plan(store, ["san1"], owner_of()) for _ in range(2))
    assert take(store, first) == take(store, second) == ""
    with store.read() as tx:
        assert tx.later_plans(first.id) == []
