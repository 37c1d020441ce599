"""The controller is killed with SIGKILL amid start, stop and move of a real appliance; then it is run again.

Everything that the command started dies with it: ansible, its modules, its ssh connections. The machines and the
storage server go on.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.e2e.test_main_job import PAGE
from tests.support.killing import kill_when, openqrm
from tests.support.lab_session import IMAGE, LOCATION, WAIT_S, LabSession, storage_address

pytestmark = pytest.mark.extended

NAME = "killed01"
ROOT = f"{LOCATION}/{NAME}-0"
ALL = "all operations"
START = ("volume_clone", "authorize", "present", "order", "wait_up")
STOP = ("absent", "order", "wait_idle", "revoke", ALL)
MOVE = ("order", "revoke", "authorize", "present", "wait_up")


def reached(lab: LabSession, verb: str, operation: str) -> Callable[[], bool]:
    """Whether the open plan of this verb has begun an operation, or ended all of them."""

    def look() -> bool:
        with lab.center.store.read() as tx:
            plans = [plan for plan in tx.plans(["applying"]) if plan.verb == verb]
        if operation == ALL:
            return any(found.state == "done" for plan in plans for found in plan.operations[-1:])
        return any(found.verb == operation and found.attempts for plan in plans for found in plan.operations)

    return look


def check_kill(lab: LabSession, verb: str, operation: str, node: str) -> None:
    """Kills the command there, and runs it twice: the first run ends the work, the second one changes nothing.

    `node`: where the appliance is to run then, or ran until then.
    """
    words = ("appliance", verb, NAME, *([] if verb == "stop" else ["--to", lab.resource(node).name]))
    command = openqrm(lab.directory / "openqrm.yml", *words)
    kill_when(command, reached(lab, verb, operation), timeout_s=WAIT_S)
    with lab.center.store.read() as tx:
        assert tx.plans(["planned", "applying"]) != []
    lab.openqrm(*words)
    check(lab, verb, node)
    before = [lab.boot_tree(), lab.exports(), lab.tables()]
    assert "Nothing to do" in lab.openqrm(*words).out
    assert [lab.boot_tree(), lab.exports(), lab.tables()] == before


def check(lab: LabSession, verb: str, node: str) -> None:
    """The appliance runs on this machine, or nowhere after a stop; nothing else is held for it anywhere."""
    runs = verb != "stop"
    resource = lab.resource(node)
    if runs:
        lab.wait(f"the page of {NAME}", lambda: PAGE in lab.page(resource.address))
    client = {storage_address(resource)} if runs else set()
    assert {path: set(clients) for path, clients in lab.exports().items()} == ({ROOT: client} if runs else {})
    assert lab.nfs_clients() == client
    assert [name for name in lab.on_storage("ls", LOCATION).split() if name.startswith(NAME)] == [f"{NAME}-0"]
    manifests = [path.name for path in (lab.directory / "boot/manifests").iterdir()]
    own = f"{resource.boot_mac.replace(':', '-')}.json"
    assert sorted(manifests) == sorted(["default.json", *([own] if runs else [])])
    with lab.center.store.read() as tx:
        assert [(row.appliance, row.resource) for row in tx.assignments()] == ([(NAME, resource.name)] if runs else [])
        assert [row.name for row in tx.resources() if row.state != "idle"] == ([resource.name] if runs else [])
        assert [image.name for image in tx.images() if image.name.startswith(NAME)] == [f"{NAME}-0"]
        assert tx.appliance(NAME).state == ("active" if runs else "stopped")
        assert tx.plans(["planned", "applying"]) == []
        assert tx.orders() == []


@pytest.fixture(scope="module")
def appliance(lab: LabSession) -> LabSession:
    """The lab with an appliance of these tests, which never ran."""
    lab.openqrm("appliance", "create", NAME, "--image", IMAGE)
    return lab


@pytest.mark.parametrize(("start", "stop"), list(zip(START, STOP, strict=True)))
def test_start_and_stop_converge_after_a_kill(appliance: LabSession, start: str, stop: str) -> None:
    check_kill(appliance, "start", start, "node01")
    check_kill(appliance, "stop", stop, "node01")


@pytest.fixture(scope="module")
def running(appliance: LabSession) -> LabSession:
    """The lab with the appliance on its first machine."""
    appliance.openqrm("appliance", "start", NAME, "--to", appliance.resource("node01").name)
    return appliance


@pytest.mark.parametrize(("number", "operation"), list(enumerate(MOVE, 1)))
def test_move_converges_after_a_kill(running: LabSession, number: int, operation: str) -> None:
    check_kill(running, "move", operation, ("node01", "node02")[number % 2])
