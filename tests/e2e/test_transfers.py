"""Transfers on real parts: a node copies its root to an image, and installs an empty image from that, unchanged."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import tree_digest
from tests.support.lab_session import IMAGE, LOCATION, STORAGE, LabSession

pytestmark = pytest.mark.extended

NAME = "e2e-transfer"


@pytest.fixture(scope="module")
def lab() -> Iterator[LabSession]:
    """A lab with a machine that idles, and a storage server with a golden image and two empty ones."""
    with LabSession(NAME) as session:
        session.up(1, "bios")
        session.prepare()
        for name in ("copy", "fresh"):
            session.openqrm("image", "create", name, "--storage", STORAGE, "--deployment", "nfs")
        yield session


def tree(lab: LabSession, image: str) -> dict[str, Any]:
    """All that is in an image's volume, as the storage server sees it."""
    source = Path(tree_digest.__file__).read_text()
    found: dict[str, Any] = json.loads(lab.on_storage("python3", "-c", source, f"{LOCATION}/{image}"))
    return found


def test_a_root_is_copied_to_an_image_and_from_there_into_an_empty_root(lab: LabSession) -> None:
    golden = tree(lab, IMAGE)
    assert len(golden) > 1000
    lab.openqrm("image", "set", IMAGE, "--shared")
    lab.openqrm("appliance", "create", "source", "--image", IMAGE, "--root-mode", "overlay")
    lab.openqrm("appliance", "start", "source", "--transfer-to", "copy")
    assert "disk of its own" in lab.page(lab.resource("node01").address)
    assert set(lab.exports()) == {f"{LOCATION}/{IMAGE}"}, "the grant of the copy is taken back"
    lab.openqrm("appliance", "stop", "source")
    assert tree(lab, "copy") == golden

    lab.openqrm("appliance", "create", "target", "--image", "fresh", "--no-clone")
    lab.openqrm("appliance", "start", "target", "--install-from", "copy")
    assert "disk of its own" in lab.page(lab.resource("node01").address)
    assert set(lab.exports()) == {f"{LOCATION}/fresh"}
    lab.openqrm("appliance", "stop", "target")
    installed = tree(lab, "fresh")
    # The first boot makes the directory below usr/lib on which the modules are mounted.
    same = [
        path for path in golden if path.startswith(("usr/", "sbin", "bin", "lib", "opt", "srv")) and path != "usr/lib"
    ]
    assert {path: installed[path] for path in same} == {path: golden[path] for path in same}
    assert tree(lab, "copy") == golden
    messages = [str(event["message"]) for event in lab.json("event", "list")]
    for what in ("save copy", "install copy"):
        assert f"transfer: copied: {what}" in messages, messages
