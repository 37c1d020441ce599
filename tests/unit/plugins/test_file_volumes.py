"""Cases of the modules file_volume and file_volume_info, and of the file systems inside block volumes."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.openqrm.datacenter.plugins.module_utils import block_volumes, file_volumes
from ansible_collections.openqrm.datacenter.plugins.module_utils.block_volumes import Contents, read_file_system, users
from ansible_collections.openqrm.datacenter.plugins.module_utils.commands import CommandError, run
from ansible_collections.openqrm.datacenter.plugins.module_utils.file_volumes import Files
from ansible_collections.openqrm.datacenter.plugins.module_utils.volumes import VolumeError, ensure_volumes

from tests.unit.plugins.module_cases import run_module

MIB = 1 << 20


@pytest.fixture
def location(tmp_path: Path) -> Path:
    """A location with the volume golden of 8 MiB, of which 1 MiB is data, and a snapshot of it."""
    (tmp_path / "volumes").mkdir()
    golden = tmp_path / "volumes/golden.raw"
    golden.write_bytes(b"x" * MIB)
    os.truncate(golden, 8 * MIB)
    golden.chmod(0o600)
    (tmp_path / "volumes/monday.raw").write_bytes(b"y" * MIB)
    (tmp_path / "volumes/monday.raw").chmod(0o400)
    return tmp_path / "volumes"


def volume(location: Path, name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "location": str(location), **more}


# arguments of the volume, state, whether it changes, size and mode of its file afterwards (None: it has none)
CASES: dict[str, tuple[dict[str, Any], str, bool, tuple[int, int] | None]] = {
    "new": ({"name": "new", "size_mib": 4}, "present", True, (4, 0o600)),
    "there already": ({"name": "golden"}, "present", False, (8, 0o600)),
    "clone": ({"name": "copy", "source": "golden"}, "present", True, (8, 0o600)),
    "clone of a snapshot": ({"name": "copy", "source": "monday"}, "present", True, (1, 0o600)),
    "snapshot": ({"name": "copy", "source": "golden", "read_only": True}, "present", True, (8, 0o400)),
    "snapshot there already": ({"name": "monday", "source": "golden", "read_only": True}, "present", False, (1, 0o400)),
    "grown": ({"name": "golden", "size_mib": 9}, "resized", True, (9, 0o600)),
    "large already": ({"name": "golden", "size_mib": 8}, "resized", False, (8, 0o600)),
    "removed": ({"name": "golden"}, "absent", True, None),
    "gone already": ({"name": "other"}, "absent", False, None),
}


@pytest.mark.parametrize("check", [False, True], ids=["real", "check"])
@pytest.mark.parametrize("case", CASES)
def test_volumes(case: str, check: bool, location: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options, state, changed, expected = CASES[case]
    path = location / f"{options['name']}.raw"
    before = state_of(path)
    arguments = {"volumes": [options | {"location": str(location)}], "state": state}
    (item,) = run_module("file_volume", capsys, arguments, check=check)["items"]
    assert (item["path"], item["changed"]) == (str(path), changed)
    if expected:
        assert item["size_mib"] == expected[0]
    assert state_of(path) == (before if check else expected)
    assert not [entry for entry in location.iterdir() if entry.name.startswith(".")]
    if not check:
        assert not run_module("file_volume", capsys, arguments)["changed"]


def state_of(path: Path) -> tuple[int, int] | None:
    return (path.stat().st_size // MIB, path.stat().st_mode & 0o777) if path.exists() else None


@pytest.mark.parametrize("shares", [True, False])
def test_a_copy_is_what_its_source_is_and_sparse(
    shares: bool, location: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if not shares:
        monkeypatch.setattr(file_volumes, "share_blocks", lambda _source, _target: False)
    run_module("file_volume", capsys, {"volumes": [volume(location, "copy", source="golden")]})
    copy = location / "copy.raw"
    assert copy.read_bytes() == (location / "golden.raw").read_bytes()
    assert copy.stat().st_blocks * 512 < 2 * MIB


BAD: dict[str, tuple[dict[str, Any], str, str]] = {
    "no size": ({"name": "a"}, "present", "size_mib is missing; a new volume"),
    "no new size": ({"name": "golden"}, "resized", "size_mib is missing; give the new size"),
    "shrinking": ({"name": "golden", "size_mib": 4}, "resized", "has 8 MiB and cannot shrink to 4 MiB"),
    "resizing none": ({"name": "a", "size_mib": 4}, "resized", "create it first"),
    "resizing a snapshot": ({"name": "monday", "size_mib": 4}, "resized", "is a snapshot, which keeps its size"),
    "snapshot in its place": ({"name": "golden", "source": "monday", "read_only": True}, "present", "is no snapshot"),
    "in the way": ({"name": "dir", "size_mib": 4}, "present", "exists and is no volume"),
    "path as name": ({"name": "../x", "size_mib": 4}, "present", "not a volume name"),
    "missing source": ({"name": "a", "source": "b"}, "present", "its source b does not exist"),
    "too small": ({"name": "a", "size_mib": 64, "archive": "{archive}"}, "present", "64 MiB is too small for xfs"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_volume_fails_before_anything_is_touched(
    case: str, location: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options, state, expected = BAD[case]
    archive = location.parent / "a.tar"
    archive.write_text("")
    (location / "dir.raw").mkdir()
    options = {key: str(archive) if value == "{archive}" else value for key, value in options.items()}
    good = volume(location, "monday" if state == "absent" else "good", size_mib=4)
    volumes = [good, volume(location, **options)] if state == "present" else [volume(location, **options)]
    result = run_module("file_volume", capsys, {"volumes": volumes, "state": state, "filesystem": "xfs"})
    assert result["failed"]
    assert expected in result["msg"]
    assert sorted(entry.name for entry in location.iterdir()) == ["dir.raw", "golden.raw", "monday.raw"]
    assert state_of(location / "golden.raw") == (8, 0o600)


@pytest.mark.parametrize("state", ["absent", "resized"])
def test_a_volume_in_use_is_left(state: str, location: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = location / "golden.raw"
    subprocess.run(["mkfs.ext4", "-q", "-F", str(path)], check=True, timeout=60)
    arguments = {"volumes": [volume(location, "golden", size_mib=32)], "state": state}
    with path.open("rb"):
        result = run_module("file_volume", capsys, arguments)
    assert f"is in use by process {os.getpid()}" in result["msg"]
    assert run_module("file_volume", capsys, arguments)["changed"]


def test_what_was_not_unmounted_is_not_grown(location: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = location / "golden.raw"
    subprocess.run(["mkfs.ext4", "-q", "-F", str(path)], check=True, timeout=60)
    with path.open("r+b") as stream:
        stream.seek(1024 + 0x60)
        flags = stream.read(1)[0]
        stream.seek(1024 + 0x60)
        stream.write(bytes([flags | 4]))  # the journal needs recovery
    result = run_module(
        "file_volume", capsys, {"volumes": [volume(location, "golden", size_mib=9)], "state": "resized"}
    )
    assert "a file system that was not unmounted" in result["msg"]
    assert state_of(path) == (8, 0o600)


def test_users_in_the_kernel_are_found(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.touch()
    for number, (who, pattern) in enumerate(block_volumes.KERNEL_USERS.items()):
        root = tmp_path / str(number)
        file = root / pattern.replace("*", "x")
        file.parent.mkdir(parents=True)
        file.write_text(f"{disk}\n")
        assert users([disk, tmp_path / "other"], root) == {str(disk): who}


@pytest.mark.parametrize(("kind", "size_mib"), [("ext4", 64), ("xfs", 320)])
def test_a_file_system_is_filled_and_grows_with_its_volume(
    kind: str, size_mib: int, location: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "content").mkdir()
    (tmp_path / "content/hostname").write_text("golden\n")
    archive = tmp_path / "content.tar"
    subprocess.run(["tar", "-C", str(tmp_path / "content"), "-cf", str(archive), "."], check=True, timeout=60)
    new = volume(location, "web", size_mib=size_mib, archive=str(archive))
    assert run_module("file_volume", capsys, {"volumes": [new], "filesystem": kind})["changed"]
    path = location / "web.raw"
    assert read_file_system(path) == (kind, size_mib, False)
    larger = volume(location, "web", size_mib=2 * size_mib)
    os.truncate(path, 2 * size_mib * MIB)  # as a run left it that was killed before the file system had grown
    assert run_module("file_volume", capsys, {"volumes": [larger], "state": "resized"})["changed"]
    assert not run_module("file_volume", capsys, {"volumes": [larger], "state": "resized"})["changed"]
    assert read_file_system(path) == (kind, 2 * size_mib, False)
    assert mounted(path, kind, "cat", f"{block_volumes.MOUNT_POINT}/hostname") == "golden\n"
    assert str(path) not in Path("/proc/mounts").read_text()


def mounted(path: Path, kind: str, *argv: str) -> str:
    """What a command prints while the volume is mounted for it."""
    printed: list[str] = []

    def command(argv: list[str], timeout_s: int) -> None:
        printed.append(run(argv, timeout_s))

    Contents(kind, 60, command)._mounted(path, kind, *argv)
    return printed[0]


def failing(program: str) -> Callable[..., str]:
    """A command runner that fails where it is to run `program`."""

    def command(argv: list[str], timeout_s: int = 60) -> str:
        if program in argv:
            raise CommandError(argv, 1, "No space left on device")
        return run(argv, timeout_s)

    return command


@pytest.mark.parametrize("program", ["mkfs.ext4", "tar", "sync"])
def test_what_fails_leaves_nothing(program: str, location: Path, tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(b"\0" * 10240)
    new = volume(location, "web", size_mib=8, archive=str(tmp_path / "a.tar"))
    with pytest.raises(CommandError, match="No space left"):
        ensure_volumes(Files(command=failing(program)), [volume(location, "first", size_mib=1), new], "present", False)
    assert sorted(entry.name for entry in location.iterdir()) == ["golden.raw", "monday.raw"]


def test_a_snapshot_that_is_a_copy_needs_a_source_at_rest(location: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_volumes, "shares_blocks", lambda _location: False)
    wanted = [volume(location, "copy", source="golden", read_only=True)]
    with (location / "golden.raw").open("rb"), pytest.raises(VolumeError, match="Volume golden is in use by process"):
        ensure_volumes(Files(), wanted, "present", False)
    assert ensure_volumes(Files(), wanted, "present", False)["changed"]


def test_list(location: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (location / ".new.x").touch()
    (location / "notes.txt").touch()
    (location / "link.raw").symlink_to("golden.raw")
    items = run_module("file_volume_info", capsys, {"locations": [{"location": str(location)}]})["items"]
    known = {"location": str(location), "presents": "block", "source": None}
    assert items == [
        {"name": "golden", "path": f"{location}/golden.raw", "size_mib": 8, "used_mib": 1, "read_only": False} | known,
        {"name": "monday", "path": f"{location}/monday.raw", "size_mib": 1, "used_mib": 1, "read_only": True} | known,
    ]


def test_list_of_a_missing_location(capsys: pytest.CaptureFixture[str]) -> None:
    result = run_module("file_volume_info", capsys, {"locations": [{"location": "/nowhere/x"}]})
    assert "run the role's prepare" in result["msg"]
