"""A storage server that is rebooted while nodes run from it over NFS, and what is seen of its space meanwhile."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.lab_session import IMAGE, LOCATION, STORAGE, LabSession

pytestmark = pytest.mark.extended
NAME = "e2e-server"
APPLIANCE = "web01"
LOG = f"{LOCATION}/{APPLIANCE}-0/var/log/nginx/access.log"
OUTAGE_S = 20


@pytest.fixture(scope="module")
def server() -> Iterator[LabSession]:
    """A lab with a machine that runs an appliance from the storage server, over NFS."""
    with LabSession(NAME) as session:
        session.up(1, "bios")
        session.prepare()
        session.openqrm("appliance", "create", APPLIANCE, "--image", IMAGE)
        session.openqrm("appliance", "start", APPLIANCE)
        yield session


def lines(lab: LabSession) -> int:
    """How many visits the appliance's log on the storage server has noted."""
    return int(lab.on_storage("wc", "--lines", LOG).split()[0])


def works(lab: LabSession) -> None:
    """Waits until the appliance reads its root and writes to it: a visit is answered, and its log is on the server."""
    before, address = lines(lab), lab.resource("node01").address
    lab.wait("the page", lambda: "disk of its own" in lab.page(address))
    lab.wait("the log on the server", lambda: lines(lab) > before, 90)


def boot_id(lab: LabSession) -> str:
    """Which boot the storage server is in; empty while it cannot be asked."""
    if lab.inside("ping", "-c", "1", "-W", "1", lab.info["storage"]["addresses"][0]).returncode:
        return ""
    try:
        return lab.on_storage("cat", "/proc/sys/kernel/random/boot_id")
    except AssertionError:
        return ""


def space_events(lab: LabSession) -> list[str]:
    """The severities of the storage's events, oldest first."""
    with lab.center.store.read() as tx:
        return [event.severity for event in tx.events(kind="storage", name=STORAGE)]


def test_a_root_over_nfs_outlives_an_outage_and_a_reboot_of_its_server(server: LabSession) -> None:
    lab = server
    works(lab)
    booted = lab.resource("node01").boot_id
    lab.on_storage("sh", "-c", f"ip link set eth1 down; sleep {OUTAGE_S}; ip link set eth1 up")
    works(lab)

    started = boot_id(lab)
    lab.on_storage("sh", "-c", "sync; (sleep 1; systemctl --force --force reboot) > /dev/null 2>&1 &")
    lab.wait("the storage server to be away", lambda: boot_id(lab) == "", 60)
    assert lab.json("storage", "check", STORAGE)[0]["level"] == "unknown"
    lab.wait("the storage server to be back", lambda: boot_id(lab) not in ("", started))
    works(lab)
    assert lab.resource("node01").boot_id == booted, "the node was booted, too"

    (seen,) = lab.json("storage", "check", STORAGE)
    assert (seen["level"], seen["total_mib"] > seen["used_mib"] > 0) == ("ok", True)
    assert space_events(lab) == ["error", "info"]
    lab.openqrm("appliance", "stop", APPLIANCE)
    assert lab.exports().get(f"{LOCATION}/{APPLIANCE}-0") is None
