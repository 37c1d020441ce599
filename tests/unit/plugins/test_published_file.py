"""Cases of the module published_file."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.plugins.module_cases import run_module

# state, content served before (None: no file), content of the source (None: no source), content served after, changed
CASES: dict[str, tuple[str, str | None, str | None, str | None, bool]] = {
    "new": ("present", None, "boot", "boot", True),
    "there already": ("present", "boot", "boot", "boot", False),
    "other content": ("present", "old", "boot", "boot", True),
    "removed": ("absent", "boot", None, None, True),
    "gone already": ("absent", None, None, None, False),
}


@pytest.mark.parametrize("check", [False, True], ids=["real", "check"])
@pytest.mark.parametrize("case", CASES)
def test_files(case: str, check: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state, before, source, after, changed = CASES[case]
    root = tmp_path / "root"
    served = root / "sub/program"
    served.parent.mkdir(parents=True)
    if before is not None:
        served.write_text(before)
    if source is not None:
        (tmp_path / "source").write_text(source)
    entry = {"name": "sub/program", "source": str(tmp_path / "source")}
    arguments = {"root": str(root), "entries": [entry], "state": state}
    result = run_module("published_file", capsys, arguments, check=check)
    assert (result["changed"], result["items"]) == (changed, [{"name": "sub/program", "changed": changed}])
    wanted = before if check else after
    assert (served.read_text() if served.exists() else None) == wanted
    assert [path.name for path in served.parent.iterdir()] == (["program"] if wanted is not None else [])
    assert bool(result["diff"]["after"]) is changed


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", "", ".", "a\0b"])
def test_a_name_outside_of_the_root_fails_before_anything_is_written(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    source = tmp_path / "source"
    source.write_text("x")
    entries = [{"name": "good", "source": str(source)}, {"name": name, "source": str(source)}]
    result = run_module("published_file", capsys, {"root": str(root), "entries": entries})
    assert "would not be below" in result["msg"]
    assert list(root.iterdir()) == []


def test_a_link_that_leads_out_of_the_root_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(tmp_path)
    result = run_module(
        "published_file", capsys, {"root": str(root), "entries": [{"name": "link/x"}], "state": "absent"}
    )
    assert "would not be below" in result["msg"]


def test_a_missing_source_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = {"root": str(tmp_path), "entries": [{"name": "x", "source": "/nowhere/x"}]}
    assert "its source /nowhere/x does not exist" in run_module("published_file", capsys, arguments)["msg"]
