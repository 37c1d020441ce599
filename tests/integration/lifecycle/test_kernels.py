"""Kernels into the boot tree: what was built is published under its digest, and the default is what nodes boot."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from openqrm.boot import tree
from openqrm.datacenter import Datacenter
from openqrm.runner import RunResult, run_playbook

from tests.support.center import FakeCenter, make_center


@pytest.fixture
def center(tmp_path: Path) -> Iterator[FakeCenter]:
    made = make_center(tmp_path)
    yield made
    made.store.close()


def ready_made(directory: Path, name: str, **changes: Any) -> dict[str, Any]:
    """A built kernel of three small files, as the role kernel_image reports it."""
    row: dict[str, Any] = {"name": name, "version": f"6.1.0-{name}", "arch": "x86_64"}
    for part in ("vmlinuz", "initramfs", "modules"):
        path = directory / f"{name}.{part}"
        path.write_text(f"{name} {part}\n")
        row[part] = {
            "path": str(path),
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "size": path.stat().st_size,
        }
    return row | changes


def kernel_add(center: FakeCenter, kernels: list[dict[str, Any]], *, check: bool = False) -> RunResult:
    """The publication, as playbooks/kernel_add.yml does it after the build."""
    plan = {"step": "prepare", "verb": "kernel_add", "arguments": {"kernels": kernels}}
    playbook = [
        {"hosts": "localhost", "gather_facts": False, "tasks": [{"openqrm.datacenter.plan": plan}]},
        {"import_playbook": "openqrm.datacenter.plan_apply"},
    ]
    path = center.root / "publish.yml"
    path.write_text(yaml.safe_dump(playbook, sort_keys=False))
    return run_playbook(center.config, str(path), {}, check=check)


def files(center: FakeCenter) -> dict[str, bytes]:
    """The boot tree: path below its root -> content."""
    root = center.root / "boot"
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def default_files(center: FakeCenter, name: str) -> dict[str, bytes]:
    """What the library renders for nodes without an assignment."""
    deployments = Datacenter(center.config, center.store).types.family("deployment")
    hooks = [info.hook for info in deployments if info.hook]
    assert hooks
    with center.store.read() as tx:
        entries = tree.default_entries(center.config, tx.kernel(name), hooks)
    return {str(entry["name"]): str(entry["content"]).encode() for entry in entries}


ENTRIES = ("default.ipxe", "nodes/default.grub", "ipxe/pxelinux.cfg/default", "manifests/default.json")


def default_kernel(center: FakeCenter) -> object:
    with center.store.read() as tx:
        return tx.setting("default_kernel")


def test_a_kernel_is_published_and_recorded(center: FakeCenter) -> None:
    row = ready_made(center.root, "debian12")
    checked = kernel_add(center, [row], check=True)
    assert checked.ok
    assert row["vmlinuz"]["sha256"] in "\n".join(checked.diff)
    assert files(center) == {}
    assert kernel_add(center, [row]).errors == ()
    with center.store.read() as tx:
        kernel = tx.kernel("debian12")
    assert (kernel.version, kernel.vmlinuz, kernel.sizes["modules"]) == (
        "6.1.0-debian12",
        row["vmlinuz"]["sha256"],
        row["modules"]["size"],
    )
    parts = ("vmlinuz", "initramfs", "modules")
    assert files(center) == {f"blobs/{row[part]['sha256']}": f"debian12 {part}\n".encode() for part in parts}
    assert default_kernel(center) == "default", "another kernel is the default"
    again = kernel_add(center, [row])
    assert (again.ok, again.changed) == (True, False)
    assert again.stats["openqrm"]["unchanged"] == ["kernel debian12 is there already"]


def test_a_build_needs_the_certificate_authority(center: FakeCenter) -> None:
    failed = center.run("kernel_add", kernels=[{"name": "new", "source": "running"}])
    assert f"certificate authority, which goes into every initramfs: {center.config.ca_file}" in failed.errors[-1]
    assert "openqrm pki init" in failed.errors[-1]
    with center.store.read() as tx:
        assert tx.plans() == []


def test_the_default_is_what_nodes_boot(center: FakeCenter) -> None:
    row = ready_made(center.root, "debian12", default=True)
    assert kernel_add(center, [row]).errors == ()
    wanted = default_files(center, "debian12")
    assert {name: content for name, content in files(center).items() if name in wanted} == wanted
    assert {"boot.ipxe", "default.ipxe", "manifests/default.json"} < set(wanted)
    assert row["vmlinuz"]["sha256"].encode() in wanted["default.ipxe"]
    assert default_kernel(center) == "debian12"

    assert kernel_add(center, [row | {"kernel_args": "isolcpus=1-3"}]).errors == ()
    wanted = default_files(center, "debian12")
    assert all(b"panic=30 isolcpus=1-3" in wanted[name].replace(b"'", b"") for name in ENTRIES)
    assert {name: content for name, content in files(center).items() if name in wanted} == wanted

    checked = center.run("kernel_set_default", check=True, kernel="default")
    assert "default.ipxe" in "\n".join(checked.diff)
    assert (default_kernel(center), files(center)["default.ipxe"]) == ("debian12", wanted["default.ipxe"])
    changed = center.run("kernel_set_default", kernel="default")
    assert (changed.errors, changed.changed, default_kernel(center)) == ((), True, "default")
    wanted = default_files(center, "default")
    assert {name: content for name, content in files(center).items() if name in wanted} == wanted
    again = center.run("kernel_set_default", kernel="default")
    assert (again.ok, again.changed) == (True, False), "it was published again, and nothing differed"


def test_a_kernel_that_is_not_there_is_named(center: FakeCenter) -> None:
    result = center.run("kernel_set_default", kernel="defualt")
    assert (result.exit_code, files(center)) == (3, {})
    assert "Did you mean default?" in result.errors[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"modules": None}, "Kernel bad: modules is None. Give its path and sha256."),
        ({"vmlinuz": {"path": "/x", "sha256": "12"}}, "Kernel bad: vmlinuz"),
        ({"name": "a b"}, "Kernel"),
        ({"kernel_args": "quiet; reboot"}, "Kernel bad: arguments 'quiet; reboot' is not valid."),
    ],
)
def test_a_bad_kernel_is_refused_before_anything_is_published(
    center: FakeCenter, changes: dict[str, Any], message: str
) -> None:
    rows = [ready_made(center.root, "good"), ready_made(center.root, "bad") | changes]
    result = kernel_add(center, rows)
    assert (result.exit_code, files(center)) == (2, {})
    assert message in result.errors[0]


def test_a_file_that_was_damaged_after_it_was_built_is_not_published(center: FakeCenter) -> None:
    row = ready_made(center.root, "debian12", default=True)
    initramfs = Path(row["initramfs"]["path"])
    content = initramfs.read_bytes()
    initramfs.write_bytes(b"X" + content[1:])
    failed = kernel_add(center, [row])
    assert failed.exit_code == 8
    found = hashlib.sha256(initramfs.read_bytes()).hexdigest()
    assert f"File {initramfs} has the SHA-256 {found}; wanted is {row['initramfs']['sha256']}." in failed.errors[-1]
    assert "Build it again" in failed.errors[-1]
    assert files(center) == {}, "neither this file nor an entry that names it"
    with center.store.read() as tx:
        assert [kernel.name for kernel in tx.kernels()] == ["default"]
    initramfs.write_bytes(content)
    assert kernel_add(center, [row]).errors == ()
    published = center.root / "boot/blobs" / row["initramfs"]["sha256"]
    published.write_bytes(b"X" + content[1:])
    with center.store.write("test", "again") as tx:
        tx.save([dataclasses.replace(tx.kernel("debian12"), version="other")])
    assert kernel_add(center, [row]).errors == ()
    assert published.read_bytes() == content, "a blob that was damaged in the tree is written again"


def test_a_file_that_vanished_leaves_the_kernel_unrecorded_until_it_is_run_again(center: FakeCenter) -> None:
    row = ready_made(center.root, "debian12")
    modules = Path(row["modules"]["path"])
    content = modules.read_bytes()
    modules.unlink()
    failed = kernel_add(center, [row])
    assert failed.exit_code == 8
    assert "service_boot blobs" in failed.errors[-1]
    assert "Run the command again to finish it." in failed.errors[-1]
    with center.store.read() as tx:
        assert [kernel.name for kernel in tx.kernels()] == ["default"]
    modules.write_bytes(content)
    assert kernel_add(center, [row]).errors == ()
    assert len(files(center)) == 3
