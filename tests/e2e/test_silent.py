"""A real machine that boots something else than its service: another one takes over, and it is put aside."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from openqrm import lab as labs

from tests.e2e.test_main_job import PAGE
from tests.support.lab_session import IMAGE, KERNEL, LabSession

pytestmark = pytest.mark.extended

NAME = "silent01"
# Seconds after which a machine counts as not come up: what the other one needs from its reset to its init, and more.
UP_S = 150
SYSTEM = "This is the system on the local disk."
# Has the BIOS print what follows, and halts: mov si, text; lodsb; or al, al; jz halt; mov ah, 14; int 16; jmp; hlt; jmp
PRINT = bytes.fromhex("be117c ac 08c0 7406 b40e cd10 ebf5 f4 ebfd")
BOOT_SECTOR = (PRINT + SYSTEM.encode()).ljust(510, b"\0") + b"\x55\xaa"


@pytest.fixture
def impatient(lab: LabSession) -> Iterator[LabSession]:
    """The lab, which does not wait long for a machine."""
    config = lab.directory / "openqrm.yml"
    text = config.read_text()
    config.write_text(f"{text}deadlines: {{node_up_s: {UP_S}}}\n")
    yield lab
    config.write_text(text)


def write_boot_sector(lab: LabSession, node: str, sector: bytes) -> None:
    """What a BIOS machine boots from its disk."""
    with (lab.directory / "images" / f"{node}.raw").open("r+b") as disk:
        disk.write(sector)


def set_link(lab: LabSession, node: dict[str, Any], state: str) -> None:
    """Plugs the cable of the machine's boot NIC in or out, from its next start on: a reset makes the machine anew."""
    link = ["virsh", "--connect", lab.info["libvirt_uri"], "domif-setlink", "--config", node["name"], node["macs"][0]]
    done = lab.inside(*link, state)
    assert done.returncode == 0, done.stderr


def machines(lab: LabSession) -> dict[str, dict[str, Any]]:
    """The lab's machines by the names of their resources."""
    return {lab.resource(node["name"]).name: node for node in lab.nodes}


def test_a_machine_that_boots_its_disk_is_replaced(impatient: LabSession) -> None:
    lab = impatient
    nodes = machines(lab)
    silent, other = sorted(nodes)
    node = nodes[silent]
    write_boot_sector(lab, node["name"], BOOT_SECTOR)
    lab.openqrm("appliance", "create", NAME, "--image", IMAGE)
    set_link(lab, node, "down")
    out = lab.openqrm("appliance", "start", NAME, "--boot", "reset").out
    found = {name: lab.resource(item["name"]) for name, item in nodes.items()}
    assert {name: row.state for name, row in found.items()} == {silent: "quarantined", other: "active"}, out
    assert PAGE in lab.wait(f"the page of {NAME}", lambda: lab.page(found[other].address))
    with lab.center.store.read() as tx:
        event = tx.events(severities=["error"], kind="resource", name=silent)[0]
        assert [(row.resource, row.epoch) for row in tx.assignments(appliances=[NAME])] == [(other, 2)]
    assert f"it did not come up for {NAME}/0" in event.message
    assert SYSTEM in event.data["console"]
    assert labs.power(lab.directory, node["name"], "status") == "off"

    write_boot_sector(lab, node["name"], bytes(len(BOOT_SECTOR)))
    set_link(lab, node, "up")
    lab.openqrm("resource", "reinstate", silent)
    lab.openqrm("resource", "power", "on", silent)
    lab.openqrm("appliance", "stop", NAME)
    lab.wait("both machines to be idle", lambda: lab.states() == ["idle", "idle"])
    lab.openqrm("appliance", "remove", NAME, "--yes")


def test_a_machine_with_another_kernel_is_replaced(lab: LabSession) -> None:
    nodes = machines(lab)
    wrong, other = sorted(nodes)
    with lab.center.store.read() as tx:
        kernel = tx.kernel(KERNEL).vmlinuz
    stale = "d" * len(kernel)
    lab.openqrm("appliance", "create", NAME, "--image", IMAGE)
    entry = lab.directory / "boot/nodes" / f"{nodes[wrong]['macs'][0].replace(':', '-')}.ipxe"
    with lab.running("appliance", "start", NAME, "--boot", "reset") as process:
        text = lab.wait("the boot entry", lambda: entry.read_text() if entry.exists() else "")
        assert f"openqrm.kernel={kernel}" in text
        entry.write_text(text.replace(f"openqrm.kernel={kernel}", f"openqrm.kernel={stale}"))
        out, err = process.communicate()
    assert process.returncode == 0, out + err
    found = {name: lab.resource(item["name"]) for name, item in nodes.items()}
    assert {name: row.state for name, row in found.items()} == {wrong: "quarantined", other: "active"}, out + err
    assert PAGE in lab.wait(f"the page of {NAME}", lambda: lab.page(found[other].address))
    with lab.center.store.read() as tx:
        events = [row.message for row in tx.events(severities=["error"], kind="resource", name=wrong)]
    assert any(f"it booted kernel {stale[:12]}, not {kernel[:12]}" in message for message in events), events

    lab.openqrm("resource", "reinstate", wrong)
    lab.openqrm("resource", "power", "on", wrong)
    lab.openqrm("appliance", "stop", NAME)
    lab.wait("both machines to be idle", lambda: lab.states() == ["idle", "idle"])
    lab.openqrm("appliance", "remove", NAME, "--yes")
