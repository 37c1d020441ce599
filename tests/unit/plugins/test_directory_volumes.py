"""Cases of the modules directory_volume, directory_location and directory_volume_info."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.openqrm.datacenter.plugins.module_utils import path_volumes
from ansible_collections.openqrm.datacenter.plugins.module_utils.commands import CommandError
from ansible_collections.openqrm.datacenter.plugins.module_utils.directories import Directories
from ansible_collections.openqrm.datacenter.plugins.module_utils.volumes import ensure_volumes

from tests.unit.plugins.module_cases import run_module


@pytest.fixture
def location(tmp_path: Path) -> Path:
    """A location with the volume golden, which has a hard link, an extended attribute and a mode."""
    golden = tmp_path / "volumes/golden"
    (golden / "etc").mkdir(parents=True)
    (golden / "etc/passwd").write_text("root\n")
    (golden / "etc/passwd").chmod(0o640)
    os.link(golden / "etc/passwd", golden / "etc/link")
    os.setxattr(golden / "etc/passwd", "user.note", b"kept")
    (golden / "gone").symlink_to("/nowhere")
    return tmp_path / "volumes"


def volume(location: Path, name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "location": str(location), **more}


# what is done before, arguments of the volume, state, whether it changes, names afterwards
CASES: dict[str, tuple[dict[str, str], str, bool, list[str]]] = {
    "new": ({"name": "new"}, "present", True, ["golden", "new"]),
    "there already": ({"name": "golden"}, "present", False, ["golden"]),
    "clone": ({"name": "copy", "source": "golden"}, "present", True, ["copy", "golden"]),
    "clone there already": ({"name": "golden", "source": "missing"}, "present", False, ["golden"]),
    "removed": ({"name": "golden"}, "absent", True, []),
    "gone already": ({"name": "other"}, "absent", False, ["golden"]),
}


@pytest.mark.parametrize("check", [False, True], ids=["real", "check"])
@pytest.mark.parametrize("case", CASES)
def test_volumes(case: str, check: bool, location: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options, state, changed, names = CASES[case]
    arguments = {"volumes": [options | {"location": str(location)}], "state": state}
    result = run_module("directory_volume", capsys, arguments, check=check)
    path = str(location / options["name"])
    assert result["items"] == [{"name": options["name"], "location": str(location), "path": path, "changed": changed}]
    assert result["diff"]["after"] == ({path: True if state == "present" else None} if changed else {})
    assert sorted(entry.name for entry in location.iterdir()) == (["golden"] if check else names)


def verify_golden(copy: Path) -> None:
    passwd = copy / "etc/passwd"
    assert passwd.read_text() == "root\n"
    assert passwd.stat().st_mode & 0o777 == 0o640
    assert passwd.stat().st_ino == (copy / "etc/link").stat().st_ino
    assert os.getxattr(passwd, "user.note") == b"kept"
    assert (copy / "gone").is_symlink()


def test_a_clone_keeps_links_and_attributes(location: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_module("directory_volume", capsys, {"volumes": [volume(location, "copy", source="golden")]})
    verify_golden(location / "copy")
    assert (location / "copy/etc/passwd").stat().st_ino != (location / "golden/etc/passwd").stat().st_ino


@pytest.mark.parametrize("suffix", [".tar", ".tar.zst"])
def test_an_archive_fills_a_new_volume(
    suffix: str, location: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = tmp_path / f"golden{suffix}"
    subprocess.run(
        ["tar", "-C", str(location / "golden"), "--xattrs", "-a", "-cf", str(archive), "."], check=True, timeout=60
    )
    new = volume(location, "copy", archive="/controller/golden")
    run_module("directory_volume", capsys, {"volumes": [new], "archives": {"/controller/golden": str(archive)}})
    verify_golden(location / "copy")
    checked = volume(location, "other", archive="/controller/golden")
    assert run_module("directory_volume", capsys, {"volumes": [checked]}, check=True)["changed"]


BAD: dict[str, tuple[dict[str, str], str]] = {
    "path as name": ({"name": "../x"}, "not a volume name"),
    "slash": ({"name": "a/b"}, "not a volume name"),
    "dot first": ({"name": ".new.a"}, "not a volume name"),
    "newline": ({"name": "a\n"}, "not a volume name"),
    "64 characters": ({"name": "a" * 64}, "not a volume name"),
    "relative location": ({"name": "a", "location": "srv"}, "give an absolute path"),
    "location with dots": ({"name": "a", "location": "/srv/../etc"}, "give an absolute path"),
    "root as location": ({"name": "a", "location": "/"}, "give an absolute path"),
    "missing location": ({"name": "a", "location": "/nowhere/volumes"}, "run the role's prepare"),
    "missing source": ({"name": "a", "source": "b"}, "its source b does not exist"),
    "missing archive": ({"name": "a", "archive": "/nowhere/a.tar"}, "the archive /nowhere/a.tar does not exist"),
    "source and archive": ({"name": "a", "source": "golden", "archive": "/a"}, "give one of both"),
    "snapshot of none": ({"name": "a", "read_only": True}, "give its source"),
    "no size": ({"name": "a", "size_mib": 0}, "its size is 0 MiB"),
    "snapshot in a volume's place": ({"name": "golden", "source": "golden", "read_only": True}, "and is no snapshot"),
    "twice": ({"name": "good"}, "is in the list twice"),
    "a file": ({"name": "file"}, "exists and is no volume"),
    "a link": ({"name": "link"}, "exists and is no volume"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_volume_fails_before_anything_is_touched(
    case: str, location: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options, expected = BAD[case]
    (location / "file").write_text("")
    (location / "link").symlink_to("golden")
    arguments = {"volumes": [volume(location, "good"), {"location": str(location)} | options]}
    result = run_module("directory_volume", capsys, arguments)
    assert result["failed"]
    assert expected in result["msg"]
    assert not (location / "good").exists()


def test_a_directory_is_not_resized(location: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = {"volumes": [volume(location, "golden", size_mib=64)], "state": "resized"}
    assert "has no size of its own" in run_module("directory_volume", capsys, arguments)["msg"]


def test_a_snapshot_needs_a_file_system_that_shares_blocks(
    location: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(path_volumes, "shares_blocks", lambda _location: False)
    wanted = [volume(location, "good"), volume(location, "monday", source="golden", read_only=True)]
    assert "so it has no snapshots" in run_module("directory_volume", capsys, {"volumes": wanted})["msg"]
    assert [entry.name for entry in location.iterdir()] == ["golden"]


def failing(program: str) -> Callable[..., str]:
    """A command runner that runs nothing of `program` but fails."""

    def command(argv: list[str], timeout_s: int = 60) -> str:
        if argv[0] == program:
            raise CommandError(argv, 1, "No space left on device")
        subprocess.run(argv, check=True, timeout=timeout_s)
        return ""

    return command


@pytest.mark.parametrize("program", ["cp", "sync"])
def test_a_copy_that_fails_leaves_nothing(program: str, location: Path) -> None:
    with pytest.raises(CommandError, match="No space left"):
        ensure_volumes(
            Directories(command=failing(program)), [volume(location, "copy", source="golden")], "present", False
        )
    assert [entry.name for entry in location.iterdir()] == ["golden"]


def test_what_a_killed_run_left_is_made_anew(location: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (location / ".new.copy/half").mkdir(parents=True)
    run_module("directory_volume", capsys, {"volumes": [volume(location, "copy", source="golden")]})
    verify_golden(location / "copy")
    assert not (location / ".new.copy").exists()


def test_a_removal_that_fails_has_removed_the_volume_by_name(location: Path) -> None:
    with pytest.raises(CommandError):
        ensure_volumes(Directories(command=failing("rm")), [volume(location, "golden")], "absent", False)
    (trash,) = location.iterdir()
    assert trash.name.startswith(".trash.golden.")


@pytest.mark.parametrize("check", [False, True], ids=["real", "check"])
def test_locations(check: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = tmp_path / "old", tmp_path / "deep/new"
    (old / ".trash.web.1/etc").mkdir(parents=True)
    arguments = {"locations": [{"location": str(old)}, {"location": str(new)}]}
    result = run_module("directory_location", capsys, arguments, check=check)
    assert [item["changed"] for item in result["items"]] == [False, True]
    assert new.is_dir() is not check
    assert bool(list(old.iterdir())) is check
    assert run_module("directory_location", capsys, arguments)["changed"] is check
    assert not run_module("directory_location", capsys, arguments)["changed"]


def test_bad_location(capsys: pytest.CaptureFixture[str]) -> None:
    result = run_module("directory_location", capsys, {"locations": [{"location": "/"}]})
    assert "not the root directory" in result["msg"]


@pytest.mark.parametrize("measure_s", [0, 30])
def test_list(measure_s: int, location: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (location / "golden/data").write_bytes(os.urandom(3 << 20))
    (location / ".new.x").mkdir()
    (location / "file").write_text("")
    arguments = {"locations": [{"location": str(location)}], "measure_s": measure_s}
    (item,) = run_module("directory_volume_info", capsys, arguments)["items"]
    assert (item["name"], item["path"]) == ("golden", str(location / "golden"))
    assert item["size_mib"] > 0
    assert item["used_mib"] is None if measure_s == 0 else item["used_mib"] >= 3


def test_list_of_a_missing_location(capsys: pytest.CaptureFixture[str]) -> None:
    result = run_module("directory_volume_info", capsys, {"locations": [{"location": "/nowhere/x"}]})
    assert "run the role's prepare" in result["msg"]


def test_space_is_that_of_the_file_system(location: Path, capsys: pytest.CaptureFixture[str]) -> None:
    locations = [{"location": str(location)}, {"location": "/nowhere/x"}]
    found, missing = run_module("directory_volume_info", capsys, {"locations": locations, "space": True})["items"]
    lines = subprocess.run(
        ["df", "--block-size=1M", "--output=size,used,avail,pcent,ipcent", str(location)],
        capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    size, used, free, percent, inodes = (int(word.rstrip("%").replace("-", "0")) for word in lines[1].split())
    assert found["what"] == f"the file system of {location}"
    assert [found["total_mib"], found["used_mib"], found["free_mib"]] == pytest.approx([size, used, free], abs=64)
    assert found["used_percent"] == pytest.approx(max(percent, inodes), abs=1.5)
    assert missing == {
        "location": "/nowhere/x",
        "problem": "Location /nowhere/x does not exist on this server; run the role's prepare.",
    }
