"""Back ends times methods: a machine boots its root from each pair that fits, writes to it, and gives it back."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from openqrm.types import TypeRegistry

from tests.support.lab_session import RECIPE, LabSession
from tests.support.storage_matrix import record

pytestmark = pytest.mark.extended

NAME = "e2e-matrix"
SIZE_MIB = 1536
GROUP, LOOP, ZFS_LOOP = "matrix", "/dev/loop7", "/dev/loop6"
LOCATIONS = {
    "lvm": f"/dev/{GROUP}",
    "file": "/srv/openqrm/files",
    "btrfs": "/srv/btrfs/volumes",
    "zfs": f"{GROUP}/volumes",
}
# What the roles are told of the storage server, as an operator does in host_vars.
SETTINGS = {"storage_lvm_disks": [LOOP], "storage_lvm_pool_percent": 90, "storage_zfs_disks": [ZFS_LOOP]}
DISKS = f"""
set -e
mkdir -p /srv/openqrm/disks /srv/btrfs && cd /srv/openqrm/disks
truncate -s 8G lvm btrfs zfs
losetup {LOOP} lvm && losetup {ZFS_LOOP} zfs
mkfs.btrfs -q btrfs && mount -o loop btrfs /srv/btrfs
"""
PAIRS = [
    ("lvm", "iscsi"),
    ("file", "nvme_tcp"),
    ("lvm", "aoe"),
    ("btrfs", "nfs"),
    ("lvm", "nfs"),
    ("file", "iscsi"),
    ("lvm", "nvme_tcp"),
    ("file", "aoe"),
    ("file", "iscsi/tgt"),  # the method, and what serves it where that is not its default
    ("zfs", "nfs"),
    ("zfs", "iscsi"),
]


@pytest.fixture(scope="module")
def matrix() -> Iterator[LabSession]:
    """A lab with a machine, and a storage server with disks for LVM and ZFS, one with btrfs, and a place for files."""
    with LabSession(NAME) as session:
        session.play_up({"lab_nodes": 1, "lab_node_firmware": ["bios"], "lab_storage_zfs": True})
        session.prepare()
        session.on_storage("sh", "-c", DISKS)
        variables = session.directory / "inventory/host_vars"
        variables.mkdir(exist_ok=True)
        (variables / f"{session.info['storage']['host']}.yml").write_text(yaml.safe_dump(SETTINGS))
        for backend, location in LOCATIONS.items():
            server = ["--host", session.info["storage"]["host"], "--address", session.info["storage"]["addresses"][-1]]
            session.openqrm("storage", "add", backend, "--type", backend, "--location", location, *server)
        yield session


def settle(lab: LabSession, settings: dict[str, Any], directory: Path) -> None:
    """Tells the roles of the storage server's settings, and has deployment_iscsi prepare it as they say."""
    host = lab.info["storage"]["host"]
    (lab.directory / "inventory/host_vars" / f"{host}.yml").write_text(yaml.safe_dump(settings))
    role = {"name": "openqrm.datacenter.deployment_iscsi", "tasks_from": "prepare"}
    play = {"hosts": host, "gather_facts": False, "tasks": [{"ansible.builtin.include_role": role}]}
    playbook = directory / "prepare.yml"
    playbook.write_text(yaml.safe_dump([play]))
    lab.playbook(str(playbook), {})


@contextlib.contextmanager
def served_by(lab: LabSession, server: str, directory: Path) -> Iterator[None]:
    """The storage server with another iSCSI server than its own, which is there again in the end."""
    if not server:
        yield
        return
    settle(lab, SETTINGS | {"deployment_iscsi_server": server}, directory)
    try:
        yield
    finally:
        lab.on_storage("systemctl", "disable", "--now", f"openqrm-{server}")
        settle(lab, SETTINGS, directory)


def grants(lab: LabSession, method: str, directory: Path) -> list[dict[str, Any]]:
    """What the storage server itself says is granted."""
    answer = directory / "grants.json"
    play = {
        "hosts": lab.info["storage"]["host"],
        "gather_facts": False,
        "tasks": [
            {
                "ansible.builtin.include_role": {
                    "name": f"openqrm.datacenter.deployment_{method}",
                    "tasks_from": "grants_list",
                }
            },
            {
                "ansible.builtin.copy": {
                    "content": f"{{{{ deployment_{method}_result['items'] | to_json }}}}",
                    "dest": str(answer),
                    "mode": "0600",
                },
                "delegate_to": "localhost",
            },
        ],
    }
    playbook = directory / "grants.yml"
    playbook.write_text(yaml.safe_dump([play]))
    lab.playbook(str(playbook), {})
    found: list[dict[str, Any]] = json.loads(answer.read_text())
    return found


def access_log(lab: LabSession, backend: str, method: str, volume: str) -> str:
    """What the web server of a system that was stopped has written to its root."""
    places = TypeRegistry.load([]).types["storage", backend].volume_path
    place = places["filesystem" if method == "nfs" else "block"].format(location=LOCATIONS[backend], volume=volume)
    if method == "nfs":
        return lab.on_storage("cat", f"{place}/var/log/nginx/access.log")
    script = f"mkdir -p /mnt/look && mount -o ro{',loop' if backend == 'file' else ''} {place} /mnt/look && "
    script += "cat /mnt/look/var/log/nginx/access.log; umount /mnt/look"
    return lab.on_storage("sh", "-c", script)


@pytest.mark.parametrize(("backend", "served"), PAIRS)
def test_a_machine_boots_its_root(matrix: LabSession, backend: str, served: str, tmp_path: Path) -> None:
    method, _slash, server = served.partition("/")
    with served_by(matrix, server, tmp_path):
        times = boot_its_root(matrix, backend, method, re.sub("[_/]", "-", f"{backend}-{served}"), tmp_path)
    record(backend, served, times)


def boot_its_root(lab: LabSession, backend: str, method: str, name: str, tmp_path: Path) -> dict[str, float]:
    """What the matrix says of each pair; the seconds of its steps."""
    size = ["--size-mib", str(SIZE_MIB)] if method != "nfs" or backend == "lvm" else []
    created = lab.openqrm(
        *("image", "create", name, "--storage", backend, "--deployment", method, "--recipe", str(RECIPE)), *size
    )
    lab.openqrm("appliance", "create", name, "--image", name)
    started = lab.openqrm("appliance", "start", name)
    node = lab.resource("node01")
    assert "disk of its own" in lab.page(node.address)
    (grant,) = grants(lab, method, tmp_path)
    assert grant["sessions"] > 0

    log = lab.console("node01")
    log.write_text("")
    stopped = lab.openqrm("appliance", "stop", name)
    assert "openqrm: root unmounted" in log.read_text(errors="replace")
    assert grants(lab, method, tmp_path) == []
    assert "GET / " in access_log(lab, backend, method, f"{name}-0")
    again = lab.openqrm("appliance", "start", name, "--boot", "reset")
    assert "disk of its own" in lab.page(lab.resource("node01").address)
    lab.openqrm("appliance", "stop", name)
    lab.openqrm("appliance", "remove", name, "--yes")
    for image in (f"{name}-0", name):
        lab.openqrm("image", "remove", image, "--yes", "--destroy-data")
    times = {"create": created, "start": started, "stop": stopped, "start_by_reset": again}
    return {step: round(done.seconds, 1) for step, done in times.items()}
