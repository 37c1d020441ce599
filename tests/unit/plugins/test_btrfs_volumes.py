"""Cases of the modules btrfs_volume, btrfs_volume_info and btrfs_location, on a file system of their own."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.openqrm.datacenter.plugins.module_utils.btrfs_volumes import Btrfs
from ansible_collections.openqrm.datacenter.plugins.module_utils.commands import CommandError, run
from ansible_collections.openqrm.datacenter.plugins.module_utils.volumes import ensure_volumes

from tests.unit.plugins.module_cases import run_module


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The mount point of a new btrfs."""
    directory = tmp_path_factory.mktemp("btrfs")
    with (directory / "disk").open("wb") as stream:
        stream.truncate(512 << 20)
    (directory / "mount").mkdir()
    subprocess.run(["mkfs.btrfs", "-q", str(directory / "disk")], check=True, timeout=60, capture_output=True)
    subprocess.run(["mount", "-o", "loop", str(directory / "disk"), str(directory / "mount")], check=True, timeout=60)
    try:
        yield directory / "mount"
    finally:
        subprocess.run(["umount", str(directory / "mount")], check=True, timeout=60)


@pytest.fixture
def location(disk: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A location with quotas and the volume golden, whose limit is 64 MiB."""
    location = Path(tempfile.mkdtemp(dir=disk))
    run_module("btrfs_location", capsys, {"locations": [{"location": str(location)}]})
    run_module("btrfs_volume", capsys, {"volumes": [volume(location, "golden", size_mib=64)]})
    (location / "golden/hostname").write_text("golden\n")
    return location


def volume(location: Path, name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "location": str(location), **more}


def listed(location: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, Any]]:
    items = run_module("btrfs_volume_info", capsys, {"locations": [{"location": str(location)}]})["items"]
    return {item["name"]: item for item in items}


# arguments of the volume, state, whether it changes, its size and whether it is a snapshot afterwards (None: gone)
CASES: dict[str, tuple[dict[str, Any], str, bool, tuple[int, bool] | None]] = {
    "new": ({"name": "new", "size_mib": 32}, "present", True, (32, False)),
    "new without a limit": ({"name": "new"}, "present", True, (512, False)),
    "there already": ({"name": "golden", "size_mib": 32}, "present", False, (64, False)),
    "clone": ({"name": "copy", "source": "golden"}, "present", True, (64, False)),
    "snapshot": ({"name": "copy", "source": "golden", "read_only": True}, "present", True, (64, True)),
    "grown": ({"name": "golden", "size_mib": 128}, "resized", True, (128, False)),
    "large already": ({"name": "golden", "size_mib": 64}, "resized", False, (64, False)),
    "removed": ({"name": "golden"}, "absent", True, None),
    "gone already": ({"name": "other"}, "absent", False, None),
}


@pytest.mark.parametrize("check", [False, True], ids=["real", "check"])
@pytest.mark.parametrize("case", CASES)
def test_volumes(case: str, check: bool, location: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options, state, changed, expected = CASES[case]
    before = listed(location, capsys)
    arguments = {"volumes": [options | {"location": str(location)}], "state": state}
    result = run_module("btrfs_volume", capsys, arguments, check=check)
    assert [item["changed"] for item in result["items"]] == [changed]
    found = listed(location, capsys)
    if check:
        assert found == before
        return
    item = found.get(options["name"])
    assert (item and (item["size_mib"], item["read_only"])) == expected
    assert item is None or item["source"] == options.get("source")
    assert not run_module("btrfs_volume", capsys, arguments)["changed"]
    assert not [entry for entry in location.iterdir() if entry.name.startswith(".")]


def test_copies_are_apart_and_snapshots_cannot_be_written(location: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = [volume(location, "copy", source="golden"), volume(location, "monday", source="golden", read_only=True)]
    run_module("btrfs_volume", capsys, {"volumes": wanted})
    (location / "copy/hostname").write_text("copy\n")
    assert (location / "golden/hostname").read_text() == "golden\n"
    with pytest.raises(OSError, match="Read-only"):
        (location / "monday/hostname").write_text("")
    run_module("btrfs_volume", capsys, {"volumes": [volume(location, "again", source="monday")]})
    (location / "again/hostname").write_text("again\n")


def test_an_archive_fills_a_new_volume(location: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive = tmp_path / "a.tar.zst"
    subprocess.run(["tar", "-C", str(location / "golden"), "-acf", str(archive), "."], check=True, timeout=60)
    run_module("btrfs_volume", capsys, {"volumes": [volume(location, "web", archive=str(archive))]})
    assert (location / "web/hostname").read_text() == "golden\n"


def test_a_volume_goes_with_the_subvolumes_that_are_in_it(location: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("data", "data/deep"):
        run(["btrfs", "subvolume", "create", str(location / "golden" / name)])
    assert run_module("btrfs_volume", capsys, {"volumes": [volume(location, "golden")], "state": "absent"})["changed"]
    assert list(location.iterdir()) == []


BAD: dict[str, tuple[dict[str, Any], str, str]] = {
    "path as name": ({"name": "../x"}, "present", "not a volume name"),
    "missing source": ({"name": "a", "source": "b"}, "present", "its source b does not exist"),
    "no subvolume": ({"name": "plain"}, "present", "exists and is no volume"),
    "not on btrfs": ({"name": "a", "location": "/proc"}, "present", "is not on btrfs"),
    "shrinking": ({"name": "golden", "size_mib": 32}, "resized", "has 64 MiB and cannot shrink to 32 MiB"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_volume_fails_before_anything_is_touched(
    case: str, location: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options, state, expected = BAD[case]
    (location / "plain").mkdir()
    good = [volume(location, "good")] if state == "present" else []
    arguments = {"volumes": [*good, {"location": str(location)} | options], "state": state}
    assert expected in run_module("btrfs_volume", capsys, arguments)["msg"]
    assert sorted(entry.name for entry in location.iterdir()) == ["golden", "plain"]


@pytest.mark.parametrize("program", ["limit", "sync"])
def test_what_fails_leaves_nothing(program: str, location: Path) -> None:
    def command(argv: list[str], timeout_s: int = 60) -> str:
        if program in argv:
            raise CommandError(argv, 1, "No space left on device")
        return run(argv, timeout_s)

    with pytest.raises(CommandError, match="No space left"):
        wanted = [volume(location, "one"), volume(location, "copy", source="golden")]
        ensure_volumes(Btrfs(command=command), wanted, "present", False)
    assert [entry.name for entry in location.iterdir()] == ["golden"]


def test_locations(disk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(["btrfs", "quota", "disable", str(disk)])
    location = disk / "deep/er"
    wanted = {"locations": [{"location": str(location)}]}
    checked = run_module("btrfs_location", capsys, wanted, check=True)
    assert checked["changed"]
    assert not location.exists()
    assert run_module("btrfs_location", capsys, wanted | {"quota": "none"})["changed"]
    assert not run_module("btrfs_location", capsys, wanted | {"quota": "none"})["changed"]
    sized = {"volumes": [volume(location, "web", size_mib=16)]}
    assert "size_mib" not in run_module("btrfs_volume", capsys, sized)["items"][0]
    assert "has no quotas" in run_module("btrfs_volume", capsys, sized | {"state": "resized"})["msg"]
    assert listed(location, capsys)["web"]["used_mib"] is None
    run(["btrfs", "subvolume", "create", str(location / ".trash.web.1")])
    assert run_module("btrfs_location", capsys, wanted)["changed"]
    assert not run_module("btrfs_location", capsys, wanted)["changed"]
    assert [entry.name for entry in location.iterdir()] == ["web"]
    assert run_module("btrfs_volume", capsys, sized | {"state": "resized"})["changed"]


def test_a_location_must_be_on_btrfs(capsys: pytest.CaptureFixture[str]) -> None:
    result = run_module("btrfs_location", capsys, {"locations": [{"location": "/proc/volumes"}]})
    assert "Location /proc/volumes is not on btrfs" in result["msg"]
