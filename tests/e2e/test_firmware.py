"""Machines boot whatever firmware they have, change their kernel without it, and boot while the controller is down."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from openqrm import lab as labs
from openqrm.model import Resource

from tests.support.golden import lay_over_golden
from tests.support.lab_session import IMAGE, KERNEL_PACKAGE, LabSession

# The order of the lab's machines. What boots from BIOS and UEFI by iPXE and PXE is in the lab of the main job.
FIRMWARE = ("pxelinux", "uefi-http", "secure-boot")
PAGE = "<h1>This page comes from a machine that has no disk of its own.</h1>"
BOOT_S = 600
# Seconds that three machines that boot at once on an emulated processor may take until their service is up.
NODE_UP_S = 900


@pytest.fixture(scope="module")
def lab() -> Iterator[LabSession]:
    """A lab with a machine of each firmware, all idle, a storage server and the image `nginx`."""
    with LabSession("e2e-firmware") as session:
        session.up(len(FIRMWARE), *FIRMWARE)
        with (session.directory / "openqrm.yml").open("a") as config:
            config.write(f"deadlines: {{node_up_s: {NODE_UP_S}}}\n")
        session.prepare()
        lay_over_golden(session)
        yield session


def log(lab: LabSession, name: str) -> str:
    """The text of a log of the lab."""
    return (lab.directory / "log" / name).read_text(errors="replace")


def console(lab: LabSession, node: str) -> str:
    """What a machine has written to its serial console."""
    return lab.console(node).read_text(errors="replace")


def node_of(firmware: str) -> str:
    """The lab's machine with a firmware."""
    return f"node{FIRMWARE.index(firmware) + 1:02d}"


def seen(lab: LabSession, resource: Resource, name: str) -> str:
    """What the deployed machine itself sees, once it shows it."""
    return lab.wait(f"/seen/{name} of {resource.name}", lambda: lab.page(resource.address, f"/seen/{name}")).strip()


def assert_firmware_was_used(lab: LabSession) -> None:
    """Each machine came by its own way: the boot loader and the firmware are seen on the servers and the console."""
    requests = log(lab, "http-access.log")
    assert "Syslinux/" in requests
    assert "UefiHttpBoot/" in requests
    secure = console(lab, node_of("secure-boot"))
    assert "openQRM: boot entry of 52-54-00-77-00-03" in secure
    assert "UEFI Secure Boot is enabled" in secure


# Idle


def test_every_firmware_boots_to_idle(lab: LabSession) -> None:
    found = [lab.resource(node_of(name)) for name in FIRMWARE]
    assert [resource.state for resource in found] == ["idle"] * len(FIRMWARE)
    assert [resource.firmware for resource in found] == ["bios", "uefi", "uefi"]
    assert_firmware_was_used(lab)


# A running appliance, by the machine's own boot entry


@pytest.fixture(scope="module")
def service(lab: LabSession) -> dict[str, tuple[Resource, Resource]]:
    """An appliance with a member on each machine, started by resets: the machines before and after."""
    before = {name: lab.resource(node_of(name)) for name in FIRMWARE}
    for name in FIRMWARE:
        lab.console(node_of(name)).write_text("")
    lab.openqrm("appliance", "create", "web", "--image", IMAGE, "--members", str(len(FIRMWARE)))
    lab.openqrm("appliance", "start", "web", "--boot", "reset")
    return {name: (row, lab.resource(node_of(name))) for name, row in before.items()}


@pytest.mark.parametrize("firmware", FIRMWARE)
def test_every_firmware_boots_an_appliance(
    lab: LabSession, service: dict[str, tuple[Resource, Resource]], firmware: str
) -> None:
    before, after = service[firmware]
    assert (after.state, after.mode, after.stage) == ("active", "deployed", "up")
    assert after.boot_id != before.boot_id
    assert PAGE in lab.wait("the page", lambda: lab.page(after.address))
    assert seen(lab, after, "boot_id") == after.boot_id
    entry = Path(lab.directory, "boot/nodes", f"{after.boot_mac.replace(':', '-')}.grub")
    assert f"openqrm.kernel={after.kernel}" in entry.read_text()


def test_kernel_is_locked_down_under_secure_boot(
    lab: LabSession, service: dict[str, tuple[Resource, Resource]]
) -> None:
    assert "[integrity]" in seen(lab, service["secure-boot"][1], "lockdown")
    assert "[none]" in seen(lab, service["uefi-http"][1], "lockdown")
    assert_firmware_was_used(lab)


# Without the controller


@pytest.mark.extended
def test_deployed_machine_boots_while_the_controller_is_down(
    lab: LabSession, service: dict[str, tuple[Resource, Resource]]
) -> None:
    after = service["pxelinux"][1]
    api = next(row for row in labs.services(lab.directory) if row["name"] == "api")
    os.kill(api["pid"], signal.SIGTERM)
    lab.wait("the node API to end", lambda: not api_runs(lab))
    try:
        labs.power(lab.directory, node_of("pxelinux"), "reset")
        booted = lab.wait("a new boot that serves", lambda: new_boot(lab, after), BOOT_S)
        assert PAGE in lab.page(after.address)
    finally:
        lab.up(len(FIRMWARE), *FIRMWARE)
    lab.wait("the machine to report its boot", lambda: lab.resource(node_of("pxelinux")).boot_id == booted)
    lab.wait("its heartbeat", lambda: lab.resource(node_of("pxelinux")).reported_epoch == after.reported_epoch, 60)
    assert lab.resource(node_of("pxelinux")).state == "active"


