"""Roots in memory on real parts: filled over NFS and from an archive, fresh at every boot, given back cleanly."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.lab_session import LOCATION, STORAGE, LabSession, storage_address
from tests.support.storage_matrix import record

pytestmark = pytest.mark.extended

NAME = "e2e-memory"
KIOSK, SIZE_MIB = "kiosk", 600
# Runs before the web server at every start of the system, and leaves a mark that a root which stays would keep.
WITNESS = """#!/bin/sh
echo start >> /srv/starts
cp /srv/starts /var/www/html/starts
cat /proc/mounts > /var/www/html/mounts
"""
UNIT = "[Service]\nExecStartPre=/usr/local/sbin/witness\n"


@pytest.fixture(scope="module")
def lab() -> Iterator[LabSession]:
    """A lab with a machine that idles, and a storage server."""
    with LabSession(NAME) as session:
        session.up(1, "bios")
        session.prepare()
        yield session


@pytest.fixture(scope="module")
def archive(lab: LabSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The lab's web server with a witness, as a tar archive."""
    directory = tmp_path_factory.mktemp("archive")
    root = directory / "root"
    root.mkdir()
    subprocess.run(["tar", "-C", root, "-xf", lab.archive], check=True, timeout=300)
    program, unit = root / "usr/local/sbin/witness", root / "etc/systemd/system/nginx.service.d/witness.conf"
    unit.parent.mkdir(parents=True)
    program.write_text(WITNESS)
    program.chmod(0o755)
    unit.write_text(UNIT)
    packed = directory / "kiosk.tar.zst"
    subprocess.run(["tar", "-C", root, "--zstd", "-cf", packed, "."], check=True, timeout=300)
    return packed


def is_fresh(lab: LabSession) -> bool:
    """Whether the system serves, and has started once from this root; else it does not answer yet."""
    page = lab.page(lab.resource("node01").address, "/starts")
    assert page in ("", "start\n"), f"the root has seen other starts: {page!r}"
    return bool(page)


def reset(lab: LabSession) -> None:
    """Resets the machine, behind the data centre's back, and waits until it serves again."""
    before = lab.resource("node01").boot_id
    lab.openqrm("lab", "power", "node01", "reset")
    lab.wait("another boot", lambda: lab.resource("node01").boot_id != before)
    lab.wait("the page", lambda: is_fresh(lab))


@pytest.mark.parametrize("source", ["volume", "archive"])
def test_a_root_in_memory_is_fresh_at_every_boot(lab: LabSession, archive: Path, source: str) -> None:
    size = ["--parameter", f"memory_size_mib={SIZE_MIB}"]
    image = ["--storage", STORAGE, "--deployment", "tmpfs", "--archive", str(archive)]
    created = lab.openqrm("image", "create", KIOSK, *image, *size)
    if source == "archive":
        lab.openqrm("image", "publish", KIOSK, str(archive))
    lab.openqrm("appliance", "create", KIOSK, "--image", KIOSK)
    started = lab.openqrm("appliance", "start", KIOSK)
    node = lab.resource("node01")
    lab.wait("the page", lambda: is_fresh(lab), 30)
    (root,) = [line for line in lab.page(node.address, "/mounts").splitlines() if line.split()[1] == "/"]
    assert root.startswith("openqrm-root / tmpfs rw")
    assert f"size={SIZE_MIB << 10}k" in root
    granted = lab.exports().get(f"{LOCATION}/{KIOSK}", {})
    assert set(granted) == ({storage_address(node)} if source == "volume" else set())
    assert all("ro" in options for options in granted.values())

    reset(lab)
    log = lab.console("node01")
    log.write_text("")
    stopped = lab.openqrm("appliance", "stop", KIOSK)
    assert "openqrm: root unmounted" in log.read_text(errors="replace")
    assert f"{LOCATION}/{KIOSK}" not in lab.exports()
    if source == "volume":
        again = lab.openqrm("appliance", "start", KIOSK, "--boot", "reset")
        assert is_fresh(lab)
        lab.openqrm("appliance", "stop", KIOSK)
        times = {"create": created, "start": started, "stop": stopped, "start_by_reset": again}
        record("directory", "tmpfs", {step: round(done.seconds, 1) for step, done in times.items()})
    lab.openqrm("appliance", "remove", KIOSK, "--yes")
    lab.openqrm("image", "remove", KIOSK, "--yes", "--destroy-data")
