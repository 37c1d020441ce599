"""A command line over a store of its own; playbook runs are recorded instead of done."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from openqrm.cli.main import main
from openqrm.config import Config
from openqrm.model import Appliance, Image, Kernel, Nic, Operation, Plan, Requirements, Resource, Storage, Volume
from openqrm.runner import RunResult
from openqrm.store import Store, open_store


@dataclass
class Runs:
    """Stands for `run_playbook`: keeps what was asked for, and returns `result`."""

    result: RunResult = field(default_factory=lambda: RunResult("successful", changed=True))
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    flags: list[tuple[bool, bool]] = field(default_factory=list)
    plans: list[int | None] = field(default_factory=list)
    configs: list[Path] = field(default_factory=list)
    act: Callable[[Callable[[Mapping[str, object]], None]], None] = lambda _on_event: None

    def __call__(
        self,
        config: Config,
        playbook: str,
        variables: Mapping[str, object],
        *,
        check: bool,
        diff: bool,
        plan: int | None,
        on_event: Callable[[Mapping[str, object]], None],
        cancel: threading.Event,
    ) -> RunResult:
        """Records a run."""
        assert not cancel.is_set()
        self.calls.append((playbook, dict(variables)))
        self.flags.append((check, diff))
        self.plans.append(plan)
        self.configs.append(config.path)
        self.act(on_event)
        return self.result


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    """The configuration of a data centre whose store does not exist yet."""
    path = tmp_path / "openqrm.yml"
    path.write_text(f"store: sqlite:///{tmp_path}/openqrm.db\nstate_dir: {tmp_path}/state\n")
    return path


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a store with one object of each kind."""
    path = tmp_path_factory.mktemp("store") / "openqrm.db"
    opened = open_store(f"sqlite:///{path}", create=True)
    with opened.write("test", "test") as writer:
        fill(writer)
    opened.close()
    return path


@pytest.fixture
def store(config_file: Path, filled: Path) -> Iterator[Store]:
    """The store of the configuration, with one object of each kind."""
    shutil.copy(filled, config_file.parent / "openqrm.db")
    opened = open_store(f"sqlite:///{config_file.parent}/openqrm.db")
    yield opened
    opened.close()


def fill(writer: Any) -> None:
    """Adds one object of each kind, a second appliance that runs, a plan and events."""
    writer.save(
        [
            Resource(
                0,
                "node1",
                "idle",
                cores=4,
                memory_mib=4096,
                tags=frozenset({"gpu"}),
                nics=(Nic("52:54:00:00:00:01"),),
                address="10.77.0.50",
                power_driver="redfish",
            ),
            Resource(0, "node2", "idle", cores=2, memory_mib=1000, nics=(Nic("52:54:00:00:00:02"),)),
            Kernel(0, "k1", "6.1.0", "x86_64", "a" * 64, "b" * 64, "c" * 64),
            Storage(0, "san1", "directory", "san1", "/srv/volumes", "10.78.0.10"),
            Volume(0, "web", "san1", 1024),
            Volume(0, "db", "san1"),
            Volume(0, "spare", "san1"),
            Image(0, "web", "san1", "web", "nfs"),
            Image(0, "db", "san1", "db", "nfs"),
            Appliance(0, "web01", "k1", "web", requirements=Requirements(tags=frozenset({"gpu"}))),
            Appliance(0, "db01", "k1", "db", clone=False, parameters={"tags": "prod, slow"}),
        ]
    )
    writer.assign([("db01", 0, "node2", "db", 1)])
    for state in ("reserved", "starting", "active"):
        writer.set_state("resource", ["node2"], state)
    for state in ("starting", "active"):
        writer.set_state("appliance", ["db01"], state)
    writer.set_setting("default_kernel", "k1")
    writer.set_setting("shelves", {"main": {"url": "/srv/shelf", "keys": [], "unsigned": True}})
    writer.add_event("info", "hello", "resource", "node1")
    writer.add_event("error", "bad \x1b[31m thing", "appliance", "db01")
    steps = (
        Operation(
            1,
            1,
            "san1",
            "openqrm.datacenter.storage_directory",
            "volume_clone",
            "storage_volumes",
            ({"name": "db"},),
            state="done",
        ),
    )
    writer.add_plan(Plan(0, "start", "planned", "x", steps, ({"kind": "appliance", "name": "db01"},)))


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Runs:
    """Playbook runs, recorded."""
    recorder = Runs()
    monkeypatch.setattr("openqrm.runner.run_playbook", recorder)
    return recorder


@pytest.fixture
def run(config_file: Path) -> Callable[..., Result]:
    """Runs a command line on the data centre of the test."""

    def invoke(*words: str, stdin: str = "") -> Result:
        return CliRunner().invoke(main, ["--config", str(config_file), *words], input=stdin, prog_name="openqrm")

    return invoke
