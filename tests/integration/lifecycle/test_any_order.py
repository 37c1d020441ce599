"""Commands, faults, dying controllers and machines in any order: what may never be, never is (hypothesis, stateful)."""

from __future__ import annotations

import os
from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from openqrm.errors import OpenqrmError
from openqrm.planning import changes
from openqrm.states import WAITING

from tests.support.simulation import LOCATION, Center, Controller, Factory, Killed, factory

__all__ = ["factory"]
PHASES = [Phase.generate] if os.environ.get("OPENQRM_NO_SHRINK") else list(Phase)
NODES, APPLIANCES = 4, ("web", "db", "pair")
names = st.sets(st.sampled_from(APPLIANCES), min_size=1).map(sorted)
kills = st.none() | st.integers(0, 45)
faults = st.builds(
    lambda verb, fault, times: {"verb": verb, "fault": fault, "times": times},
    st.sampled_from(["volume_clone", "authorize", "revoke", "reset", "off", "volume_remove"]),
    st.sampled_from(["fail", "hang"]),
    st.sampled_from([1, 3, 4]),
)
nodes = st.sampled_from([f"node{number}" for number in range(1, NODES + 1)])


class AnyOrder(RuleBasedStateMachine):
    """A small data centre: four machines, three appliances, one of which has two members."""

    make: Factory

    def __init__(self) -> None:
        super().__init__()
        self._open = ExitStack()
        self.center: Center = self._open.enter_context(self.make.center())
        self.epochs: dict[tuple[str, int], tuple[int, str]] = {}

    @initialize(listening=st.booleans())
    def set_up(self, listening: bool) -> None:
        self.center.add_nodes(NODES, listening=listening)
        self.center.add_appliances("web", "db")
        self.center.add_appliances("pair", members=2)
        Controller(self.center).run("start", appliances=["web"])

    @rule(verb=st.sampled_from(["start", "stop", "move"]), chosen=names, kill_at=kills)
    def command(self, verb: str, chosen: list[str], kill_at: int | None) -> None:
        """A command, by a controller that may die."""
        with suppress(OpenqrmError, Killed):
            Controller(self.center, kill_at).run(verb, appliances=chosen)

    @rule(cancel=st.booleans(), kill_at=kills)
    def take_up(self, cancel: bool, kill_at: int | None) -> None:
        """A person resumes or cancels the last plan that is not over."""
        with self.center.store.read() as tx:
            plans = tx.plans(["applying", "failed"], limit=1)
        take = changes.cancel if cancel else changes.resume
        try:
            if plans:
                prepared = take(self.center.datacenter, plans[0].id, owner="", actor="test")
                Controller(self.center, kill_at).go_on(prepared)
        except (OpenqrmError, Killed):
            pass

    @rule(verb=st.sampled_from(["start", "move"]), chosen=names, kill_at=kills)
    def another_command(self, verb: str, chosen: list[str], kill_at: int | None) -> None:
        """More of what makes most trouble."""
        self.command(verb, chosen, kill_at)

    @rule(fault=faults)
    def break_something(self, fault: dict[str, Any]) -> None:
        """A verb of a role will fail or hang."""
        self.center.faults.append(fault)

    @rule()
    def repair_everything(self) -> None:
        """All verbs work again, and all machines."""
        self.center.faults.clear()
        self.center.silent.clear()

    @rule(node=nodes, what=st.sampled_from(["silent", "boots", "heard"]))
    def machine(self, node: str, what: str) -> None:
        """A machine falls silent, whatever it is told; or boots by itself, and reports; or sends a heartbeat."""
        if what == "silent":
            self.center.silent.add(node)
        elif what == "boots":
            self.center.boot([node])
        else:
            with self.center.store.write("node", "heartbeat") as tx:
                tx.report(node, last_seen=datetime.now(UTC))

    @rule(name=st.sampled_from(APPLIANCES), kernel=st.sampled_from(["default", "other"]))
    def edit(self, name: str, kernel: str) -> None:
        """An appliance gets another kernel."""
        with self.center.store.write("test", "edit") as tx:
            tx.save([replace(tx.appliance(name), kernel=kernel)])

    @invariant()
    def epochs_grow(self) -> None:
        """A member has a new epoch on a new resource; the same epoch only on the resource that had it."""
        with self.center.store.read() as tx:
            rows = tx.assignments()
        for row in rows:
            epoch, resource = self.epochs.get((row.appliance, row.member), (0, ""))
            highest = max(epoch, row.epoch)
            assert row.epoch > epoch or row.resource == resource or row.epoch in self._had(row), row
            self.epochs[row.appliance, row.member] = (highest, row.resource if row.epoch == highest else resource)

    def _had(self, row: Any) -> list[int]:
        """The epochs that the member had on this resource, by the audit log."""
        with self.center.store.read() as tx:
            audit = [
                found.after for found in tx.audit("appliance", row.appliance, limit=1000) if found.action == "assign"
            ]
        same = [after for after in audit if (after["member"], after["resource"]) == (row.member, row.resource)]
        return [after["epoch"] for after in same][:-1]

    @invariant()
    def assignments_are_exclusive(self) -> None:
        """A resource, and an image that is not shared, are in at most one assignment; the resource's state says so."""
        with self.center.store.read() as tx:
            rows, resources = tx.assignments(), {r.name: r for r in tx.resources()}
        assert len({row.resource for row in rows}) == len(rows)
        assert len({row.image for row in rows}) == len(rows)
        free = {"new", "idle", "off", "quarantined"}
        assert [row for row in rows if resources[row.resource].state in free] == []

    @invariant()
    def waiting_has_a_deadline(self) -> None:
        """Who waits for something has a deadline."""
        with self.center.store.read() as tx:
            waiting = [r for r in tx.resources() if r.state in WAITING]
            waiting += [a for a in tx.appliances() if a.state in ("starting", "stopping")]  # type: ignore[misc]
        assert [item.name for item in waiting if item.deadline is None] == []

    @invariant()
    def stopped_means_nothing_is_held(self) -> None:
        """A stopped appliance has no assignment; a free resource no grant, no boot entry, no order."""
        with self.center.store.read() as tx:
            stopped = {a.name for a in tx.appliances() if a.state == "stopped"}
            bound = {row.resource for row in tx.assignments()}
            leaving = {r.name for r in tx.resources() if r.state in ("stopping", "error")}
            assert [row for row in tx.assignments() if row.appliance in stopped] == []
            free = [r for r in tx.resources() if r.name not in bound | leaving]
            assert tx.orders([r.name for r in free]) == []
        held = {key.rpartition(" ")[2] for key in self.center.fakes("deployment", "san1")}
        assert [r.name for r in free if r.address in held] == []
        macs = {path.stem for name in ("nodes", "manifests") for path in (self.center.root / "boot" / name).glob("*")}
        assert [r.name for r in free if r.boot_mac.replace(":", "-") in macs] == []

    @invariant()
    def one_grant_for_each_volume(self) -> None:
        """A root that is written to is never granted to two machines."""
        granted = [key.partition(" ")[0] for key in self.center.fakes("deployment", "san1")]
        assert len(set(granted)) == len(granted)

    def teardown(self) -> None:
        """With everything repaired, a stop of everything leaves nothing, and then everything starts."""
        try:
            self.repair_everything()
            self._finish_plans()
            for verb in ("stop", "start", "stop"):
                self._free_machines()
                Controller(self.center).run(verb, appliances=list(APPLIANCES))
                assert self.center.leftovers() == []
            kept = set(self.center.fakes("storage", "san1"))
            assert kept <= {f"{LOCATION}/{name}" for name in ("golden", "web-0", "db-0", "pair-0", "pair-1")}
        finally:
            self._open.close()

    def _finish_plans(self) -> None:
        """What a person does: resumes what was interrupted, until nothing is."""
        for _ in range(5):
            with self.center.store.read() as tx:
                plans = tx.plans(["applying"])
            for plan in plans:
                try:
                    Controller(self.center).go_on(
                        changes.resume(self.center.datacenter, plan.id, owner="", actor="test")
                    )
                except OpenqrmError:
                    continue
        assert plans == []

    def _free_machines(self) -> None:
        for number in range(1, NODES + 1):
            Controller(self.center).run("resource_reinstate", resources=[f"node{number}"])
            with self.center.store.read() as tx:
                free = not tx.assignments(resources=[f"node{number}"])
            if free:
                self.center.boot([f"node{number}"])


def test_what_may_never_be_never_is(factory: Factory) -> None:
    machine = type("Machine", (AnyOrder,), {"make": factory})
    examples = int(os.environ.get("OPENQRM_EXAMPLES", "40"))
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=20,
            deadline=None,
            derandomize="OPENQRM_EXAMPLES" not in os.environ,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=PHASES,
        ),
    )
