"""Cases of the module boot_file."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from tests.unit.plugins.module_cases import run_module

NAME = "manifests/52-54-00-12-34-56.json"

# state, content before (None: no file), content wanted, content after, changed
CASES: dict[str, tuple[str, str | None, str, str | None, bool]] = {
    "new": ("present", None, "{}\n", "{}\n", True),
    "there already": ("present", "{}\n", "{}\n", "{}\n", False),
    "other content": ("present", "[]\n", "{}\n", "{}\n", True),
    "emptied": ("present", "{}\n", "", "", True),
    "not only ASCII": ("present", None, "Größe\n", "Größe\n", True),
    "removed": ("absent", "{}\n", "", None, True),
    "gone already": ("absent", None, "", None, False),
}


def digest(text: str | None) -> str | None:
    return None if text is None else hashlib.sha256(text.encode()).hexdigest()


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


@pytest.mark.parametrize("check", [False, True], ids=["real", "check"])
@pytest.mark.parametrize("case", CASES)
def test_files(case: str, check: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state, before, content, after, changed = CASES[case]
    path = tmp_path / NAME
    if before is not None:
        path.parent.mkdir()
        path.write_text(before, encoding="utf-8")
    arguments = {"entries": [{"root": str(tmp_path), "name": NAME, "content": content}], "state": state}
    result = run_module("boot_file", capsys, arguments, check=check)
    assert (result["changed"], result["items"]) == (changed, [{"name": NAME, "changed": changed}])
    differing = ({NAME: digest(before)}, {NAME: digest(after)}) if changed else ({}, {})
    assert (result["diff"]["before"], result["diff"]["after"]) == differing
    wanted = before if check else after
    assert (path.read_text(encoding="utf-8") if path.exists() else None) == wanted
    assert files(tmp_path) == ([NAME] if wanted is not None else []), "no temporary file stays"
    if not check:
        assert run_module("boot_file", capsys, arguments)["changed"] is False


def test_a_list_is_written_in_one_call_and_read_by_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    entries = [{"root": str(tmp_path), "name": f"nodes/{number}.ipxe", "content": f"{number}"} for number in range(50)]
    (tmp_path / "nodes").mkdir()
    (tmp_path / "nodes/7.ipxe").write_text("7")
    result = run_module("boot_file", capsys, {"entries": entries})
    assert [item["changed"] for item in result["items"]] == [number != 7 for number in range(50)]
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "nodes").iterdir() if path.name != "7.ipxe"} == {0o644}


def test_a_blob_has_its_digest_as_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    entry = {"root": str(tmp_path), "name": f"blobs/{digest('agent')}", "content": "agent"}
    assert run_module("boot_file", capsys, {"entries": [entry]})["changed"]
    result = run_module("boot_file", capsys, {"entries": [entry | {"content": "other"}]})
    assert f"has the SHA-256 {digest('other')}; a blob is named by its digest" in result["msg"]
    assert (tmp_path / entry["name"]).read_text() == "agent"


@pytest.mark.parametrize("link", ["nodes", "nodes/a.ipxe"])
@pytest.mark.parametrize("state", ["present", "absent"])
def test_a_link_that_leads_out_of_the_root_fails_before_anything_is_touched(
    state: str, link: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    outside.mkdir()
    (outside / "a.ipxe").write_text("theirs")
    (root / link).parent.mkdir(parents=True)
    (root / link).symlink_to(outside if link == "nodes" else outside / "a.ipxe")
    entries = [{"root": str(root), "name": name, "content": "x"} for name in ("first", "nodes/a.ipxe")]
    result = run_module("boot_file", capsys, {"entries": entries, "state": state})
    assert "'nodes/a.ipxe' would not be below" in result["msg"] and "a link leads out of it" in result["msg"]
    assert (outside / "a.ipxe").read_text() == "theirs"
    assert not (root / "first").exists()


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", "", "a//b", "a\0b", "nodes/.."])
@pytest.mark.parametrize("state", ["present", "absent"])
def test_a_name_outside_of_the_root_fails_before_anything_is_touched(
    state: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "kept").write_text("kept")
    new = "kept" if state == "absent" else "new"
    entries: list[dict[str, Any]] = [{"root": str(root), "name": new}, {"root": str(root), "name": name}]
    result = run_module("boot_file", capsys, {"entries": entries, "state": state})
    assert f"would not be below {root}" in result["msg"]
    assert (files(tmp_path), (root / "kept").read_text()) == (["root/kept"], "kept")


def test_what_the_system_refuses_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "nodes").write_text("a file where a directory is needed")
    arguments = {"entries": [{"root": str(tmp_path), "name": "nodes/x", "content": "x"}]}
    assert "nodes" in run_module("boot_file", capsys, arguments)["msg"]


def test_files_take_their_places_in_order_once_all_are_on_disk(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node that sees its boot entry finds the manifest that goes with it."""
    done: list[str] = []
    sync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda number: (done.append("sync"), sync(number))[1])
    monkeypatch.setattr(Path, "replace", lambda self, target: (done.append(target.name), replace(self, target))[1])
    names = [f"manifests/{number}.json" for number in (3, 1, 2)]
    entries = [{"root": str(tmp_path), "name": name, "content": name} for name in names]
    assert run_module("boot_file", capsys, {"entries": entries})["changed"]
    assert done == ["sync"] * 3 + ["3.json", "1.json", "2.json"] + ["sync"]


def test_nothing_takes_its_place_when_one_cannot_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_text("before")
    full = iter([None, OSError(errno.ENOSPC, "No space left on device"), None])

    def sync(_number: int) -> None:
        if error := next(full):
            raise error

    monkeypatch.setattr(os, "fsync", sync)
    entries = [{"root": str(tmp_path), "name": name, "content": "after"} for name in "abc"]
    assert "No space left on device" in run_module("boot_file", capsys, {"entries": entries})["msg"]
    assert (files(tmp_path), (tmp_path / "a").read_text()) == (["a"], "before")
