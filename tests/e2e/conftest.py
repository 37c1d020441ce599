"""The lab of the main job: brought up once for all tests that use it, and taken down whatever happens."""

from __future__ import annotations

import subprocess
from collections.abc import Generator, Iterator

import pytest

from tests.support.golden import lay_over_golden
from tests.support.lab_session import IMAGE, LabSession

NAME = "e2e-main"
SWAP_NODE = "node01"


@pytest.fixture(scope="session")
def lab() -> Iterator[LabSession]:
    """The lab `e2e-main`: a BIOS and a UEFI machine, both idle, a storage server, and the image `nginx`."""
    with LabSession(NAME) as session:
        session.up(nodes=2)
        _give_swap(session)
        session.prepare()
        lay_over_golden(session)
        session.openqrm("appliance", "create", "web01", "--image", IMAGE)
        yield session


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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the tests on the shared lab last, so that no other lab has to run beside it."""
    items.sort(key=lambda item: "lab" in getattr(item, "fixturenames", ()))
