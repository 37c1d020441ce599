"""Cases of the module kernel_files: kernels in roots that are directories or file systems on block volumes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.openqrm.datacenter.plugins.module_utils import kernel_build

from tests.unit.plugins.module_cases import run_module

ROOT = Path(__file__).parents[3]
DEBIAN, EL = "6.1.0-13-amd64", "5.14.0-503.el9.x86_64"


def add_kernel(root: Path, version: str, *, beside: bool = False, base: str = "usr/lib/modules") -> None:
    """A kernel as Debian has it, or in its module tree as the EL family does."""
    modules = root / base / version
    (modules / "kernel").mkdir(parents=True)
    (modules / "kernel/a.ko").write_text("a\n")
    path = modules / "vmlinuz" if beside else root / f"boot/vmlinuz-{version}"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"{version}\n")


def pack(
    capsys: pytest.CaptureFixture[str], root: Path, tmp_path: Path, version: str = "", *, check: bool = False
) -> dict[str, Any]:
    image = {
        "name": "web",
        "path": str(root),
        "presents": "filesystem",
        "version": version,
        "archive": "/c/web.tar.zst",
    }
    return run_module("kernel_files", capsys, {"images": [image], "staging": str(tmp_path)}, check=check)


def members(archive: str) -> list[str]:
    done = subprocess.run(
        ["tar", "--list", f"--file={archive}"], check=True, capture_output=True, text=True, timeout=60
    )
    return [name for name in done.stdout.split() if not name.endswith("/")]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "root"
    (path / "usr/lib").mkdir(parents=True)
    (path / "lib").symlink_to("usr/lib")
    (path / "etc").mkdir()
    (path / "etc/shadow").write_text("not for an archive\n")
    return path


def test_the_kernel_of_a_root_is_packed_and_can_be_built_from(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add_kernel(root, DEBIAN)
    assert pack(capsys, root, tmp_path, check=True)["items"][0]["version"] == DEBIAN
    assert not list(tmp_path.glob("*.zst"))
    (item,) = pack(capsys, root, tmp_path)["items"]
    assert (item["version"], item["archive"]) == (DEBIAN, "/c/web.tar.zst")
    assert members(item["packed"]) == [f"boot/vmlinuz-{DEBIAN}", f"usr/lib/modules/{DEBIAN}/kernel/a.ko"]
    first = Path(item["packed"]).read_bytes()
    assert pack(capsys, root, tmp_path)["items"] == [item]
    assert Path(item["packed"]).read_bytes() == first, "the same files are the same archive, which is not built again"
    source = kernel_build.archive_source(kernel_build.run_command, Path(item["packed"]))
    assert (source.version, source.members) == (DEBIAN, (f"boot/vmlinuz-{DEBIAN}", f"usr/lib/modules/{DEBIAN}/"))


@pytest.mark.parametrize("base", ["usr/lib/modules", "lib/modules"])
def test_a_kernel_beside_its_modules(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], base: str) -> None:
    if base == "lib/modules":
        (root / "lib").unlink()
    add_kernel(root, EL, beside=True, base=base)
    (item,) = pack(capsys, root, tmp_path)["items"]
    assert members(item["packed"]) == [f"{base}/{EL}/kernel/a.ko", f"{base}/{EL}/vmlinuz"]
    assert kernel_build.archive_source(kernel_build.run_command, Path(item["packed"])).version == EL


def test_one_of_several_is_named(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add_kernel(root, DEBIAN)
    add_kernel(root, EL, beside=True)
    assert f"found: {EL}, {DEBIAN}; name the version" in pack(capsys, root, tmp_path)["msg"]
    assert "expected one kernel 6.6 as boot/vmlinuz-VERSION" in pack(capsys, root, tmp_path, "6.6")["msg"]
    assert pack(capsys, root, tmp_path, EL)["items"][0]["version"] == EL


def test_links_do_not_lead_out_of_the_root(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add_kernel(tmp_path / "outside", DEBIAN)
    (root / "usr/lib/modules").symlink_to(tmp_path / "outside/usr/lib/modules")
    (root / "boot").symlink_to(tmp_path / "outside/boot")
    assert "found: none" in pack(capsys, root, tmp_path)["msg"]
    (root / "usr/lib/modules").unlink()
    (root / f"usr/lib/modules/{DEBIAN}").mkdir(parents=True)
    assert "found: none" in pack(capsys, root, tmp_path)["msg"]


def test_a_volume_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "there is no directory" in pack(capsys, tmp_path / "none", tmp_path)["msg"]


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_a_block_volume_is_read_without_a_change(root: Path, tmp_path: Path, kind: str) -> None:
    add_kernel(root, DEBIAN)
    disk = tmp_path / "web.raw"
    with disk.open("wb") as stream:
        stream.truncate((320 if kind == "xfs" else 16) << 20)
    mount = tmp_path / "mount"
    mount.mkdir()
    subprocess.run([f"mkfs.{kind}", "-q", str(disk)], check=True, timeout=60)
    subprocess.run(["mount", "-o", "loop", str(disk), str(mount)], check=True, timeout=60)
    try:
        subprocess.run(["cp", "--archive", f"{root}/.", str(mount)], check=True, timeout=60)
    finally:
        subprocess.run(["umount", str(mount)], check=True, timeout=60)
    before = disk.read_bytes()
    image = {"name": "web", "path": str(disk), "presents": "block", "archive": "/c/web.tar.zst"}
    # In a process of its own, as on a server: the module has mounts of its own from then on.
    code = f"""if True:
        from ansible.module_utils.testing import patch_module_args
        from ansible_collections.openqrm.datacenter.plugins.modules import kernel_files
        with patch_module_args({{"images": [{image!r}], "staging": {str(tmp_path)!r}}}):
            kernel_files.main()"""
    environment = os.environ | {"PYTHONPATH": f"{ROOT}/collection:{ROOT}/library"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert json.loads(done.stdout)["items"][0]["version"] == DEBIAN, done.stdout
    assert disk.read_bytes() == before
    assert str(disk) not in Path("/proc/mounts").read_text()
