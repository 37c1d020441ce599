"""lab_disk: each kind of disk; what exists stays; archives follow their content."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.openqrm.datacenter.plugins.modules import lab_disk

KINDS = {"size_mib": None, "filesystem": None, "backing": None, "archive": None}


def disk(path: Path, **kind: Any) -> dict[str, Any]:
    return {"path": str(path), **KINDS, **kind}


def entry(name: str, content: str | None = None, source: str | None = None, mode: str = "0644") -> dict[str, Any]:
    return {"name": name, "content": content, "source": source, "mode": mode}


def test_raw_disk_is_sparse_and_stays(tmp_path: Path, played: Callable[..., Any]) -> None:
    runner, wanted = played(), [disk(tmp_path / "d", size_mib=64, filesystem="xfs")]
    assert lab_disk.ensure(wanted, False, runner)["changed"]
    assert runner.commands == [f"mkfs.xfs -q -m reflink=1 {tmp_path}/d.new"]
    assert ((tmp_path / "d").stat().st_size, (tmp_path / "d").stat().st_blocks) == (64 << 20, 0)
    (tmp_path / "d").write_text("data")
    assert not lab_disk.ensure(wanted, False, runner)["changed"]
    assert (tmp_path / "d").read_text() == "data"


def test_overlay(tmp_path: Path, played: Callable[..., Any]) -> None:
    runner = played()
    runner.answers = {"qemu-img": lambda argv: Path(argv[-1]).touch() or ""}
    assert lab_disk.ensure([disk(tmp_path / "o", backing="/base")], False, runner)["changed"]
    assert runner.commands == [f"qemu-img create -q -f qcow2 -F raw -b /base {tmp_path}/o.new"]


def test_archive_follows_its_content(tmp_path: Path, played: Callable[..., Any]) -> None:
    key, path = tmp_path / "key", tmp_path / "config"
    key.write_text("secret\n")
    wanted = [disk(path, archive=[entry("etc/name", "lab\n"), entry("etc/key", source=str(key), mode="0600")])]
    assert lab_disk.ensure(wanted, False, played())["changed"]
    assert not lab_disk.ensure(wanted, False, played())["changed"]
    with tarfile.open(path) as archive:
        assert [(item.name, item.mode, item.uid) for item in archive] == [("etc/name", 0o644, 0), ("etc/key", 0o600, 0)]
    assert path.stat().st_mode & 0o777 == 0o600
    key.write_text("changed\n")
    assert lab_disk.ensure(wanted, False, played())["changed"]


def test_a_cut_run_leaves_no_disk(tmp_path: Path, played: Callable[..., Any]) -> None:
    runner = played()
    runner.answers = {"mkfs.xfs": OSError("killed")}
    with pytest.raises(OSError, match="killed"):
        lab_disk.ensure([disk(tmp_path / "d", size_mib=1, filesystem="xfs")], False, runner)
    assert not (tmp_path / "d").exists()


def test_check_mode_makes_nothing(tmp_path: Path, played: Callable[..., Any]) -> None:
    assert lab_disk.ensure([disk(tmp_path / "d", size_mib=1)], True, played())["changed"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kinds", [{}, {"size_mib": 1, "backing": "/base"}])
def test_a_disk_is_of_one_kind(kinds: dict[str, Any]) -> None:
    assert lab_disk.maker(disk(Path("/d"), **kinds)) is None
