"""The storage server itself: rebooted while nodes run from it over NFS, its space, and quotas of its file systems."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.lab_session import IMAGE, LOCATION, STORAGE, LabSession
from tests.support.roles import Command, Host, Outcome, Step, run

pytestmark = pytest.mark.extended
NAME = "e2e-server"
APPLIANCE = "web01"
LOG = f"{LOCATION}/{APPLIANCE}-0/var/log/nginx/access.log"
OUTAGE_S = 20
DIRECTORY = "openqrm.datacenter.storage_directory"
QUOTA = {"storage_directory_quota": "project"}
DISK_MIB = 400
# How the disks are made that keep project quotas.
MAKE = {
    "xfs": ("mkfs.xfs", "-q"),
    "ext4": ("mkfs.ext4", "-q", "-O", "project,quota", "-E", "quotatype=prjquota"),
}


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
    """Which boot the storage server is in; empty while it cannot be asked, or has not mounted its volumes."""
    if lab.inside("nc", "-z", "-w", "1", lab.info["storage"]["addresses"][0], "22").returncode:
        return ""
    try:
        return lab.on_storage("sh", "-c", f"test -e {LOG} && cat /proc/sys/kernel/random/boot_id")
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


@pytest.fixture(params=MAKE)
def limited(server: LabSession, request: pytest.FixtureRequest) -> Iterator[tuple[str, Path]]:
    """A type of file system, and where the server has mounted one that keeps project quotas."""
    lab, kind = server, str(request.param)
    image = lab.directory / f"images/{kind}.raw"
    image.touch()
    os.truncate(image, DISK_MIB << 20)
    subprocess.run([*MAKE[kind], str(image)], check=True, env=os.environ | {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
    virsh = ["virsh", "--connect", lab.info["libvirt_uri"]]
    before = disks(lab)
    attach = [*virsh, "attach-disk", "storage", str(image), "vdf", "--driver", "qemu", "--subdriver", "raw", "--live"]
    subprocess.run(attach, check=True, capture_output=True, timeout=60)
    device = lab.wait("the disk", lambda: disks(lab) - before).pop()
    mount = Path(f"/srv/{kind}")
    lab.on_storage("mkdir", "-p", str(mount))
    lab.on_storage("mount", "-t", kind, "-o", "prjquota", f"/dev/{device}", str(mount))
    yield kind, mount
    lab.on_storage("umount", str(mount))
    subprocess.run([*virsh, "detach-disk", "storage", "vdf", "--live"], check=True, capture_output=True, timeout=60)
    lab.wait("the disk to be gone", lambda: disks(lab) == before)


def disks(lab: LabSession) -> set[str]:
    return set(lab.on_storage("lsblk", "--nodeps", "--noheadings", "--output", "NAME").split())


def written(outcome: Outcome) -> int:
    """How many MiB a user's dd could write, by what it said."""
    last = str(outcome.result["stderr"]).strip().splitlines()[-1]
    return int(last.split()[0]) >> 20


def test_directories_have_quotas_where_the_file_system_can(
    server: LabSession, limited: tuple[str, Path], tmp_path: Path
) -> None:
    kind, mount = limited
    location = str(mount / "volumes")

    def step(verb: str, *volumes: dict[str, Any], **variables: Any) -> Step:
        if verb in ("prepare", "volume_list"):
            return Step(DIRECTORY, verb, {**QUOTA, "storage_locations": [{"location": location}], **variables})
        items = [{"location": location, **volume} for volume in volumes]
        return Step(DIRECTORY, verb, {**QUOTA, "storage_volumes": items, **variables})

    def fill(name: str) -> Command:
        """As much as fits, by a user: ext4 holds nobody to a limit who may do everything."""
        data = f"{location}/{name}/data"
        script = f"touch {data} && chown nobody {data} && "
        script += f"LC_ALL=C setpriv --reuid nobody --clear-groups dd if=/dev/zero of={data} bs=1M count=200 oflag=sync"
        return Command(["sh", "-c", script])

    golden, web = {"name": "golden"}, {"name": "web", "source": "golden"}
    prepared, made, again, full, cloned, grown, grown_again, fuller, listed, shrunk, removed = run(
        tmp_path,
        [
            step("prepare"),
            step("volume_create", golden | {"size_mib": 40}),
            step("volume_create", golden | {"size_mib": 40}),
            fill("golden"),
            step("volume_clone", web),
            step("volume_resize", {"name": "web", "size_mib": 80}),
            step("volume_resize", {"name": "web", "size_mib": 80}),
            fill("web"),
            step("volume_list"),
            step("volume_resize", {"name": "web", "size_mib": 50}),
            step("volume_remove", {"name": "web"}, {"name": "golden"}),
        ],
        {},
        host=Host("lab-storage", server.directory / "inventory"),
        timeout_s=900,
    )
    assert [outcome.failed for outcome in (prepared, made, cloned, grown, removed)] == [""] * 5, kind
    assert (made.changed, again.changed, grown.changed, grown_again.changed) == (True, False, True, False)
    assert 35 <= written(full) <= 40
    assert 75 <= written(fuller) <= 80
    sizes = {item["name"]: (item["size_mib"], item["used_mib"]) for item in listed.items}
    assert {name: size for name, (size, _) in sizes.items()} == {"golden": 40, "web": 80}
    assert 36 <= sizes["golden"][1] <= 40
    assert 76 <= sizes["web"][1] <= 80
    assert "cannot shrink" in shrunk.failed


def test_quotas_are_refused_where_the_file_system_has_none(server: LabSession, tmp_path: Path) -> None:
    volume = {"name": "x", "location": f"{LOCATION}/new", "size_mib": 10}
    prepared, made = run(
        tmp_path,
        [
            Step(DIRECTORY, "prepare", {**QUOTA, "storage_locations": [{"location": f"{LOCATION}/new"}]}),
            Step(DIRECTORY, "volume_create", {**QUOTA, "storage_volumes": [volume | {"location": LOCATION}]}),
        ],
        {},
        host=Host("lab-storage", server.directory / "inventory"),
    )
    for outcome in (prepared, made):
        assert f"Location {LOCATION}" in outcome.failed, outcome
        assert "which keeps no project quotas" in outcome.failed, outcome
    assert (
        server.on_storage("sh", "-c", f"[ ! -e {LOCATION}/new ] && [ ! -e {LOCATION}/x ] && echo neither").strip()
        == "neither"
    )