def api_runs(lab: LabSession) -> bool:
    """Whether the lab's node API runs."""
    return any(row["alive"] for row in labs.services(lab.directory) if row["name"] == "api")


def new_boot(lab: LabSession, before: Resource) -> str:
    """The id of the boot that the deployed machine shows, once it is not the one of `before`."""
    shown = lab.page(before.address, "/seen/boot_id").strip()
    return shown if shown != before.boot_id else ""


@pytest.mark.extended
@pytest.mark.usefixtures("service")
def test_stop_removes_every_form_of_the_entry(lab: LabSession) -> None:
    lab.openqrm("appliance", "stop", "web")
    assert [lab.resource(node_of(name)).state for name in FIRMWARE] == ["idle"] * len(FIRMWARE)
    left = [name for name in lab.boot_tree() if "52-54-00-77-00" in name]
    assert left == []


# Another kernel


@pytest.mark.extended
def test_appliance_gets_another_kernel_by_kexec(lab: LabSession) -> None:
    before = lab.resource(node_of("pxelinux"))
    lab.openqrm("kernel", "add", "marked", "--package", KERNEL_PACKAGE, "--args", "openqrm.test=marked")
    lab.openqrm("appliance", "create", "other", "--image", IMAGE, "--kernel", "marked")
    after = _started_by_kexec(lab, before, "other")
    assert seen(lab, after, "cmdline").split()[-1] == "openqrm.test=marked"
    lab.openqrm("appliance", "stop", "other")


@pytest.mark.extended
@pytest.mark.parametrize("firmware", ["uefi-http", "secure-boot"])
def test_appliance_gets_a_newer_kernel_by_kexec(lab: LabSession, firmware: str) -> None:
    before = lab.resource(node_of(firmware))
    if not [row for row in lab.json("kernel", "list") if row["name"] == "newer"]:
        lab.openqrm("kernel", "add", "newer", "--package", "linux-image-6.12-cloud-amd64")
        lab.openqrm("appliance", "create", "newer", "--image", IMAGE)
    lab.openqrm("appliance", "set", "newer", "--kernel", "newer")
    after = _started_by_kexec(lab, before, "newer")
    assert seen(lab, after, "release").startswith("6.12.")
    assert "modules.dep" in seen(lab, after, "modules").split()
    lab.openqrm("appliance", "stop", "newer")
    assert lab.resource(node_of(firmware)).state == "idle"


def _started_by_kexec(lab: LabSession, before: Resource, appliance: str) -> Resource:
    """Starts the appliance on the idle machine, which must change its kernel without a pass through its firmware."""
    node = next(node["name"] for node in lab.nodes if node["macs"][0] == before.boot_mac)
    lab.console(node).write_text("")
    lab.openqrm("appliance", "start", appliance, "--to", before.name)
    after = lab.resource(node)
    assert (after.state, after.boot_id != before.boot_id) == ("active", True)
    said = console(lab, node)
    assert "by kexec" in said
    assert "kexec failed" not in said and "openQRM: kernel" not in said, said
    return after


# Beside a DHCP server that is not ours


FOREIGN = """port=0
interface=office0
bind-interfaces
dhcp-authoritative
dhcp-range=10.77.0.20,10.77.0.60,255.255.255.0,1h
no-ping
"""


@contextlib.contextmanager
def foreign_dhcp(lab: LabSession, directory: Path) -> Iterator[Path]:
    """A DHCP server in a network namespace of its own on the lab's management network; its leases file."""
    name, inside = f"{lab.info['namespace']}-office", lab.info["namespace"]
    configuration, leases = directory / "office.conf", directory / "leases"
    configuration.write_text(f"{FOREIGN}user=root\ndhcp-leasefile={leases}\npid-file={directory}/pid\n")
    ip = ["ip", "-n", name]
    subprocess.run(["ip", "netns", "add", name], check=True)
    process = None
    try:
        for command in (
            [*ip, "link", "add", "office0", "type", "veth", "peer", "name", "office1", "netns", inside],
            [*ip, "address", "add", "10.77.0.5/24", "dev", "office0"],
            [*ip, "link", "set", "office0", "up"],
            ["ip", "-n", inside, "link", "set", "office1", "master", "management", "up"],
        ):
            subprocess.run(command, check=True)
        argv = ["ip", "netns", "exec", name, "dnsmasq", "--keep-in-foreground", f"--conf-file={configuration}"]
        process = subprocess.Popen(argv)
        yield leases
    finally:
        if process:
            process.terminate()
            process.wait(10)
        subprocess.run(["ip", "netns", "delete", name], check=True)


@pytest.mark.extended
def test_proxy_dhcp_beside_a_dhcp_server_that_is_not_ours(tmp_path: Path) -> None:
    session = LabSession("e2e-proxy")
    try:
        session.play_up({"lab_nodes": 2, "lab_node_firmware": ["bios", "uefi"], "lab_dhcp_mode": "proxy"})
        session.openqrm("kernel", "add", "default", "--package", KERNEL_PACKAGE, "--default")
        with foreign_dhcp(session, tmp_path) as leases:
            for node in session.nodes:
                session.openqrm("lab", "power", node["name"], "on")
            session.wait("both machines to be idle", lambda: session.states() == ["idle"] * 2, BOOT_S)
            given = leases.read_text()
        for node in session.nodes:
            found = session.resource(node["name"])
            assert found.boot_mac in given
            assert 20 <= int(found.address.removeprefix("10.77.0.")) <= 60
        assert "10.77.0.1 " not in given
    except BaseException:
        print(session.diagnostics())
        raise
    finally:
        session.down()
