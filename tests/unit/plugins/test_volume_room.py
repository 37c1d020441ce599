"""Cases of the check that new volumes fit before the first one is made, on file systems that are really small."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.openqrm.datacenter.plugins.module_utils import path_volumes
from ansible_collections.openqrm.datacenter.plugins.module_utils.archives import unpacked_mib
from ansible_collections.openqrm.datacenter.plugins.module_utils.commands import CommandError

from tests.unit.plugins.module_cases import run_module

MIB = 1 << 20
SIZE_MIB = 20
GOLDEN_MIB = 8


@pytest.fixture
def location(tmp_path: Path) -> Iterator[Path]:
    """A location on a file system of its own of 20 MiB that cannot share blocks; 8 MiB of it are the volume golden,
    as a directory and as a sparse file."""
    place = tmp_path / "volumes"
    place.mkdir()
    options = f"size={SIZE_MIB}m,mode=755"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], check=True, timeout=60)
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True, timeout=60)


def golden_directory(location: Path) -> str:
    (location / "golden/usr").mkdir(parents=True)
    (location / "golden/usr/data").write_bytes(os.urandom(GOLDEN_MIB * MIB))
    os.link(location / "golden/usr/data", location / "golden/usr/same")
    return "directory_volume"


def golden_file(location: Path) -> str:
    path = location / "golden.raw"
    path.write_bytes(os.urandom(GOLDEN_MIB * MIB))
    os.truncate(path, 4096 * MIB)
    path.chmod(0o600)
    return "file_volume"


GOLDEN = {"directory": golden_directory, "file": golden_file}


def clones(location: Path, *names: str) -> dict[str, Any]:
    return {"volumes": [{"name": name, "location": str(location), "source": "golden"} for name in names]}


def names(location: Path) -> list[str]:
    return sorted(entry.name.removesuffix(".raw") for entry in location.iterdir())


@pytest.mark.parametrize("check", [False, True], ids=["real", "check"])
@pytest.mark.parametrize("kind", GOLDEN)
def test_copies_that_do_not_all_fit_are_refused_before_the_first(
    kind: str, check: bool, location: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module = GOLDEN[kind](location)
    refused = run_module(module, capsys, clones(location, "a", "b"), check=check)
    assert refused["failed"]
    expected = (
        rf"Volumes a, b need 1[67] MiB, and the file system of {location} has 1[12] MiB free; remove volumes or give"
    )
    assert re.match(expected, refused["msg"])
    assert names(location) == ["golden"]
    assert run_module(module, capsys, clones(location, "a"), check=check)["changed"]
    if not check:
        assert run_module(module, capsys, clones(location, "a", "golden"))["changed"] is False


def test_many_are_not_all_named(location: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module = golden_file(location)
    message = run_module(module, capsys, clones(location, *(f"v{number}" for number in range(40))))["msg"]
    assert message.startswith(f"Volumes v0, v1, v2, v3, v4 and 35 more need {40 * GOLDEN_MIB} MiB, and ")


@pytest.mark.parametrize("kind", GOLDEN)
def test_what_shares_blocks_is_not_refused(
    kind: str, location: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = GOLDEN[kind](location)
    monkeypatch.setattr(path_volumes, "shares_blocks", lambda _location: True)
    many = clones(location, *(f"v{number}" for number in range(40)))
    assert run_module(module, capsys, many, check=True)["changed"]


def test_sparse_volumes_may_be_larger_than_the_file_system(location: Path, capsys: pytest.CaptureFixture[str]) -> None:
    volumes = [{"name": name, "location": str(location), "size_mib": 1 << 20} for name in ("a", "b")]
    assert run_module("file_volume", capsys, {"volumes": volumes})["changed"]
    grown = [volume | {"size_mib": 2 << 20} for volume in volumes]
    assert run_module("file_volume", capsys, {"volumes": grown, "state": "resized"})["changed"]


@pytest.mark.parametrize("kind", GOLDEN)
def test_what_a_killed_run_has_left_counts_as_room(
    kind: str, location: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module = GOLDEN[kind](location)
    left = location / ".new.a"
    file = left
    if kind == "directory":
        left.mkdir()
        file = left / "half"
    file.write_bytes(os.urandom(11 * MIB))
    assert run_module(module, capsys, clones(location, "a"))["changed"]
    assert names(location) == ["a", "golden"]


def archive(tmp_path: Path, mib: int) -> Path:
    """A compressed archive whose files, one of them mostly a hole, take that much when it is unpacked."""
    root = tmp_path / "root"
    root.mkdir()
    (root / "zeros and\nmore").write_bytes(bytes(mib * MIB))
    (root / "hole").touch()
    os.truncate(root / "hole", 4096 * MIB)
    made = tmp_path / "root.tar.zst"
    argv = ["tar", "--zstd", "-C", str(root), "-cf", str(made), "zeros and\nmore"]
    subprocess.run(argv, check=True, timeout=60)
    return made


def test_the_size_of_what_is_in_an_archive(tmp_path: Path) -> None:
    made = archive(tmp_path, 20)
    assert made.stat().st_size < MIB
    assert 20 <= unpacked_mib(made, 60) <= 21
    with_hole = tmp_path / "hole.tar"
    argv = ["tar", "--sparse", "-C", str(tmp_path / "root"), "-cf", str(with_hole), "."]
    subprocess.run(argv, check=True, timeout=60)
    assert 20 <= unpacked_mib(with_hole, 60) <= 21
    (tmp_path / "junk").write_bytes(b"junk" * 1000)
    with pytest.raises(CommandError, match="tar archive"):
        unpacked_mib(tmp_path / "junk", 60)


@pytest.mark.parametrize("check", [False, True], ids=["real", "check"])
def test_an_archive_that_does_not_fit_unpacked_is_refused(
    check: bool, location: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = str(archive(tmp_path, 15))
    volumes = [{"name": name, "location": str(location), "archive": made} for name in ("a", "b")]
    refused = run_module("directory_volume", capsys, {"volumes": volumes}, check=check)
    assert "Volumes a, b need 32 MiB, and the file system" in refused["msg"]
    assert names(location) == []
    assert run_module("directory_volume", capsys, {"volumes": volumes[:1]}, check=check)["changed"]


def test_the_size_that_the_controller_tells_counts_where_the_archive_is_not_there(
    location: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    volume = {"name": "a", "location": str(location), "archive": "/controller/a.tar"}
    for size_mib, refused in ((SIZE_MIB + 1, True), (SIZE_MIB - 1, False)):
        arguments = {"volumes": [volume], "archive_sizes_mib": {"/controller/a.tar": size_mib}}
        assert run_module("directory_volume", capsys, arguments, check=True).get("failed", False) is refused


def test_an_archive_that_is_none_fails_before_anything_is_touched(
    location: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "junk").write_bytes(b"junk" * 1000)
    volume = {"name": "a", "location": str(location), "archive": str(tmp_path / "junk")}
    assert run_module("directory_volume", capsys, {"volumes": [volume]})["failed"]
    assert names(location) == []
