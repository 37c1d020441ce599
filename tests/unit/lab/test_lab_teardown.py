"""lab_teardown: removes labs and nothing else. Namespaces are the lab test's matter (tests/e2e)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.openqrm.datacenter.plugins.modules import lab_teardown


def params(lab_dir: Path) -> dict[str, Any]:
    return {"namespace": "openqrm-unit-test-none", "lab_dir": str(lab_dir), "timeout_s": 1}


def lab(base: Path) -> Path:
    directory = base / "lab"
    (directory / "run").mkdir(parents=True)
    (directory / "run/x.process").write_text("1 1\n")
    (directory / "link").symlink_to(base)
    (directory / "lab.json").write_text("{}")
    return directory


def test_removes_the_directory_then_is_unchanged(tmp_path: Path) -> None:
    directory = lab(tmp_path)
    (tmp_path / "kept").write_text("")
    assert lab_teardown.ensure(params(directory), False)["changed"]
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert lab_teardown.ensure(params(directory), False)["changed"] is False


def test_a_directory_that_is_no_lab_is_refused(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("")
    with pytest.raises(lab_teardown.TeardownError, match="no lab was built there"):
        lab_teardown.ensure(params(tmp_path), False)
    assert (tmp_path / "precious").exists()


def test_the_marker_goes_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = lab(tmp_path)
    monkeypatch.setattr(lab_teardown.shutil, "rmtree", lambda _path: (_ for _ in ()).throw(OSError("killed")))
    with pytest.raises(OSError, match="killed"):
        lab_teardown.ensure(params(directory), False)
    assert (directory / "lab.json").exists()


def test_check_mode_removes_nothing(tmp_path: Path) -> None:
    directory = lab(tmp_path)
    done = lab_teardown.ensure(params(directory), True)
    assert (done["changed"], done["processes"]) == (True, 0)
    assert (directory / "run/x.process").exists()


def test_mounts_are_taken_innermost_first() -> None:
    table = "a /l a rw 0 0\nb /l/m b rw 0 0\nc /lx c rw 0 0\nd /l/m\\040n d rw 0 0\n"
    assert lab_teardown.mounts_below("/l", table) == ["/l/m n", "/l/m", "/l"]
