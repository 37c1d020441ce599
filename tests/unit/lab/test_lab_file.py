"""lab_file: directories and files in one call; a second run is unchanged; check mode writes nothing."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

from ansible_collections.openqrm.datacenter.plugins.modules import lab_file


def wanted(base: Path) -> dict[str, Any]:
    return {
        "directories": [{"path": str(base / "a"), "mode": "0755"}, {"path": str(base / "a/b"), "mode": "0700"}],
        "files": [{"path": str(base / "a/b/c"), "content": "text\n", "mode": "0600"}],
    }


def test_makes_what_is_missing_then_is_unchanged(tmp_path: Path) -> None:
    first = lab_file.ensure(**wanted(tmp_path), check_mode=False)
    assert [item["changed"] for item in first["items"]] == [True, True, True]
    assert (tmp_path / "a/b/c").read_text() == "text\n"
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a", "a/b", "a/b/c")] == [0o755, 0o700, 0o600]
    second = lab_file.ensure(**wanted(tmp_path), check_mode=False)
    assert (second["changed"], second["diff"]) == (False, {"before": {}, "after": {}})


def test_corrects_content_and_mode(tmp_path: Path) -> None:
    lab_file.ensure(**wanted(tmp_path), check_mode=False)
    (tmp_path / "a/b/c").write_text("other")
    (tmp_path / "a/b").chmod(0o755)
    done = lab_file.ensure(**wanted(tmp_path), check_mode=False)
    assert [item["changed"] for item in done["items"]] == [False, True, True]
    assert lab_file.ensure(**wanted(tmp_path), check_mode=False)["changed"] is False


def test_check_mode_reports_and_writes_nothing(tmp_path: Path) -> None:
    done = lab_file.ensure(**wanted(tmp_path), check_mode=True)
    assert done["changed"]
    assert done["diff"]["after"][str(tmp_path / "a/b/c")] == {"content": "text\n", "mode": "0600"}
    assert list(tmp_path.iterdir()) == []
