"""Jobs as AWX runs them: a copy of the project, an inventory exported before, a host name that no other job has."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.ansible_runs import REPOSITORY, Ansible
from tests.support.center import FakeCenter, make_center

# What AWX runs for an inventory: a program that prints what the inventory sources gave when they were updated.
INVENTORY = "#!/usr/bin/env python3\nprint({inventory!r})\n"


@dataclass
class Job:
    """How a job ended: its status, the artifacts of `set_stats`, and what it printed."""

    status: str
    artifacts: dict[str, Any]
    output: str


class Awx:
    """Runs job templates of the project over the exported inventory, by ansible-runner in a directory for each."""

    def __init__(self, center: FakeCenter) -> None:
        self.center = center
        self.root = center.root / "awx"
        project = self.root / "project"
        files = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
        for name in filter(None, files.stdout.split("\0")):
            if (source := REPOSITORY / name).exists() and not name.startswith("tests/"):
                (project / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, project / name, follow_symlinks=False)

    def update_inventory(self) -> None:
        """What *Update on launch* does with both sources."""
        sources = (str(self.root / "project/inventory/datacenter.openqrm.yml"), str(self.center.root / "inventory.yml"))
        ansible = Ansible(self.center.root / "openqrm.yml", sources)
        self.inventory = json.dumps(ansible.inventory_json("--list", "--export"))

    def job(self, playbook: str, *flags: str, **variables: object) -> Job:
        """Launches a template: playbook, extra variables, and `--check --diff` for the job type Check."""
        directory = self.root / f"awx_{uuid.uuid4().hex[:8]}"
        for part in ("inventory", "env", "artifacts"):
            (directory / part).mkdir(parents=True)
        shutil.copytree(self.root / "project", directory / "project", symlinks=True)
        (directory / "inventory/hosts").write_text(INVENTORY.format(inventory=self.inventory))
        (directory / "inventory/hosts").chmod(0o755)
        (directory / "env/extravars").write_text(json.dumps({"awx_job_id": 7, **variables}))
        runner = [str(Path(sys.executable).with_name("ansible-runner")), "run", str(directory), "--ident", "job"]
        runner += ["--playbook", playbook, "--json"]
        if flags:
            runner += ["--cmdline", " ".join(flags)]
        named = ["unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', directory.name.replace("_", "-")]
        environment = os.environ | {"OPENQRM_CONFIG": str(self.center.root / "openqrm.yml")}
        done = subprocess.run(
            [*named, *runner], env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        artifacts = directory / "artifacts/job"
        events = [json.loads(path.read_text()) for path in (artifacts / "job_events").glob("*.json")]
        (stats,) = [event["event_data"] for event in events if event["event"] == "playbook_on_stats"] or [{}]
        status = (artifacts / "status").read_text()
        return Job(status, stats.get("artifact_data", {}), done.stdout + done.stderr)


@pytest.fixture
def awx(tmp_path: Path, postgresql_url: str) -> Iterator[Awx]:
    """A data centre of fake types on PostgreSQL, as AWX needs it, with two machines and two appliances."""
    center = make_center(tmp_path, postgresql_url)
    center.add_nodes(2)
    center.add_appliances(["web01", "web02"])
    found = Awx(center)
    found.update_inventory()
    yield found
    center.store.close()


def states(awx: Awx) -> dict[str, str]:
    with awx.center.store.read() as tx:
        return {item.name: item.state for item in (*tx.appliances(), *tx.resources())}


def test_jobs_check_start_and_stop_side_by_side(awx: Awx) -> None:
    before = states(awx)
    checked = awx.job("playbooks/appliance_start.yml", "--check", "--diff", appliances="web01")
    assert checked.status == "successful", checked.output
    assert "web01" in checked.output and states(awx) == before

    with ThreadPoolExecutor() as pool:
        names = ("web01", "web02")
        jobs = list(pool.map(lambda name: awx.job("playbooks/appliance_start.yml", appliances=name), names))
    assert [job.status for job in jobs] == ["successful"] * 2, [job.output for job in jobs]
    assert set(states(awx).values()) == {"active"}
    assert jobs[0].artifacts["openqrm"]["plan"] != jobs[1].artifacts["openqrm"]["plan"]

    awx.update_inventory()
    assert "web01" in json.loads(awx.inventory)["_meta"]["hostvars"]
    stopped = awx.job("playbooks/appliance_stop.yml", appliances="web01,web02")
    assert stopped.status == "successful", stopped.output
    assert states(awx) == before


def test_a_job_that_fails_says_why(awx: Awx) -> None:
    failed = awx.job("playbooks/appliance_start.yml", appliances="web9")
    assert failed.status == "failed"
    assert "web9" in failed.output and "web01" in failed.output, "the closest names"
