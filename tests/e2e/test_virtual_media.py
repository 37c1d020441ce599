"""Machines whose firmware cannot boot from the network boot iPXE from a virtual CD that their BMC inserts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from openqrm import lab as labs

from tests.support.lab_session import IMAGE, KERNEL, KERNEL_PACKAGE, LOCATION, RECIPE, STORAGE, LabSession

pytestmark = pytest.mark.extended

NODES = {"node01": "bios-no-pxe", "node02": "uefi-no-pxe"}
PAGE = "<h1>This page comes from a machine that has no disk of its own.</h1>"
# Seconds that two machines that boot at once on an emulated processor may take until they are idle, or serve.
BOOT_S = 900


@pytest.fixture(scope="module")
def media_lab() -> Iterator[LabSession]:
    """A lab with a machine of each kind that is off, known by its MAC address, with iPXE as its medium."""
    with LabSession("e2e-media") as session:
        session.up(len(NODES), *NODES.values())
        with (session.directory / "openqrm.yml").open("a") as config:
            config.write(f"deadlines: {{node_up_s: {BOOT_S}}}\n")
        session.openqrm("kernel", "add", KERNEL, "--package", KERNEL_PACKAGE, "--default")
        for node in session.nodes:
            pairs = [f"address={session.info['bmc_url']}", f"system={node['uuid']}", "media=ipxe"]
            power = ["--power-driver", "redfish", *(word for pair in pairs for word in ("--power", pair))]
            session.openqrm("resource", "create", node["name"], "--mac", node["macs"][0], *power)
        yield session


def first_boot_device(lab: LabSession, node: str) -> str:
    """What a machine boots first, as its hypervisor says."""
    path = "/domain/devices/*[boot/@order='1']/@device"
    done = lab.inside("virsh", "--connect", lab.info["libvirt_uri"], "dumpxml", "--inactive", "--xpath", path, node)
    return done.stdout.strip()


def insertions(lab: LabSession) -> int:
    """How often the BMCs have fetched the image of iPXE."""
    return (lab.directory / "log/http-access.log").read_text().count("GET /ipxe/ipxe.iso")


def test_check_mode_inserts_nothing(media_lab: LabSession) -> None:
    media_lab.openqrm("resource", "power", "on", *NODES, "--check")
    assert insertions(media_lab) == 0
    assert [labs.power(media_lab.directory, node, "status") for node in NODES] == ["off"] * len(NODES)


def test_power_on_has_the_machines_boot_the_cd(media_lab: LabSession) -> None:
    media_lab.openqrm("resource", "power", "on", *NODES)
    assert [labs.power(media_lab.directory, node, "status") for node in NODES] == ["on"] * len(NODES)
    assert [first_boot_device(media_lab, node) for node in NODES] == ['device="cdrom"'] * len(NODES)
    assert insertions(media_lab) == len(NODES)


@pytest.fixture(scope="module")
def idle(media_lab: LabSession) -> LabSession:
    """The lab once its machines are idle, with an image."""
    address = media_lab.info["storage"]["addresses"][-1]
    storage = ["--type", "directory", "--host", media_lab.info["storage"]["host"], "--location", LOCATION]
    media_lab.openqrm("storage", "add", STORAGE, *storage, "--address", address)
    media_lab.openqrm("image", "create", IMAGE, "--storage", STORAGE, "--deployment", "nfs", "--recipe", str(RECIPE))
    media_lab.wait("the machines to be idle", lambda: media_lab.states() == ["idle"] * len(NODES), BOOT_S)
    return media_lab


def test_the_machines_become_idle(idle: LabSession) -> None:
    assert [idle.resource(node).firmware for node in NODES] == ["bios", "uefi"]


def test_a_start_by_reset_boots_the_cd_that_is_inserted(idle: LabSession) -> None:
    before = {node: idle.resource(node) for node in NODES}
    idle.openqrm("appliance", "create", "web", "--image", IMAGE, "--members", str(len(NODES)))
    idle.openqrm("appliance", "start", "web", "--boot", "reset")
    for node in NODES:
        after = idle.resource(node)
        assert (after.state, after.boot_id != before[node].boot_id) == ("active", True)
        assert PAGE in idle.wait("the page", lambda address=after.address: idle.page(address))
    assert insertions(idle) == len(NODES), "an image that is inserted already was fetched again"
