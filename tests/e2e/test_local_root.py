"""Machines whose root is on a disk of their own: with the kernel from the network, and servers that ran before."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.lab_session import IMAGE, KERNEL, STORAGE, WAIT_S, LabSession
from tests.support.local_disk import make_disk, partition

pytestmark = pytest.mark.extended

NAME = "e2e-local-root"
NODE, SERVER = "node01", "node02"
ROOT_MIB = 2048
WITNESS = "/var/www/html/starts"
UNIT = f"[Service]\nExecStartPre=/bin/sh -c 'echo start >> {WITNESS}'\n"


@pytest.fixture(scope="module")
def lab() -> Iterator[LabSession]:
    """A lab with a machine that idles, and one that is off and unknown, whose disk has a system."""
    with LabSession(NAME) as session:
        session.up(2, "bios")
        session.prepare(NODE)
        with session.center.store.read() as tx:
            kernel = tx.kernel(KERNEL)
        blobs = session.directory / "boot/blobs"
        make_disk(disk(session, SERVER), blobs / kernel.vmlinuz, blobs / kernel.modules, kernel.version)
        yield session


def disk(lab: LabSession, node: str) -> Path:
    """The file that is the machine's disk."""
    return lab.directory / f"images/{node}.raw"


def install(lab: LabSession, work: Path) -> str:
    """Puts the web server's system on the first partition of the idle machine's disk, and says its UUID."""
    file = disk(lab, NODE)
    subprocess.run(
        ["sfdisk", "--quiet", "--no-tell-kernel", file], input=f"start=2048,size={ROOT_MIB}M\n", text=True, check=True
    )
    with partition(file, work / "root", ROOT_MIB) as root:
        subprocess.run(["tar", "-C", root, "--numeric-owner", "--xattrs", "-xf", lab.archive], check=True)
        unit = root / "etc/systemd/system/nginx.service.d/witness.conf"
        unit.parent.mkdir(parents=True)
        unit.write_text(UNIT)
        device = subprocess.run(["findmnt", "-no", "SOURCE", root], capture_output=True, text=True, check=True)
        found = subprocess.run(["blkid", "-o", "value", "-s", "UUID", device.stdout.strip()], capture_output=True)
    return found.stdout.decode().strip()


def ipmi(lab: LabSession, *words: str) -> None:
    """Has the BMC of the server that ran before do something, as its owner would."""
    node = next(node for node in lab.nodes if node["name"] == SERVER)
    secret = str(lab.directory / "bmc/password")
    argv = ["ipmitool", "-I", "lanplus", "-C", "3", "-H", node["ipmi"], "-U", "admin", "-f", secret, *words]
    done = lab.inside(*argv)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_root_on_a_local_partition_with_the_kernel_from_the_network(lab: LabSession, tmp_path: Path) -> None:
    uuid = install(lab, tmp_path)
    name, booted = lab.resource(NODE).name, lab.resource(NODE).boot_id
    root = ["--parameter", f"root_device=UUID={uuid}"]
    lab.openqrm("image", "create", "onvda1", "--storage", STORAGE, "--deployment", "local_root", *root)
    lab.openqrm("appliance", "create", "db", "--image", "onvda1", "--no-clone", "--resource", name)
    lab.openqrm("appliance", "start", "db")
    assert lab.resource(NODE).boot_id == booted, "the idle machine takes over in place"
    assert lab.page(lab.resource(NODE).address, "/starts") == "start\n"
    assert set(lab.exports()) == set(), "the storage server serves nothing to it"
    lab.openqrm("lab", "power", NODE, "reset")
    lab.wait("the same root after a reset", lambda: starts(lab) == 2, 2 * WAIT_S)
    lab.openqrm("appliance", "stop", "db")
    assert lab.resource(NODE).mode == "idle"
    lab.openqrm("appliance", "start", "db", "--boot", "reset")
    lab.wait("the same root after a start", lambda: starts(lab) == 3)
    lab.openqrm("appliance", "stop", "db")

    lab.openqrm("image", "set", "onvda1", "--parameter", "root_device=LABEL=nowhere")
    refused = lab.openqrm("appliance", "start", "db", code=8)
    assert "this machine has no LABEL=nowhere" in refused.err, refused.err


def starts(lab: LabSession) -> int:
    """How often the system on the partition has been started; 0 while it does not answer."""
    return lab.page(lab.resource(NODE).address, "/starts").count("start")


def boots(lab: LabSession, address: str) -> int:
    """How often the system of the server that ran before has booted; 0 while it does not answer."""
    return int(lab.page(address).rpartition(":")[2] or 0)


def start_of_disk(lab: LabSession) -> bytes:
    """What comes before the first partition of the server that ran before: partition table and boot loader."""
    with disk(lab, SERVER).open("rb") as file:
        return file.read(1 << 20)


def leased(lab: LabSession, mac: str) -> str:
    """The address that DHCP has given to the MAC, empty if none."""
    lines = (lab.directory / "dhcp/leases").read_text().splitlines()
    return next((line.split()[2] for line in lines if line.split()[1] == mac), "")


def test_a_server_that_ran_before_is_adopted(lab: LabSession) -> None:
    node = next(node for node in lab.nodes if node["name"] == SERVER)
    mac = node["macs"][0]
    ipmi(lab, "chassis", "bootdev", "disk", "options=persistent")
    ipmi(lab, "chassis", "power", "on")
    address = lab.wait("the server's address", lambda: leased(lab, mac), WAIT_S)
    lab.wait("the server's page", lambda: boots(lab, address) == 1, WAIT_S)
    power = [
        "--power-driver",
        "redfish",
        "--power",
        f"address={lab.info['bmc_url']}",
        "--power",
        f"system={node['uuid']}",
    ]
    lab.openqrm("resource", "create", "crm1", "--mac", mac, "--address", address, *power)
    before = disk(lab, SERVER).read_bytes()[: 64 << 20]
    lab.openqrm("resource", "adopt", "crm1", "--storage", STORAGE, "--appliance", "crm")
    assert boots(lab, address) == 1, "it serves on, and was not rebooted"
    rows = lab.json("appliance", "show", "crm")
    assert (rows["state"], rows["assignments"][0]["resource"]) == ("active", "crm1")

    # From now on its firmware may boot from the network first: its entry has it boot its own disk.
    ipmi(lab, "chassis", "bootdev", "pxe", "options=persistent")
    lab.openqrm("lab", "power", SERVER, "reset")
    lab.wait("the server after a reset", lambda: boots(lab, address) == 2, 2 * WAIT_S)
    lab.openqrm("appliance", "stop", "crm")
    assert lab.resource(SERVER).mode == "idle" and lab.resource(SERVER).state == "idle"

    # Others run on it, and its disk stays as it was.
    changed = [
        (at, old, new) for at, (old, new) in enumerate(zip(before, start_of_disk(lab), strict=True)) if old != new
    ]
    assert changed == []
    lab.openqrm("appliance", "create", "web", "--image", IMAGE, "--resource", "crm1")
    lab.openqrm("appliance", "start", "web")
    assert "disk of its own" in lab.page(lab.resource(SERVER).address)
    lab.openqrm("appliance", "stop", "web")
    lab.openqrm("appliance", "start", "crm")
    lab.wait("the server's own system again", lambda: boots(lab, address) == 3, 2 * WAIT_S)
    lab.openqrm("appliance", "stop", "crm")
