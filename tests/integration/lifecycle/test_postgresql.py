"""A store on PostgreSQL: the server restarts in the middle of a start, and two controllers share one store."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from openqrm.config import load_config
from openqrm.errors import StoreError
from openqrm.runner import RunResult

from tests.support import postgresql
from tests.support.center import FakeCenter, make_center

NAMES = [f"web{number:02}" for number in range(1, 5)]


@pytest.fixture(scope="module")
def server() -> Iterator[postgresql.Server]:
    """A server of this module: it is stopped while others use theirs."""
    with postgresql.running_server() as running:
        yield running


@pytest.fixture
def center(server: postgresql.Server, tmp_path: Path) -> Iterator[FakeCenter]:
    made = make_center(tmp_path, server.create_database())
    yield made
    made.store.close()


@contextmanager
def started(center: FakeCenter, results: list[RunResult]) -> Iterator[None]:
    """A start of all appliances runs meanwhile."""
    thread = threading.Thread(target=lambda: results.append(center.run("appliance_start", appliances=NAMES)))
    thread.start()
    try:
        yield
    finally:
        thread.join()


def wait_until(center: FakeCenter, operations: int) -> None:
    """Returns when so many operations of the start are done."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with center.store.read() as tx:
            done = [o for plan in tx.plans() if plan.verb == "start" for o in plan.operations if o.state == "done"]
        if len(done) >= operations:
            return
        time.sleep(0.02)
    pytest.fail(f"{operations} operations were not done in time")


def check_active(center: FakeCenter) -> None:
    """All appliances run, each on a resource and a clone of its own, and nothing is left over."""
    with center.store.read() as tx:
        assert {item.name: item.state for item in tx.appliances()} == dict.fromkeys(NAMES, "active")
        rows = tx.assignments()
        assert len({row.resource for row in rows}) == len(rows) == len(NAMES)
        assert {row.epoch for row in rows} == {1}
        assert tx.count("resource") == {"active": len(NAMES)}
        assert tx.plans(["planned", "applying"]) == []
        clones = sorted(image.name for image in tx.images() if image.kind == "clone")
    stored = json.loads((center.root / "fake/storage.san1.json").read_text())["objects"]
    assert sorted(path for path in stored if "golden" not in path) == [f"/srv/fake/{name}" for name in clones]
    assert len(json.loads((center.root / "fake/deployment.san1.json").read_text())["objects"]) == len(NAMES)
    assert len(list((center.root / "boot/manifests").iterdir())) == len(NAMES)


@pytest.mark.parametrize(("mode", "operations"), [("immediate", 0), ("immediate", 2), ("fast", 3)])
def test_a_restart_in_the_middle_of_a_start_goes_unnoticed(
    center: FakeCenter, server: postgresql.Server, mode: str, operations: int
) -> None:
    center.add_nodes(len(NAMES))
    center.add_appliances(NAMES)
    results: list[RunResult] = []
    with started(center, results):
        wait_until(center, operations)
        server.stop(mode)
        server.start()
    assert results[0].errors == ()
    check_active(center)


def test_after_a_longer_absence_the_same_command_converges(center: FakeCenter, server: postgresql.Server) -> None:
    center.add_nodes(len(NAMES))
    center.add_appliances(NAMES)
    results: list[RunResult] = []
    with started(center, results):
        wait_until(center, 2)
        server.stop()
    try:
        assert results[0].exit_code == StoreError.exit_code
        assert "cannot be used" in results[0].errors[-1]
        assert "Check that PostgreSQL runs" in results[0].errors[-1]
        assert "Traceback" not in "".join(results[0].errors)
    finally:
        server.start()
    assert center.run("appliance_start", appliances=NAMES).errors == ()
    check_active(center)
    assert not center.run("appliance_start", appliances=NAMES).changed


def other_controller(center: FakeCenter, root: Path) -> Path:
    """The configuration of a second controller: a directory of its own, the same store, servers and boot tree."""
    root.mkdir()
    settings = yaml.safe_load((center.root / "openqrm.yml").read_text())
    (root / "openqrm.yml").write_text(
        yaml.safe_dump({**settings, "state_dir": f"{root}/state", "cache_dir": f"{root}/c"})
    )
    return root / "openqrm.yml"


def openqrm(config: Path, *words: str) -> subprocess.Popen[str]:
    """The command line of the controller with this configuration, running."""
    return subprocess.Popen(
        [str(Path(sys.executable).with_name("openqrm")), *words],
        env={**os.environ, "OPENQRM_CONFIG": str(config)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """The exit code, and what it said on stderr."""
    _, errors = process.communicate(timeout=300)
    return process.returncode, errors


def test_two_controllers_work_side_by_side(center: FakeCenter, tmp_path: Path) -> None:
    """Each starts half of the appliances and then stops the other's half, all at the same time, on one fleet."""
    names = [f"app{number:02}" for number in range(12)]
    center.add_nodes(len(names))
    center.add_appliances(names, storages=2)
    configs = center.root / "openqrm.yml", other_controller(center, tmp_path / "second")
    assert load_config(str(configs[1])).state_dir != center.config.state_dir
    halves = names[::2], names[1::2]
    runs = [openqrm(config, "appliance", "start", *half) for config, half in zip(configs, halves, strict=True)]
    assert [ended(run)[0] for run in runs] == [0, 0]
    with center.store.read() as tx:
        rows = tx.assignments()
        assert sorted(row.appliance for row in rows) == names
        assert len({row.resource for row in rows}) == len({row.image for row in rows}) == len(names)
        assert tx.count("appliance") == tx.count("resource") == {"active": len(names)}
        assert len({plan.owner for plan in tx.plans(["done"]) if plan.verb == "start"}) == 2
    runs = [openqrm(config, "appliance", "stop", *half) for config, half in zip(configs, halves[::-1], strict=True)]
    assert [ended(run)[0] for run in runs] == [0, 0]
    with center.store.read() as tx:
        assert (tx.assignments(), tx.count("appliance")) == ([], {"stopped": len(names)})


def test_two_controllers_start_the_same_appliance_at_once(center: FakeCenter, tmp_path: Path) -> None:
    """One starts it, the other is told so; the second run then finds it active."""
    center.add_nodes(3)
    center.add_appliances(["web01"])
    configs = center.root / "openqrm.yml", other_controller(center, tmp_path / "second")
    outcomes = [ended(run) for run in [openqrm(config, "appliance", "start", "web01") for config in configs]]
    codes = sorted(code for code, _ in outcomes)
    assert codes in ([0, 4], [0, 0]), outcomes
    if codes == [0, 4]:
        errors = next(errors for code, errors in outcomes if code == 4)
        assert "Appliance web01: plan " in errors and "(start) is applied by " in errors
    with center.store.read() as tx:
        assert [(row.member, row.epoch) for row in tx.assignments(["web01"])] == [(0, 1)]
        assert tx.count("resource") == {"active": 1, "idle": 2}
    assert ended(openqrm(configs[1], "appliance", "start", "web01"))[0] == 0
