"""Cases of the module unused_files."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import Any

import pytest

from tests.unit.plugins.module_cases import run_module

MIB = 1 << 20
DAY_S = 24 * 60 * 60
A, B, C = ("a" * 64, "b" * 64, "c" * 64)


def made(path: Path, *, days: float = 40, size: int = 2 * MIB) -> Path:
    """A file, or below it a directory with one, that was neither read nor written for so long."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as stream:
        stream.truncate(size)
    age(path, days)
    return path


def age(path: Path, days: float) -> None:
    then = time.time() - days * DAY_S
    os.utime(path, (then, then), follow_symlinks=False)


def place(path: Path, **more: Any) -> dict[str, Any]:
    return {"path": str(path), "names": "[0-9a-f]{64}", "unfinished": "build-.+|[.].+", **more}


def run(capsys: pytest.CaptureFixture[str], *places: dict[str, Any], check: bool = False) -> dict[str, Any]:
    arguments = {"places": list(places), "older_than_s": 30 * DAY_S}
    return run_module("unused_files", capsys, arguments, check=check)


@pytest.mark.parametrize("check", [False, True], ids=["real", "check"])
def test_what_is_old_and_not_in_use_goes(check: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = made(tmp_path / A)
    made(tmp_path / B)
    made(tmp_path / C, days=29)
    result = run(capsys, place(tmp_path, keep=[B]), check=check)
    (item,) = result["items"]
    assert (item["path"], item["what"], item["size_mib"]) == (str(old), "unused", 2)
    assert abs(item["age_s"] - 40 * DAY_S) < 60
    assert result["changed"]
    assert result["diff"] == {"before": {str(old): True}, "after": {}}
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ([A, B, C] if check else [B, C])
    if not check:
        assert not run(capsys, place(tmp_path, keep=[B]))["changed"]


def test_what_a_file_of_the_tree_names_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blobs = tmp_path / "blobs"
    for name in (A, B, C):
        made(blobs / name)
    (blobs / A).write_text(C)  # what a blob says is not looked into
    age(blobs / A, 40)
    (tmp_path / "nodes").mkdir()
    (tmp_path / "nodes/01.ipxe").write_text(f"kernel http://x/blobs/{B} quiet\n")
    (tmp_path / "image.iso").write_bytes(b"\xff\xfe" + A.encode() + b"\x00")
    (tmp_path / "gone").symlink_to("/nowhere")
    result = run(capsys, place(blobs, mentioned_in=str(tmp_path)))
    assert [item["path"] for item in result["items"]] == [str(blobs / C)]


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_what_was_left_half_made_goes_unless_it_is_being_made(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = ".x.tar.zst.new" if kind == "directory" else ".x.tar.zst.part"
    left = made(tmp_path / name / "half" if kind == "directory" else tmp_path / name)
    age(tmp_path / name, 40)
    lock = tmp_path / ".x.tar.zst.lock"
    lock.touch()
    age(lock, 40)
    with lock.open() as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        assert not run(capsys, place(tmp_path))["changed"]
    with left.open() as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        assert run(capsys, place(tmp_path), check=True)["changed"] is (kind == "directory")
    (item,) = run(capsys, place(tmp_path))["items"]
    assert (item["path"], item["what"], item["size_mib"]) == (str(tmp_path / name), "unfinished", 2)
    assert [entry.name for entry in tmp_path.iterdir()] == [lock.name]


def test_a_directory_is_as_young_as_what_is_in_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(tmp_path / A / "vmlinuz")
    made(tmp_path / A / "modules", days=2)
    age(tmp_path / A, 40)
    assert not run(capsys, place(tmp_path))["changed"]
    age(tmp_path / A / "modules", 31)
    assert run(capsys, place(tmp_path))["changed"]
    assert list(tmp_path.iterdir()) == []


def test_what_is_called_otherwise_is_never_touched(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ["notes.txt", f"{A}x", A.upper(), f"x{A}", "build", "a\nb"]
    for name in names:
        made(tmp_path / "place" / name)
    made(tmp_path / "elsewhere")
    (tmp_path / "place" / A).symlink_to(tmp_path / "elsewhere")  # the link may go, what it points to stays
    age(tmp_path / "place" / A, 40)
    found = run(capsys, place(tmp_path / "place"))["items"]
    assert [item["path"] for item in found] == [str(tmp_path / "place" / A)]
    assert sorted(entry.name for entry in (tmp_path / "place").iterdir()) == sorted(names)
    assert (tmp_path / "elsewhere").exists()


def test_small_files_stay_but_not_unfinished_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(tmp_path / A, size=1000)
    made(tmp_path / ".tmp~", size=1000)
    found = run(capsys, place(tmp_path, smallest_mib=1))["items"]
    assert [Path(item["path"]).name for item in found] == [".tmp~"]


def test_no_directory_and_a_bad_pattern(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert not run(capsys, place(tmp_path / "none"))["changed"]
    made(tmp_path / A)
    assert "unterminated" in run(capsys, place(tmp_path) | {"names": "[a"})["msg"]
    assert (tmp_path / A).exists()
