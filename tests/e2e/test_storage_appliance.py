"""A storage server that the product deploys itself: an appliance with disks, from which another appliance runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from openqrm import lab as labs

from tests.support.lab_session import RECIPE, WAIT_S, LabSession

pytestmark = pytest.mark.extended

NAME = "e2e-nas"
SERVER, STORE, SITE = "nas", "nas1", "site"
DISK_MIB = 4096
VOLUMES = "/srv/volumes"
IN_USE, WRONG_STATE = 4, 6  # exit codes
# The machine's disk is formatted at the first start only, as the volumes on it outlive its system.
DISK = f"""[Unit]
Before=nfs-server.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'blkid /dev/vda || mkfs.ext4 -q /dev/vda; mkdir -p {VOLUMES}; mount /dev/vda {VOLUMES}'
[Install]
WantedBy=multi-user.target
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[LabSession]:
    """A lab with two machines that have disks; its own storage server is what the appliance's root comes from."""
    with LabSession(NAME) as session:
        session.play_up({"lab_nodes": 2, "lab_node_firmware": ["bios"], "lab_node_disk_mib": DISK_MIB})
        session.prepare()
        yield session


def recipe(lab: LabSession, directory: Path) -> Path:
    """A system with an NFS server that Ansible can log in to."""
    content = yaml.safe_load(RECIPE.read_text())
    content["packages"] += ["openssh-server", "python3", "nfs-kernel-server", "e2fsprogs", "zstd"]
    login = (lab.directory / "ssh/id_ed25519.pub").read_text()
    unit = "/etc/systemd/system/disk.service"
    content["files"] += [
        {"path": "/root/.ssh/authorized_keys", "content": login, "mode": "0600"},
        {"path": unit, "content": DISK},
        {"path": "/etc/systemd/system/multi-user.target.d/disk.conf", "content": "[Unit]\nWants=disk.service\n"},
    ]
    path = directory / "recipe.yml"
    path.write_text(yaml.safe_dump(content))
    return path


def let_in(lab: LabSession) -> None:
    """Tells Ansible how to log in to the appliance, as an operator does in the inventory."""
    proxy = "-o ProxyCommand='" + " ".join([*labs.shell_command(lab.directory), "nc", "%h", "%p"]) + "'"
    variables = {
        "ansible_user": "root",
        "ansible_python_interpreter": "/usr/bin/python3",
        "ansible_ssh_private_key_file": str(lab.directory / "ssh/id_ed25519"),
        "ansible_ssh_extra_args": proxy,
    }
    (lab.directory / f"inventory/group_vars/appliance_{SERVER}.yml").write_text(yaml.safe_dump(variables))


def test_an_appliance_serves_the_roots_of_others(lab: LabSession, tmp_path: Path) -> None:
    server, client = (lab.resource(node) for node in ("node01", "node02"))
    options = ["--storage", "storage1", "--deployment", "nfs", "--recipe", str(recipe(lab, tmp_path))]
    lab.openqrm("image", "create", SERVER, *options)
    lab.openqrm("appliance", "create", SERVER, "--image", SERVER, "--resource", server.name)
    lab.openqrm("appliance", "start", SERVER)
    let_in(lab)

    lab.openqrm("storage", "add", STORE, "--type", "directory", "--appliance", SERVER, "--location", VOLUMES)
    lab.openqrm("image", "create", SITE, "--storage", STORE, "--deployment", "nfs", "--recipe", str(RECIPE))
    lab.openqrm("appliance", "create", SITE, "--image", SITE, "--resource", client.name)
    lab.openqrm("appliance", "start", SITE)
    assert "disk of its own" in lab.page(lab.resource("node02").address)
    assert f"{VOLUMES}/{SITE}-0" not in lab.exports(), "the lab's own server is not who serves it"

    refused = lab.openqrm("appliance", "stop", SERVER, code=IN_USE)
    assert f"Appliance {SERVER} is the server of storage {STORE}, from which appliance {SITE} runs" in refused.err
    lab.openqrm("appliance", "stop", SITE)
    lab.openqrm("appliance", "stop", SERVER)
    refused = lab.openqrm("appliance", "start", SITE, code=WRONG_STATE)
    assert f"served by appliance {SERVER}, which does not run" in refused.err

    # Its volumes are on its machine's disk, so they are there again when it is.
    lab.openqrm("appliance", "start", SERVER)
    lab.openqrm("appliance", "start", SITE)
    lab.wait("the page", lambda: "disk of its own" in lab.page(lab.resource("node02").address), WAIT_S)
    lab.openqrm("appliance", "stop", SITE)
