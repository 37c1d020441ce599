"""The controller is killed at every step of start, stop and move: the next run converges, and nothing is left over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from openqrm.errors import OpenqrmError

from tests.support.simulation import Center, Controller, Factory, Killed, factory

__all__ = ["factory"]


@dataclass(frozen=True)
class Case:
    """A command on one appliance that runs or is stopped. `listening`: machines take orders, else they are reset."""

    verb: str
    listening: bool = False
    running: bool = False
    faults: tuple[Mapping[str, Any], ...] = ()
    arguments: Mapping[str, Any] = field(default_factory=dict)
    silent: tuple[str, ...] = ()
    fails: bool = False
    after: str = "active"

    def prepare(self, center: Center) -> None:
        """The data centre before the command."""
        center.add_nodes(3, listening=self.listening)
        center.add_appliances("web01", "web02", "web03")
        first = ["web01", "web02"] if self.running else ["web02"]
        Controller(center).run("start", appliances=first)
        center.faults[:] = self.faults
        center.silent |= set(self.silent)

    def command(self, center: Center, kill_at: int | None = None) -> Controller:
        """Runs the command until it ends or is killed; a failure that was undone is one that the case wants."""
        controller = Controller(center, kill_at)
        try:
            controller.run(self.verb, appliances=["web01"], **self.arguments)
        except OpenqrmError:
            if not self.fails:
                raise
        except Killed:
            pass
        return controller


def fault(verb: str, **more: Any) -> tuple[Mapping[str, Any], ...]:
    return ({"verb": verb, "fault": "fail", "times": 3, **more},)


CASES = {
    "start by reset": Case("start"),
    "start in place": Case("start", listening=True),
    "start that fails to authorize": Case("start", faults=fault("authorize"), fails=True),
    "start that fails to reset": Case("start", faults=fault("reset"), fails=True),
    "start on a machine that is silent": Case("start", silent=("node2",)),
    "start on machines that are all silent": Case("start", silent=("node2", "node3"), fails=True, after="stopped"),
    "stop by reset": Case("stop", running=True, after="stopped"),
    "stop by order": Case("stop", listening=True, running=True, after="stopped"),
    "stop that fails to revoke": Case("stop", running=True, faults=fault("revoke"), fails=True, after="stopped"),
    "stop that fails to reset": Case("stop", running=True, faults=fault("reset"), fails=True, after="stopped"),
    "move that fails to authorize": Case(
        "move", running=True, faults=fault("authorize"), arguments={"to": "node3"}, fails=True
    ),
    "move that fails to reset": Case(
        "move", running=True, faults=fault("reset"), arguments={"to": "node3"}, fails=True
    ),
    "move by reset": Case("move", running=True, arguments={"to": "node3"}),
    "move by order": Case("move", listening=True, running=True, arguments={"to": "node3"}),
}


def state_of(center: Center) -> str:
    with center.store.read() as tx:
        return tx.appliance("web01").state


def steps_of(make: Factory, case: Case) -> list[str]:
    """The steps that the command has when nobody kills it."""
    with make.center() as center:
        case.prepare(center)
        return case.command(center).steps


def check_kill(make: Factory, case: Case, number: int) -> list[str]:
    """What is wrong after a kill at this step and the runs that follow."""
    with make.center() as center:
        case.prepare(center)
        case.command(center, number)
        for _ in range(3):  # a run that finds a plan being undone ends it and says so; the next one starts anew
            case.command(center)
        wrong = center.leftovers()
        if (state := state_of(center)) != case.after:
            wrong.append(f"web01 is {state}")
        before = center.files()
        if not case.silent and case.command(center).result.plan:
            wrong.append("one more run has something to do")
        return wrong + ([] if center.files() == before else ["one more run changes files"])


@pytest.mark.parametrize("name", CASES)
def test_the_next_run_converges_wherever_the_controller_was_killed(factory: Factory, name: str) -> None:
    case = CASES[name]
    steps = steps_of(factory, case)
    assert len(steps) > 10
    found = {
        f"{number}: {step}": wrong for number, step in enumerate(steps) if (wrong := check_kill(factory, case, number))
    }
    assert found == {}
