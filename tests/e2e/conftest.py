"""The lab of the main job: brought up once for all tests that use it, and taken down whatever happens."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Generator, Iterator

import pytest

from tests.support.lab_session import IMAGE, LOCATION, LabSession

NAME = "e2e-main"
SWAP_NODE = "node01"

# What is laid over the golden image: a line of its own for fstab, and a service that shows what the machine sees.
SEEN = """#!/bin/sh
mkdir -p /var/www/html/seen && cd /var/www/html/seen || exit 1
while :; do
    cat /proc/mounts > mounts; cat /proc/swaps > swaps; cat /proc/sys/kernel/random/boot_id > boot_id
    hostname > hostname; ls "/lib/modules/$(uname -r)" > modules; ip -o address > addresses
    sleep 2
done
"""
UNIT = "[Service]\\nExecStart=/usr/local/sbin/seen\\n"
FSTAB_STATIC = "tmpfs /srv/scratch tmpfs size=1m 0 0\\n"


@pytest.fixture(scope="session")
def lab() -> Iterator[LabSession]:
    """The lab `e2e-main`: a BIOS and a UEFI machine, both idle, a storage server, and the image `nginx`."""
    session = LabSession(NAME)
    try:
        _make(session)
        yield session
    finally:
        session.down()


def _make(session: LabSession) -> None:
    try:
        session.up(nodes=2)
        _give_swap(session)
        session.prepare()
        _lay_over_golden(session)
        session.openqrm("appliance", "create", "web01", "--image", IMAGE)
    except BaseException:
        print(session.diagnostics())
        raise


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Adds the ends of the lab's consoles and logs to the report of a test that failed on it."""
    report = yield
    session = getattr(item, "funcargs", {}).get("lab")
    if report.failed and isinstance(session, LabSession):
        report.sections.append(("lab", session.diagnostics()))
    return report


def _give_swap(session: LabSession) -> None:
    """Makes the disk of one machine swap space; the other one stays blank."""
    disk = session.directory / "images" / f"{SWAP_NODE}.raw"
    subprocess.run(
        ["mkswap", str(disk)], check=True, capture_output=True, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    )


def _lay_over_golden(session: LabSession) -> None:
    root = f"{LOCATION}/{IMAGE}"
    wants = f"{root}/etc/systemd/system/multi-user.target.wants"
    script = f"""
    printf %s {shlex.quote(SEEN)} > {root}/usr/local/sbin/seen && chmod 0755 {root}/usr/local/sbin/seen &&
    printf {shlex.quote(UNIT)} > {root}/etc/systemd/system/seen.service &&
    mkdir -p {wants} {root}/srv/scratch && ln -s ../seen.service {wants}/seen.service &&
    printf {shlex.quote(FSTAB_STATIC)} > {root}/etc/fstab-static
    """
    session.on_storage("sh", "-c", script)
