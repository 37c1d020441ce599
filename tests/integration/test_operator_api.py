"""The operator API of `openqrm serve`, over TLS, with real playbook runs on fake types."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from openqrm import nodes, operators
from openqrm.config import Registration
from openqrm.nodeapi.bodies import Hardware

from tests.support.center import FakeCenter, make_center

WAIT_S = 120


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture
def center(tmp_path: Path) -> Iterator[FakeCenter]:
    """A data centre of fake types with a machine and an appliance."""
    made = make_center(tmp_path)
    made.add_nodes(2)
    made.add_appliances(["web01"])
    yield made
    made.store.close()


@contextmanager
def served(center: FakeCenter) -> Iterator[Callable[..., Any]]:
    """`openqrm serve` as a process, and a function that calls it as an administrator."""
    port, path = free_port(), center.root / "openqrm.yml"
    path.write_text(f"{path.read_text()}api: {{port: {free_port()}}}\noperators: {{listen: 127.0.0.1, port: {port}}}\n")
    token = operators.create(center.store, "tester", "admin", "test")
    command = [sys.executable, "-m", "openqrm", "--config", str(path), "serve"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ) as process:
        assert process.stderr is not None
        lines = [process.stderr.readline() for _ in range(2)]
        assert f"operator API on 127.0.0.1 port {port}" in lines[1]
        context = ssl.create_default_context(cafile=str(center.root / "state/pki/ca.pem"))
        headers = {"authorization": f"Bearer {token}"}
        with httpx.Client(base_url=f"https://127.0.0.1:{port}", verify=context, headers=headers, timeout=60) as client:
            try:
                yield lambda method, path, body=None: client.request(method, f"/api/v1/{path}", json=body)
            finally:
                process.send_signal(signal.SIGTERM)
                _, log = process.communicate(timeout=60)
        assert process.returncode == 0
        assert token not in log and "Traceback" not in log


def finished(call: Callable[..., Any], number: int) -> dict[str, Any]:
    """The plan, once it is no longer applied."""
    deadline = time.monotonic() + WAIT_S
    while (plan := call("GET", f"plans/{number}").json())["state"] == "applying":
        assert time.monotonic() < deadline, plan
        time.sleep(0.5)
    return dict(plan)


def test_an_appliance_is_made_started_restarted_and_stopped(center: FakeCenter) -> None:
    with served(center) as call:
        made = call("PUT", "appliances/web02", {"image": "golden-san1"})
        assert (made.status_code, made.json()["changed"]) == (200, True), made.text
        assert call("PUT", "appliances/web02", {"image": "golden-san1"}).json()["changed"] is False
        plan = finished(call, call("POST", "appliances/web02/start", {}).json()["plan"])
        assert plan["state"] == "done", plan["message"]
        assert call("GET", "appliances/web02").json()["state"] == "active"
        assert call("DELETE", "appliances/web02").status_code == 409
        finished(call, call("POST", "appliances/web02/restart", {}).json()["plan"])
        deadline = time.monotonic() + WAIT_S
        while call("GET", "appliances/web02").json()["state"] != "active":
            assert time.monotonic() < deadline
            time.sleep(0.5)
        newest = call("GET", "plans?limit=1").json()["items"][0]
        assert finished(call, newest["id"])["verb"] == "start"
        assert finished(call, call("POST", "appliances/web02/stop", {}).json()["plan"])["state"] == "done"
        assert call("DELETE", "appliances/web02").json()["changed"] is True
    with center.store.read() as reader:
        who = {row.actor for row in reader.audit("appliance", "web02", limit=1000)}
    assert who == {"token:tester"}


def test_a_machine_that_is_held_is_let_in(center: FakeCenter) -> None:
    """By the playbook `resource_approve`, as `openqrm resource approve` runs it."""
    policy = replace(center.config, registration=Registration(policy="approval"))
    mac = "52:54:00:aa:00:01"
    machine = {"macs": [mac], "boot_mac": mac, "address": "10.77.9.9", "boot_id": "b", "cores": 1, "memory_mib": 512}
    name = nodes.register(center.store, policy, Hardware.model_validate(machine)).resource
    with served(center) as call:
        assert call("GET", f"resources/{name}").json()["state"] == "new"
        plan = finished(call, call("POST", "approvals", {"names": [name]}).json()["plan"])
        assert plan["state"] == "done", plan["message"]
        assert call("GET", f"resources/{name}").json()["state"] == "idle"
    again = center.run("resource_approve", resources=[name])
    assert again.stats["openqrm"]["unchanged"] == [f"resource {name} is approved already"]
