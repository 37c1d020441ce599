"""Quotas of directory volumes, with a kernel that keeps them in memory; tests/e2e has real ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.openqrm.datacenter.plugins.module_utils import project_quotas
from ansible_collections.openqrm.datacenter.plugins.module_utils.directories import Directories
from ansible_collections.openqrm.datacenter.plugins.module_utils.project_quotas import (
    DISK_QUOTA,
    FS_XFLAG_PROJINHERIT,
    FSXATTR,
    Q_XSETQLIM,
    ProjectQuotas,
)
from ansible_collections.openqrm.datacenter.plugins.module_utils.volumes import (
    VolumeError,
    ensure_volumes,
    list_volumes,
)

from tests.unit.plugins.module_cases import run_module


class Kernel:
    """The limits of projects, in blocks of 512 bytes, and the projects of directories, by inode."""

    def __init__(self) -> None:
        self.limits: dict[int, int] = {}
        self.used: dict[int, int] = {}
        self.projects: dict[int, tuple[int, int]] = {}

    def call(self, _descriptor: int, command: int, project: int, record: bytearray) -> None:
        """quotactl_fd(2)."""
        if command >> 8 == Q_XSETQLIM:
            fields = DISK_QUOTA.unpack(record)
            assert fields[:4] == (1, 2, 12, project)
            self.limits[project] = fields[4]
        elif project in self.limits or project in self.used or project == 0:
            limit, used = self.limits.get(project, 0), self.used.get(project, 0)
            record[:] = DISK_QUOTA.pack(1, 2, 0, project, limit, limit, 0, 0, used, 1)
        else:
            raise FileNotFoundError(project)

    def ioctl(self, path: Path, request: int, record: bytearray) -> bytearray:
        """The attributes of a directory."""
        inode = Path(path).stat().st_ino
        if request == project_quotas.FS_IOC_FSSETXATTR:
            fields = FSXATTR.unpack(record)
            self.projects[inode] = (fields[0], fields[3])
        flags, project = self.projects.get(inode, (0, 0))
        record[:] = FSXATTR.pack(flags, 0, 0, project, 0)
        return record


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    made = Kernel()
    monkeypatch.setattr(project_quotas, "_ioctl", made.ioctl)
    return made


@pytest.fixture
def backend(kernel: Kernel) -> Directories:
    return Directories(quota="project", quotas=ProjectQuotas(kernel.call))


def sizes(backend: Directories, location: Path) -> dict[str, tuple[int, int]]:
    found = list_volumes(backend, [{"location": str(location)}], 30)
    return {item["name"]: (item["size_mib"], item["used_mib"]) for item in found}


def volume(location: Path, name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "location": str(location), **more}


def test_a_size_is_the_limit_of_a_project(backend: Directories, kernel: Kernel, tmp_path: Path) -> None:
    new = [volume(tmp_path, "a", size_mib=10), volume(tmp_path, "b", size_mib=20), volume(tmp_path, "free")]
    assert ensure_volumes(backend, new, "present", check_mode=True)["changed"]
    assert (list(tmp_path.iterdir()), kernel.limits) == ([], {})
    assert ensure_volumes(backend, new, "present", check_mode=False)["changed"]
    assert not ensure_volumes(backend, new, "present", check_mode=False)["changed"]
    flags, project = kernel.projects[(tmp_path / "a").stat().st_ino]
    assert flags & FS_XFLAG_PROJINHERIT
    kernel.used[project] = 6 << 11
    found = sizes(backend, tmp_path)
    assert (found["a"], found["b"]) == ((10, 6), (20, 0))
    assert found["free"][0] > 20, "without a limit it is the size of the file system"
    assert len({project for _, project in kernel.projects.values()}) == 3


def test_clones_have_the_limit_of_their_source_and_grow(backend: Directories, tmp_path: Path) -> None:
    ensure_volumes(backend, [volume(tmp_path, "golden", size_mib=10)], "present", check_mode=False)
    (tmp_path / "golden/file").write_text("kept")
    (tmp_path / "golden").chmod(0o700)
    ensure_volumes(backend, [volume(tmp_path, "web", source="golden")], "present", check_mode=False)
    assert ((tmp_path / "web/file").read_text(), (tmp_path / "web").stat().st_mode & 0o777) == ("kept", 0o700)
    larger = [volume(tmp_path, "web", size_mib=30)]
    assert ensure_volumes(backend, larger, "resized", check_mode=True)["changed"]
    assert sizes(backend, tmp_path)["web"][0] == 10
    assert ensure_volumes(backend, larger, "resized", check_mode=False)["changed"]
    assert not ensure_volumes(backend, larger, "resized", check_mode=False)["changed"]
    assert {name: size for name, (size, _) in sizes(backend, tmp_path).items()} == {"golden": 10, "web": 30}
    with pytest.raises(VolumeError, match="cannot shrink"):
        ensure_volumes(backend, [volume(tmp_path, "web", size_mib=20)], "resized", check_mode=False)


def test_limits_go_with_their_volumes(backend: Directories, kernel: Kernel, tmp_path: Path) -> None:
    ensure_volumes(backend, [volume(tmp_path, "a", size_mib=10)], "present", check_mode=False)
    ensure_volumes(backend, [volume(tmp_path, "a")], "absent", check_mode=False)
    assert set(kernel.limits.values()) == {0}


def test_a_volume_without_a_project_gets_no_limit_later(backend: Directories, tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    with pytest.raises(VolumeError, match="Volume old was made without a quota"):
        ensure_volumes(backend, [volume(tmp_path, "old", size_mib=5)], "resized", check_mode=True)


def refuse(*_arguments: object) -> None:
    raise OSError(3, "No such process")


def test_a_file_system_without_quotas_is_named_before_anything_is_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = Directories(quota="project", quotas=ProjectQuotas(refuse))
    known = {"xfs": "a remount does not turn it on", "ext4": "tune2fs -O project", "tmpfs": "keep the volumes on XFS"}
    for kind, remedy in known.items():
        monkeypatch.setattr(project_quotas, "file_system_of", lambda _path, kind=kind: (kind, "/srv"))
        for state in ("present", "resized"):
            (tmp_path / "there").mkdir(exist_ok=True)
            name = "new" if state == "present" else "there"
            with pytest.raises(VolumeError, match=f"is on {kind} at /srv, which keeps no project quotas") as caught:
                ensure_volumes(backend, [volume(tmp_path, name, size_mib=5)], state, check_mode=True)
            assert remedy in str(caught.value)
        with pytest.raises(VolumeError, match="keeps no project quotas"):
            backend.compare_location(tmp_path / "not/yet/there")
    assert [entry.name for entry in tmp_path.iterdir()] == ["there"]


def test_the_real_kernel_is_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever file system this is on: it keeps no project quotas, or the volume gets one."""
    arguments = {"volumes": [volume(tmp_path, "a", size_mib=10)], "quota": "project"}
    result = run_module("directory_volume", capsys, arguments)
    kind, mount = project_quotas.file_system_of(tmp_path)
    if ProjectQuotas().are_on(tmp_path):
        assert result["items"][0]["name"] == "a"
    else:
        assert f"is on {kind} at {mount}, which keeps no project quotas" in result["msg"]
        assert list(tmp_path.iterdir()) == []
