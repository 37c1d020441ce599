"""Machines boot a volume as their disk, by BIOS and UEFI, over iSCSI (LIO) and AoE: started, rebooted, stopped."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from openqrm.boot import manifest

from tests.support.lab_session import KERNEL, KERNEL_PACKAGE, LOCATION, STORAGE, WAIT_S, LabSession
from tests.support.san_disk import SIZE_MIB, make_san_disk

pytestmark = pytest.mark.extended

NAME = "e2e-sanboot"
NODES = ["node01", "node02"]  # by BIOS, and by UEFI
METHODS = ["sanboot", "sanboot_aoe"]


@pytest.fixture(scope="module")
def san(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabSession]:
    """A lab with two idle machines, and a storage server with an image of a disk for each method."""
    with LabSession(NAME) as session:
        # The default snponly.efi has no driver for the NIC of the storage network.
        firmware = {"lab_nodes": 2, "lab_node_firmware": ["bios", "uefi"], "service_dhcp_uefi_program": "ipxe.efi"}
        session.play_up(firmware)
        session.openqrm("kernel", "add", KERNEL, "--package", KERNEL_PACKAGE, "--default")
        for node in NODES:
            session.openqrm("lab", "power", node, "on")
        server = ["--host", session.info["storage"]["host"], "--address", session.info["storage"]["addresses"][-1]]
        session.openqrm("storage", "add", STORAGE, "--type", "file", "--location", LOCATION, *server)
        disk = tmp_path_factory.mktemp("san") / "disk.raw"
        with session.center.store.read() as tx:
            kernel = tx.kernel(KERNEL)
        blobs = session.directory / "boot/blobs"
        make_san_disk(disk, blobs / kernel.vmlinuz, blobs / kernel.modules, kernel.version)
        for method in METHODS:
            size = ["--size-mib", str(SIZE_MIB)]
            session.openqrm("image", "create", method, "--storage", STORAGE, "--deployment", method, *size)
            fill(session, disk, f"{LOCATION}/{method}.raw")
        session.wait("the machines to be idle", lambda: session.states() == ["idle"] * 2, 2 * WAIT_S)
        for node in session.nodes:
            power = ["--power", f"address={session.info['bmc_url']}", "--power", f"system={node['uuid']}"]
            session.openqrm("resource", "set", session.resource(node["name"]).name, "--power-driver", "redfish", *power)
        yield session


def fill(lab: LabSession, disk: Path, path: str) -> None:
    """Writes the disk to a volume of the storage server."""
    ssh = ["ssh", "-F", str(lab.directory / "ssh/config"), "lab-storage", f"gzip -dc | dd of={path} bs=1M conv=notrunc"]
    script = f"gzip -1 -c {shlex.quote(str(disk))} | {shlex.join(ssh)}"
    subprocess.run(["bash", "-o", "pipefail", "-c", script], check=True, capture_output=True, timeout=WAIT_S)


def boots(lab: LabSession, node: str, count: int) -> bool:
    """Whether the system of the volume serves its page, and has booted so often."""
    return lab.page(lab.resource(node).address) == f"system of the SAN disk, boots: {count}\n"


def reset_inside(lab: LabSession, node: str) -> None:
    """Has the system of the volume reboot the machine."""
    url = f"http://{lab.resource(node).address}/cgi-bin/run"
    lab.inside("curl", "--silent", "--max-time", "5", "--data", "sync; reboot -f", url)


def served(lab: LabSession, method: str) -> list[str]:
    """Who is let in by the storage server: initiators that targets have, or MACs that vblade answers."""
    if method == "sanboot":
        script = "cd /sys/kernel/config/target/iscsi 2> /dev/null && ls -d iqn*/tpgt_1/acls/* || true"
        return [path.rpartition("/")[2] for path in lab.on_storage("sh", "-c", script).split()]
    lines = lab.on_storage("sh", "-c", "ps -C vblade -o args= || true").splitlines()
    return [words[words.index("-m") + 1].lower() for words in map(str.split, lines)]


@pytest.mark.parametrize("method", METHODS)
def test_machines_boot_a_volume_as_their_disk(san: LabSession, method: str) -> None:
    names = [f"{method.replace('_', '')}{number}" for number in range(len(NODES))]
    resources = [san.resource(node) for node in NODES]
    for name, resource in zip(names, resources, strict=True):
        san.openqrm("appliance", "create", name, "--image", method, "--resource", resource.name)
    checked = san.openqrm("appliance", "start", *names, "--check").out
    assert f"deployment_{method}" in checked or "authorize" in checked
    san.openqrm("appliance", "start", *names)
    clients = [manifest.client(resource) for resource in resources]
    key = "iqn" if method == "sanboot" else "mac"
    assert sorted(served(san, method)) == sorted(client[key] for client in clients)
    for node, name in zip(NODES, names, strict=True):
        san.wait(f"the volume's system on {node}", lambda node=node: boots(san, node, 1), 2 * WAIT_S)  # type: ignore[misc]
        assert san.resource(node).mode == "san"
        root = san.page(san.resource(node).address, "/root")
        wanted = f"/dev/sda1 iqn.2010-09.com.openqrm:{STORAGE}.{name}-0" if method == "sanboot" else "/dev/etherd/e"
        assert root.startswith(wanted), root
        reset_inside(san, node)
    for node in NODES:
        san.wait(f"{node} to have rebooted", lambda node=node: boots(san, node, 2), 2 * WAIT_S)  # type: ignore[misc]

    san.openqrm("appliance", "stop", *names)
    assert san.states() == ["idle"] * 2 and [san.resource(node).mode for node in NODES] == ["idle"] * 2
    assert served(san, method) == []

    # What was written is in the clone, and not in the golden image.
    san.openqrm("appliance", "start", names[0])
    san.wait("the clone with what was written to it", lambda: boots(san, NODES[0], 3), 2 * WAIT_S)
    san.openqrm("appliance", "stop", names[0])
