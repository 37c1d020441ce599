"""The pure parts of building a kernel: which kernel is meant, what makes a build new, what the cache holds."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from ansible_collections.openqrm.datacenter.plugins.module_utils import kernel_build as kb

META = """Package: linux-image-cloud-amd64
Version: 6.1.1-1
Depends: linux-image-6.1.0-1-cloud-amd64 (= 6.1.1-1)
SHA256: aa
"""
REAL = """Package: linux-image-6.1.0-1-cloud-amd64
Version: 6.1.1-1
Depends: kmod, initramfs-tools | linux-initramfs-tool
SHA256: bb

Package: old
"""


def apt(answers: dict[str, str]):
    """Return a `run` that answers `apt-cache show` from a table."""

    def run(argv: list[str], **_more: object) -> str:
        assert argv[:3] == ["apt-cache", "show", "--no-all-versions"]
        if argv[3] not in answers:
            raise kb.KernelBuildError(f"no package {argv[3]}")
        return answers[argv[3]]

    return run


def kernel_tree(root: Path, *versions: str) -> Path:
    """Lay out a directory with kernels."""
    for version in versions:
        modules = root / "lib" / "modules" / version
        modules.mkdir(parents=True)
        (modules / "modules.dep").write_text("")
        (root / "boot").mkdir(exist_ok=True)
        (root / "boot" / f"vmlinuz-{version}").write_text("kernel")
    return root


@pytest.mark.parametrize("name", ["linux-image-cloud-amd64", "linux-image-6.1-cloud-amd64"])
def test_metapackage_leads_to_the_kernel(name: str) -> None:
    run = apt({name: META, "linux-image-6.1.0-1-cloud-amd64": REAL})
    source = kb.package_source(run, name)
    assert source == kb.Source("6.1.0-1-cloud-amd64", "bb", package="linux-image-6.1.0-1-cloud-amd64=6.1.1-1")


@pytest.mark.parametrize(
    ("name", "answers", "words"),
    [
        ("linux-image-none", {}, "Package linux-image-none is not known to apt; run `apt-get update`"),
        (
            "bash",
            {"bash": "Package: bash\nVersion: 5\nDepends: base-files\nSHA256: cc\n"},
            "Package bash leads to no kernel package",
        ),
    ],
)
def test_other_packages_are_refused(name: str, answers: dict[str, str], words: str) -> None:
    with pytest.raises(kb.KernelBuildError, match=words):
        kb.package_source(apt(answers), name)


def test_directory_with_one_kernel(tmp_path: Path) -> None:
    source = kb.directory_source(kernel_tree(tmp_path, "6.1.0-1-amd64"))
    assert (source.version, source.vmlinuz) == ("6.1.0-1-amd64", tmp_path / "boot" / "vmlinuz-6.1.0-1-amd64")


def test_directory_with_several_needs_the_version(tmp_path: Path) -> None:
    kernel_tree(tmp_path, "6.1.0-1-amd64", "6.1.0-2-amd64")
    with pytest.raises(kb.KernelBuildError, match=r"found: 6\.1\.0-1-amd64, 6\.1\.0-2-amd64; set the version"):
        kb.directory_source(tmp_path)
    assert kb.directory_source(tmp_path, "6.1.0-2-amd64").version == "6.1.0-2-amd64"


@pytest.mark.parametrize("version", ["", "6.1.0-9-amd64"])
def test_directory_without_the_kernel(tmp_path: Path, version: str) -> None:
    kernel_tree(tmp_path, *(["6.1.0-1-amd64"] if version else []))
    with pytest.raises(kb.KernelBuildError, match="expected one kernel"):
        kb.directory_source(tmp_path, version)


def test_running_kernel_without_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(kb.KernelBuildError, match="use a Debian package or a directory"):
        kb.running_source("6.1.0-1-amd64", tmp_path)
    assert kb.running_source("6.1.0-1-amd64", kernel_tree(tmp_path, "6.1.0-1-amd64")).version == "6.1.0-1-amd64"


def test_key_changes_with_every_input(tmp_path: Path) -> None:
    ca, dracut, tool = tmp_path / "ca.pem", tmp_path / "90openqrm", tmp_path / "curl"
    dracut.mkdir()
    for path in (ca, dracut / "node.sh", tool):
        path.write_text("one")
    source, tools = kb.Source("6.1", "aa"), {"curl": str(tool)}
    keys = {kb.build_key(source, ca, dracut, tools), kb.build_key(kb.Source("6.1", "bb"), ca, dracut, tools)}
    for path in (ca, dracut / "node.sh", tool):
        path.write_text("two!")
        keys.add(kb.build_key(source, ca, dracut, tools))
    assert len(keys) == 5


def test_cache_is_used_only_when_it_is_whole(tmp_path: Path) -> None:
    output, entry = tmp_path / "output", tmp_path / "entry"
    output.mkdir()
    for name in kb.ARTIFACTS:
        (output / name).write_text(name)
    assert kb.cached_build(entry) is None
    published = kb.publish(output, entry, kb.Source("6.1", "aa"))
    assert kb.cached_build(entry) == published
    digest = hashlib.sha256(b"vmlinuz").hexdigest()
    assert published["vmlinuz"] == {"path": str(entry / "vmlinuz"), "sha256": digest, "size": 7}
    (entry / "modules").write_text("")
    assert kb.cached_build(entry) is None
    (entry / "kernel.json").write_text("{")
    assert kb.cached_build(entry) is None


def test_published_description_has_no_path_of_the_build(tmp_path: Path) -> None:
    (tmp_path / "output").mkdir()
    for name in kb.ARTIFACTS:
        (tmp_path / "output" / name).write_text(name)
    kb.publish(tmp_path / "output", tmp_path / "entry", kb.Source("6.1", "aa"))
    assert "path" not in json.loads((tmp_path / "entry" / "kernel.json").read_text())["vmlinuz"]


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["openqrm-no-such-program"], "openqrm-no-such-program is not installed; install the packages"),
        (["sh", "-c", "echo broken >&2; exit 3"], "failed with exit code 3: broken"),
        (["sleep", "5"], "sleep 5 took longer than 1 s"),
    ],
)
def test_a_command_that_fails_says_why(argv: list[str], words: str) -> None:
    with pytest.raises(kb.KernelBuildError, match=words):
        kb.run_command(argv, timeout_s=1)
