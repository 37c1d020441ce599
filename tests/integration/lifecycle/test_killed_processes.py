"""The command line and all that it started are killed with SIGKILL amid an operation; then it is run again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.center import FakeCenter, make_center
from tests.support.killing import begun, kill_when, openqrm, run


@pytest.fixture
def center(tmp_path: Path) -> Iterator[FakeCenter]:
    made = make_center(tmp_path)
    made.add_nodes(2)
    made.add_appliances(["web01"])
    yield made
    made.store.close()


def held(center: FakeCenter) -> dict[str, object]:
    """Everything that belongs to an appliance: in the store, on the storage server, in the boot tree."""
    paths = [center.root / f"fake/{family}.san1.json" for family in ("deployment", "storage")]
    grants, volumes = (json.loads(path.read_text())["objects"] if path.exists() else {} for path in paths)
    entries = [
        path.name
        for name in ("nodes", "manifests", "ipxe/pxelinux.cfg")
        for path in (center.root / "boot" / name).glob("*")
    ]
    with center.store.read() as tx:
        return {
            "assignments": [(row.appliance, row.resource) for row in tx.assignments()],
            "busy": {resource.name: resource.state for resource in tx.resources() if resource.state != "idle"},
            "orders": [order.resource for order in tx.orders()],
            "grants": sorted(grants),
            "volumes": sorted(volumes),
            "entries": sorted(entries),
            "open plans": [plan.id for plan in tx.plans(["planned", "applying"])],
            "appliance": tx.appliance("web01").state,
        }


def on(node: int) -> dict[str, object]:
    """What is held when web01 runs on a node."""
    name = f"node{node:05}"
    mac = f"52-54-00-00-00-{node:02x}"
    return {
        "assignments": [("web01", name)],
        "busy": {name: "active"},
        "orders": [],
        "grants": [f"/srv/fake/web01-0 10.77.0.{node}"],
        "volumes": ["/srv/fake/golden-san1", "/srv/fake/web01-0"],
        "entries": [f"01-{mac}", f"{mac}.grub", f"{mac}.ipxe", f"{mac}.json"],
        "open plans": [],
        "appliance": "active",
    }


STOPPED: dict[str, object] = on(1) | {
    "assignments": [],
    "busy": {},
    "grants": [],
    "entries": [],
    "appliance": "stopped",
}


@pytest.mark.parametrize(
    ("verb", "operation", "after"),
    [
        ("start", "volume_clone", on(1)),
        ("start", "reset", on(1)),
        ("stop", "revoke", STOPPED),
        ("move", "revoke", on(2)),
        ("move", "authorize", on(2)),
    ],
)
def test_the_command_line_converges_after_sigkill(
    center: FakeCenter, verb: str, operation: str, after: dict[str, object]
) -> None:
    if verb != "start":
        assert center.run("appliance_start", appliances=["web01"], to="node00001").errors == ()
    center.fault({"verb": operation, "fault": "hang", "times": 1})
    command = ("appliance", verb, "web01", *(["--to", "node00002"] if verb == "move" else []))
    kill_when(openqrm(center.config.path, *command), begun(center.store, verb, operation), timeout_s=120)
    assert held(center)["open plans"] != []
    center.fault()
    code, output = run(center.config.path, *command)
    assert code == 0, output
    assert held(center) == after
    code, output = run(center.config.path, *command)
    assert code == 0, output
    assert "Nothing to do" in str(output)
    assert held(center) == after
