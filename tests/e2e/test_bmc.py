"""A machine that is powered by IPMI and that finds its own BMC; its kernel is Debian's ordinary one, which has IPMI."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from openqrm import lab as labs

from tests.support.lab_session import IMAGE, KERNEL, LOCATION, RECIPE, STORAGE, LabSession

pytestmark = pytest.mark.extended

NAME, NODE = "e2e-bmc", "node01"
PACKAGE = "linux-image-amd64"
PAGE = "<h1>This page comes from a machine that has no disk of its own.</h1>"


@pytest.fixture(scope="module")
def bmc_lab() -> Iterator[LabSession]:
    """A lab with one blank machine that is off, known by its MAC address, with the power driver ipmi."""
    with LabSession(NAME) as session:
        session.up(nodes=1)
        session.openqrm("kernel", "add", KERNEL, "--package", PACKAGE, "--default")
        node = session.nodes[0]
        power = ["--power-driver", "ipmi", "--power", f"address={node['ipmi']}"]
        session.openqrm("resource", "create", NODE, "--mac", node["macs"][0], *power)
        yield session


def power_of(lab: LabSession) -> str:
    """Whether the machine is on, as its hypervisor says."""
    return labs.power(lab.directory, NODE, "status")


def boot_order(lab: LabSession) -> list[str]:
    """What the machine boots from, as its hypervisor says."""
    done = lab.inside("virsh", "--connect", lab.info["libvirt_uri"], "dumpxml", "--inactive", NODE)
    return [line.split("'")[1] for line in done.stdout.splitlines() if "<boot dev=" in line]


def ipmi(lab: LabSession, *words: str) -> str:
    """What the machine's BMC answers to ipmitool."""
    secret = str(lab.directory / "bmc/password")
    argv = ["ipmitool", "-I", "lanplus", "-C", "3", "-H", lab.nodes[0]["ipmi"], "-U", "admin", "-f", secret, *words]
    done = lab.inside(*argv)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_power_by_ipmi(bmc_lab: LabSession) -> None:
    (status,) = bmc_lab.json("resource", "power", "status", NODE)
    assert (status["name"], status["power"]) == (NODE, "off")
    bmc_lab.openqrm("resource", "power", "on", NODE)
    assert power_of(bmc_lab) == "on"
    bmc_lab.openqrm("resource", "power", "off", NODE)
    assert power_of(bmc_lab) == "off"
    bmc_lab.openqrm("resource", "power", "reset", NODE)
    assert power_of(bmc_lab) == "on"


@pytest.fixture(scope="module")
def idle(bmc_lab: LabSession) -> LabSession:
    """The lab once its machine is idle, with an image and an appliance."""
    if power_of(bmc_lab) == "off":
        bmc_lab.openqrm("resource", "power", "on", NODE)
    address = bmc_lab.info["storage"]["addresses"][-1]
    storage = ["--type", "directory", "--host", bmc_lab.info["storage"]["host"], "--location", LOCATION]
    bmc_lab.openqrm("storage", "add", STORAGE, *storage, "--address", address)
    bmc_lab.openqrm("image", "create", IMAGE, "--storage", STORAGE, "--deployment", "nfs", "--recipe", str(RECIPE))
    bmc_lab.openqrm("appliance", "create", "web01", "--image", IMAGE)
    bmc_lab.wait("the machine to be idle", lambda: bmc_lab.resource(NODE).state == "idle")
    return bmc_lab


def test_the_machine_says_where_its_bmc_is(idle: LabSession) -> None:
    assert idle.resource(NODE).hardware["bmc"] == {"address": idle.nodes[0]["ipmi"]}
    shown = idle.openqrm("resource", "show", NODE).out
    assert re.search(rf"^BMC +{re.escape(idle.nodes[0]['ipmi'])}$", shown, re.MULTILINE), shown


def test_a_start_by_reset_has_the_machine_boot_from_the_network(idle: LabSession) -> None:
    ipmi(idle, "chassis", "bootdev", "disk")
    assert boot_order(idle) == ["hd", "network"]
    before = idle.resource(NODE)
    idle.openqrm("appliance", "start", "web01", "--boot", "reset")
    idle.wait("the page of web01", lambda: PAGE in idle.page(before.address))
    assert boot_order(idle) == ["network", "hd"]
    assert idle.resource(NODE).boot_id != before.boot_id
