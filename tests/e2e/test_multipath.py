"""A root over two portals goes on when a network is gone, and has both paths again when that is back."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.lab_session import RECIPE, LabSession

NAME = "e2e-multipath"
BACKEND, FILES, WEB = "file", "/srv/openqrm/files", "two-ways"
SIZE_MIB = 1536
CUT_S = 60
# The paths of a multipath device in what dmsetup says: `8:0 A 0` is one that is in use, `8:0 F 1` one that has failed.
PATH = re.compile(r" \d+:\d+ ([AF]) \d+")
# What the machine does: each second it writes to its root, flushes that to the volume, and says what it sees; it
# reboots when its web server's log says so.
LOOP = """n=0; cd /var/www/html; cat /proc/sys/kernel/random/boot_id > boot
while sleep 1; do
    chroot /run/initramfs /usr/sbin/dmsetup status > .paths; mv .paths paths; grep ' / ' /proc/mounts > root
    n=$((n + 1)); echo $n > .count; sync .count && mv .count count
    ! grep -q "GET /reboot-$(cat boot)" /var/log/nginx/access.log || systemctl reboot
done
"""
SAYS = {
    "/usr/local/bin/says": LOOP,
    "/etc/systemd/system/says.service": "[Service]\nExecStart=/bin/sh /usr/local/bin/says\n",
    "/etc/systemd/system/multi-user.target.d/says.conf": "[Unit]\nWants=says.service\n",
}


@pytest.fixture(scope="module")
def lab() -> Iterator[LabSession]:
    """A lab with a machine and a storage server that has an address on each of two networks of the machine."""
    with LabSession(NAME) as session:
        session.up(1, "bios")
        session.prepare()
        storage = session.info["storage"]
        management, own = storage["addresses"][0], storage["addresses"][-1]
        server = ["--host", storage["host"], "--address", own, "--parameter", f"more_addresses={management}"]
        session.openqrm("storage", "add", BACKEND, "--type", BACKEND, "--location", FILES, *server)
        yield session


@pytest.fixture
def running(lab: LabSession, tmp_path: Path) -> LabSession:
    """The lab with an appliance that runs from a volume over iSCSI."""
    content = yaml.safe_load(RECIPE.read_text())
    content["files"] += [{"path": path, "content": text} for path, text in SAYS.items()]
    recipe = tmp_path / "recipe.yml"
    recipe.write_text(yaml.safe_dump(content))
    words = ["--storage", BACKEND, "--deployment", "iscsi", "--recipe", str(recipe), "--size-mib", str(SIZE_MIB)]
    lab.openqrm("image", "create", WEB, *words)
    lab.openqrm("appliance", "create", WEB, "--image", WEB)
    lab.openqrm("appliance", "start", WEB)
    return lab


def seen(lab: LabSession, name: str) -> str:
    """What the machine says: `paths`, as dmsetup knows them, `root`, the line of its mount, or `boot`."""
    address = lab.resource("node01").address
    return lab.wait(f"{name} of the machine", lambda: lab.page(address, f"/{name}"))


def paths(lab: LabSession) -> list[str]:
    """The states of the paths to the machine's root, sorted: A for one in use, F for one that has failed."""
    return sorted(PATH.findall(seen(lab, "paths")))


def writes(lab: LabSession) -> None:
    """Waits until the machine has written three times more, and that has reached its volume."""
    before = int(seen(lab, "count"))
    lab.wait("writes", lambda: int(seen(lab, "count")) > before + 2, 120)


def network(lab: LabSession, device: str, state: str) -> None:
    """Takes a network of the storage server away from under it, `down`, or gives it back, `up`."""
    lab.on_storage("ip", "link", "set", device, state)


def cut(lab: LabSession) -> None:
    """The storage network goes for good, for all that the machine can know, and comes back."""
    network(lab, "eth1", "down")
    begun = time.monotonic()
    lab.wait("the lost path", lambda: paths(lab) == ["A", "F"], 90)
    lost = time.monotonic()
    while time.monotonic() < begun + CUT_S:
        writes(lab)
    network(lab, "eth1", "up")
    back = time.monotonic()
    lab.wait("both paths", lambda: paths(lab) == ["A", "A"], 90)
    writes(lab)
    print(json.dumps({"lost_s": lost - begun, "back_s": time.monotonic() - back}))


def reboot(lab: LabSession) -> str:
    """The machine's system reboots it, which a visit asks for; returns what its console said between."""
    before, length = seen(lab, "boot"), lab.console("node01").stat().st_size
    address = lab.resource("node01").address
    lab.page(address, f"/reboot-{before.strip()}")
    lab.wait("the machine after its reboot", lambda: lab.page(address, "/boot") not in ("", before), 2 * 300)
    return lab.console("node01").read_bytes()[length:].decode(errors="replace")


def sessions(lab: LabSession) -> int:
    """How many iSCSI connections the storage server has."""
    return len(lab.on_storage("ss", "-Htn", "state", "established", "sport", "=", ":3260").splitlines())


@pytest.mark.extended
def test_a_root_outlives_the_loss_of_a_network(running: LabSession) -> None:
    lab = running
    assert re.match(r"/dev/dm-\d+ / ext4 rw", seen(lab, "root"))
    lab.wait("both paths", lambda: paths(lab) == ["A", "A"], 60)
    assert sessions(lab) == 2
    writes(lab)

    cut(lab)
    said = reboot(lab)
    assert "openqrm: root unmounted" in said and "cannot log out" not in said
    lab.wait("both paths after the reboot", lambda: paths(lab) == ["A", "A"], 60)

    network(lab, "eth1", "down")
    lab.wait("the lost path", lambda: paths(lab) == ["A", "F"], 90)
    said = reboot(lab)
    assert "openqrm: root unmounted" in said and "cannot log out" not in said
    writes(lab)
    network(lab, "eth1", "up")
    lab.wait("the path that was not there at boot", lambda: paths(lab) == ["A", "A"], 120)

    lab.openqrm("appliance", "stop", WEB)
    assert sessions(lab) == 0
    said = lab.console("node01").read_text(errors="replace").rpartition(f"starting init of {WEB}")[2]
    assert "openqrm: root unmounted" in said
