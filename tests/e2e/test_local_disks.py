"""Machines run from their own disks: grabbed, deployed, broken off, refused, read back at a stop, wiped."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.test_main_job import OPERATION_FAILED
from tests.support.lab_session import KERNEL, KERNEL_PACKAGE, LOCATION, STORAGE, WAIT_S, LabSession
from tests.support.local_disk import make_disk

pytestmark = pytest.mark.extended

NAME = "e2e-local"
NODE = "node01"
GOLDEN, SERVICE = "disk", "onit"
DATA_MIB = 384


@pytest.fixture(scope="module")
def local() -> Iterator[LabSession]:
    """A lab with a machine that has a system on its disk, and idles, and a storage server."""
    with LabSession(NAME) as session:
        session.up(1, "bios")
        session.openqrm("kernel", "add", KERNEL, "--package", KERNEL_PACKAGE, "--default")
        with session.center.store.read() as tx:
            kernel = tx.kernel(KERNEL)
        blobs = session.directory / "boot/blobs"
        make_disk(disk(session), blobs / kernel.vmlinuz, blobs / kernel.modules, kernel.version, data_mib=DATA_MIB)
        session.openqrm("lab", "power", NODE, "on")
        server = ["--host", session.info["storage"]["host"], "--address", session.info["storage"]["addresses"][-1]]
        session.openqrm("storage", "add", STORAGE, "--type", "directory", "--location", LOCATION, *server)
        session.openqrm("image", "create", GOLDEN, "--storage", STORAGE, "--deployment", "local")
        session.wait("the machine to be idle", lambda: session.states() == ["idle"], 2 * WAIT_S)
        (node,) = session.nodes
        power = ["--power", f"address={session.info['bmc_url']}", "--power", f"system={node['uuid']}"]
        session.openqrm("resource", "set", session.resource(NODE).name, "--power-driver", "redfish", *power)
        yield session


def disk(lab: LabSession) -> Path:
    """The file that is the machine's disk."""
    return lab.directory / f"images/{NODE}.raw"


def events(lab: LabSession, step: str) -> list[str]:
    """What the machine has told of a step, oldest first."""
    with lab.center.store.read() as tx:
        found = tx.events(kind="resource", name=lab.resource(NODE).name, limit=1000)
    return [event.message for event in reversed(found) if event.message.startswith(f"{step}: ")]


def boots(lab: LabSession, count: int) -> bool:
    """Whether the system of the disk serves its page, and has booted so often."""
    return lab.page(lab.resource(NODE).address) == f"system of the local disk, boots: {count}\n"


def replace_disk(lab: LabSession, file_system: bool) -> None:
    """Has the machine, while it is off, get another disk of the same size, and boot to idle."""
    lab.openqrm("lab", "power", NODE, "off")
    size = disk(lab).stat().st_size
    disk(lab).write_bytes(b"")
    with disk(lab).open("r+b") as file:
        file.truncate(size)
    if file_system:
        subprocess.run(["mkfs.ext4", "-q", "-F", "-L", "precious", disk(lab)], check=True)
    boot_id = lab.resource(NODE).boot_id
    lab.openqrm("lab", "power", NODE, "on")
    lab.wait("the machine to idle again", lambda: lab.resource(NODE).boot_id != boot_id, 2 * WAIT_S)
    lab.wait("the machine to be in the pool", lambda: lab.states() == ["idle"])


def test_a_machine_runs_from_its_own_disk(local: LabSession) -> None:
    lab, name = local, local.resource(NODE).name
    lab.openqrm("resource", "grab", name, GOLDEN)
    (grabbed,) = [text for text in events(lab, "grab") if "MiB read" in text]
    print(grabbed)
    assert f"{LOCATION}/{GOLDEN}" not in lab.exports()

    replace_disk(lab, file_system=True)
    lab.openqrm("appliance", "create", SERVICE, "--image", GOLDEN)
    refused = lab.openqrm("appliance", "start", SERVICE, code=OPERATION_FAILED)
    assert "disk vda holds data" in refused.err and "precious" in refused.err and "disk_overwrite" in refused.err
    lab.wait("the machine to be in the pool", lambda: lab.states() == ["idle"])
    assert b"precious" in disk(lab).read_bytes()[:4096]

    lab.openqrm("appliance", "set", SERVICE, "--parameter", "disk_overwrite=true", "--parameter", "disk_grab=true")
    with lab.running("appliance", "start", SERVICE) as process:
        note = f"{LOCATION}/{SERVICE}-0/work/{lab.nodes[0]['macs'][0].replace(':', '-')}"
        script = f"cat {note}/vda.* 2> /dev/null | wc -l"
        lab.wait("a part of the disk", lambda: int(lab.on_storage("sh", "-c", script)) >= 5)
        lab.openqrm("lab", "power", NODE, "reset")
        out, err = process.communicate()
    assert process.returncode == 0, out + err
    done = [text for text in events(lab, "deploy") if "MiB written" in text]
    print(done)
    assert "Going on where it was broken off" in done[-1]
    lab.wait("the disk's own system", lambda: boots(lab, 1))
    assert lab.resource(NODE).mode == "local" and lab.states() == ["active"]

    lab.openqrm("appliance", "stop", SERVICE)
    assert lab.states() == ["idle"] and lab.resource(NODE).mode == "idle"
    assert f"{LOCATION}/{SERVICE}-0" not in lab.exports()
    assert len([text for text in events(lab, "grab") if "MiB read" in text]) == 2

    replace_disk(lab, file_system=False)
    lab.openqrm("resource", "set", name, "--parameter", "disk_wipe=quick")
    begun = time.monotonic()
    lab.openqrm("appliance", "start", SERVICE)
    print(f"start: {time.monotonic() - begun:.0f} s")
    lab.wait("the disk as the stop has read it", lambda: boots(lab, 2))
    lab.openqrm("appliance", "stop", SERVICE)
    (wiped,) = events(lab, "wipe")
    assert "vda wiped (quick), it held: vda: dos partition table" in wiped
    assert subprocess.run(["blkid", "-p", disk(lab)], check=False).returncode == 2
    assert json.loads(lab.on_storage("cat", f"{LOCATION}/{SERVICE}-0/image.json"))["version"] == 1
