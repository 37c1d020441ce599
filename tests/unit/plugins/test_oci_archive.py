"""Cases of the module oci_archive, with an OCI image that umoci makes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.trees import make_layout
from tests.unit.plugins.module_cases import run_module


@pytest.fixture
def image(tmp_path: Path) -> dict[str, Any]:
    layout = make_layout(tmp_path, lambda root: (root / "hello").write_text("x\n"))
    digest = json.loads((layout / "index.json").read_text())["manifests"][0]["digest"].partition(":")[2]
    archive = str(tmp_path / "archives/web.tar.zst")
    return {"name": "web", "layout": str(layout), "tag": "stable", "digest": digest, "archive": archive}


def archives(tmp_path: Path) -> list[str]:
    """What is there beside the locks of builds."""
    return sorted(path.name for path in tmp_path.glob("archives/*") if path.suffix != ".lock")


def test_an_archive_is_made_once(image: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checked = run_module("oci_archive", capsys, {"images": [image]}, check=True)
    assert (checked["changed"], archives(tmp_path)) == (True, [])
    made = run_module("oci_archive", capsys, {"images": [image, dict(image, name="shop")]})
    assert [item["changed"] for item in made["items"]] == [True, False]
    assert made["diff"]["after"]["web"] == image["archive"]
    assert archives(tmp_path) == ["web.tar.zst"], "nothing but the archive stays"
    again = run_module("oci_archive", capsys, {"images": [image]})
    assert (again["changed"], again["diff"]["after"]) == (False, {})


def test_an_image_that_changed_meanwhile_is_refused(
    image: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = run_module("oci_archive", capsys, {"images": [dict(image, digest="a" * 64)]})
    assert f"is sha256:{image['digest']}, not sha256:{'a' * 64}" in failed["msg"]
    assert archives(tmp_path) == []


def test_missing_programs_are_named(
    image: dict[str, Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    failed = run_module("oci_archive", capsys, {"images": [image]})
    assert failed["msg"].startswith("This machine lacks skopeo, umoci, tar, zstd; install them")


BAD: dict[str, tuple[dict[str, str], str]] = {
    "layout": ({"layout": "/srv/a:b"}, "layout '/srv/a:b' is not valid"),
    "tag": ({"tag": "-x"}, "tag '-x' is not valid"),
    "digest": ({"digest": "abc"}, "digest 'abc' is not a SHA-256"),
    "archive": ({"archive": "/x.tar"}, "does not end with .tar.zst"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused(image: dict[str, Any], capsys: pytest.CaptureFixture[str], case: str) -> None:
    change, message = BAD[case]
    failed = run_module("oci_archive", capsys, {"images": [image | change]})
    assert message in failed["msg"]
