"""Roots on block devices outlive an outage and a reboot of their server, and their writes end with their grant."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.lab_session import RECIPE, LabSession

NAME = "e2e-block"
BACKEND, FILES = "file", "/srv/openqrm/files"
SIZE_MIB = 1536
OUTAGE_S = 20
QUIET_S = 15
METHODS = ["iscsi", "nvme_tcp", "aoe"]


@pytest.fixture(scope="module")
def block() -> Iterator[LabSession]:
    """A lab with a machine, and a storage server that has a directory for files."""
    with LabSession(NAME) as session:
        session.up(1, "bios")
        session.prepare()
        storage = session.info["storage"]
        server = ["--host", storage["host"], "--address", storage["addresses"][-1]]
        session.openqrm("storage", "add", BACKEND, "--type", BACKEND, "--location", FILES, *server)
        yield session


@pytest.fixture(params=METHODS)
def running(block: LabSession, request: pytest.FixtureRequest) -> Iterator[tuple[LabSession, str, str]]:
    """The lab, a method, and an appliance that runs from it. All of it is removed by the same commands as ever."""
    lab, method = block, request.param
    name = f"on-{method}".replace("_", "-")
    size = ["--size-mib", str(SIZE_MIB)]
    lab.openqrm("image", "create", name, "--storage", BACKEND, "--deployment", method, "--recipe", str(RECIPE), *size)
    lab.openqrm("appliance", "create", name, "--image", name)
    lab.openqrm("appliance", "start", name)
    yield lab, method, name
    lab.openqrm("appliance", "stop", name, "--force")
    lab.openqrm("appliance", "remove", name, "--yes")
    for image in (f"{name}-0", name):
        lab.openqrm("image", "remove", image, "--yes", "--destroy-data")


def written_at(lab: LabSession, name: str) -> float:
    """When the appliance's volume was written to, by the storage server's clock."""
    return float(lab.on_storage("stat", "--format", "%.Y", f"{FILES}/{name}-0.raw"))


def writes(lab: LabSession, name: str) -> None:
    """Waits until a visit of the appliance's page, which its log notes, has reached the volume."""
    before = written_at(lab, name)
    address = lab.resource("node01").address
    lab.wait("the page", lambda: "disk of its own" in lab.page(address))
    lab.wait("the log on the volume", lambda: written_at(lab, name) > before, 90)


def verb(lab: LabSession, method: str, name: str, directory: Path, **variables: Any) -> list[dict[str, Any]]:
    """What a verb of a method's role gives on the storage server, behind the data centre's back."""
    answer, role = directory / f"{name}.json", f"deployment_{method}"
    items = {"content": f"{{{{ {role}_result['items'] | to_json }}}}", "dest": str(answer), "mode": "0600"}
    play = {
        "hosts": lab.info["storage"]["host"],
        "gather_facts": False,
        "tasks": [
            {"ansible.builtin.include_role": {"name": f"openqrm.datacenter.{role}", "tasks_from": name}},
            {"ansible.builtin.copy": items, "delegate_to": "localhost"},
        ],
    }
    playbook = directory / f"{name}.yml"
    playbook.write_text(yaml.safe_dump([play]))
    lab.playbook(str(playbook), variables)
    found: list[dict[str, Any]] = json.loads(answer.read_text())
    return found


@pytest.mark.extended
def test_a_root_outlives_its_server_and_ends_with_its_grant(
    running: tuple[LabSession, str, str], tmp_path: Path
) -> None:
    lab, method, name = running
    writes(lab, name)

    lab.on_storage("sh", "-c", f"ip link set eth1 down; sleep {OUTAGE_S}; ip link set eth1 up")
    writes(lab, name)

    started = lab.on_storage("cat", "/proc/sys/kernel/random/boot_id")
    lab.on_storage("sh", "-c", "sync; (sleep 1; systemctl --force --force reboot) > /dev/null 2>&1 &")
    lab.wait("the storage server to be back", lambda: is_back(lab, started))
    writes(lab, name)

    (grant,) = verb(lab, method, "grants_list", tmp_path)
    assert grant["sessions"] > 0
    revoked = [{"path": grant["path"], "client": grant["client"]}]
    (item,) = verb(lab, method, "revoke", tmp_path, deployment_grants=revoked)
    assert item["sessions"] == 0
    last = written_at(lab, name)
    time.sleep(QUIET_S)
    assert written_at(lab, name) == last, "the node still writes"


def is_back(lab: LabSession, started: str) -> bool:
    """Whether the storage server was booted since."""
    done = lab.inside("nc", "-z", "-w", "1", lab.info["storage"]["addresses"][0], "22")
    if done.returncode:
        return False
    try:
        return lab.on_storage("cat", "/proc/sys/kernel/random/boot_id") != started
    except AssertionError:
        return False
