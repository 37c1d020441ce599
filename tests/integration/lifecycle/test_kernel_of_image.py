"""The kernel that an image has, by the role image_kernel: packed where the volume is, built and published."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from openqrm.pki import ensure_ca

from tests.support.center import FakeCenter, make_center
from tests.support.shelves import make_shelf


def debian_kernel(directory: Path) -> Path:
    """A root with Debian's cloud kernel."""
    show = ["apt-cache", "depends", "--important", "linux-image-cloud-amd64"]
    words = subprocess.run(show, check=True, capture_output=True, text=True, timeout=60).stdout.split()
    package = next(word for word in words if word.startswith("linux-image-6"))
    options = ["-o", "APT::Sandbox::User=root"]
    subprocess.run(["apt-get", *options, "-q", "download", package], check=True, cwd=directory, timeout=300)
    root = directory / "root"
    subprocess.run(["dpkg-deb", "--extract", str(next(directory.glob("*.deb"))), str(root)], check=True, timeout=300)
    (root / "etc").mkdir(exist_ok=True)
    (root / "etc/hostname").write_text("x\n")
    return root


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return debian_kernel(tmp_path_factory.mktemp("debian"))


@pytest.fixture
def center(tmp_path: Path) -> Iterator[FakeCenter]:
    center = make_center(tmp_path)
    ensure_ca(tmp_path / "state/pki")
    entry = {"name": "disk1", "type": "directory", "host": "localhost", "address": "10.78.0.1"}
    assert center.run("storage_create", storages=[entry | {"location": str(tmp_path / "disk1")}]).errors == ()
    yield center
    center.store.close()


def test_the_kernel_of_an_image_is_added(center: FakeCenter, root: Path, tmp_path: Path) -> None:
    archive = tmp_path / "root.tar"
    subprocess.run(["tar", "-C", str(root), "-cf", str(archive), "."], check=True, timeout=300)
    row = {"name": "web", "storage": "disk1", "deployment": "fake", "archive": str(archive)}
    assert center.run("image_create", images=[row]).errors == ()

    kernel = {"name": "own", "source": "image", "image": "web"}
    # Its own: the build is done again where another checkout has put its dracut module there meanwhile.
    dracut = {"kernel_image_dracut_dir": str(tmp_path / "dracut")}
    made = center.run("kernel_add", kernels=[kernel], **dracut)
    assert (made.errors, made.changed) == ((), True)
    with center.store.read() as reader:
        found = reader.kernel("own")
    assert (root / f"boot/vmlinuz-{found.version}").is_file()
    for part in ("vmlinuz", "initramfs", "modules"):
        assert (center.root / "boot/blobs" / getattr(found, part)).is_file()
    again = center.run("kernel_add", kernels=[kernel], **dracut)
    assert (again.errors, again.changed) == ((), False)
    assert not list(Path("/var/tmp").glob("openqrm-kernel-web*"))  # noqa: S108 - the role's own name

    failed = center.run(
        "kernel_add", kernels=[{"name": "same", "source": "archive", "archive": str(archive)}], **dracut
    )
    assert failed.errors == ()
    with center.store.read() as reader:
        assert reader.kernel("same").vmlinuz == found.vmlinuz


def kernels(center: FakeCenter) -> list[str]:
    with center.store.read() as reader:
        return [kernel.name for kernel in reader.kernels()]


def test_a_template_brings_its_kernel(center: FakeCenter, root: Path, tmp_path: Path) -> None:
    """From the archive, or from the volume of an image that is there; not again, and only where it is asked for."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    subprocess.run(["tar", "-C", str(root), "-cf", str(shelf / "web.tar"), "."], check=True, timeout=300)
    make_shelf(shelf, None, {"name": "web", "version": "1", "file": "web.tar", "architecture": platform.machine()})
    assert center.run("shelf_add", shelves=[{"name": "main", "url": str(shelf), "unsigned": True}]).errors == ()
    image = {"template": "main/web", "storage": "disk1", "deployment": "fake"}
    old, new = image | {"name": "old"}, image | {"name": "new", "kernel": "of-new"}
    assert center.run("shelf_get", images=[old]).errors == ()
    assert kernels(center) == ["default"]

    checked = center.run("shelf_get", check=True, images=[new])
    assert (checked.errors, checked.changed, kernels(center)) == ((), True, ["default"])
    dracut = {"kernel_image_dracut_dir": str(tmp_path / "dracut")}
    made = center.run("shelf_get", images=[new], **dracut)
    assert (made.errors, made.changed, kernels(center)) == ((), True, ["default", "of-new"])
    with center.store.read() as reader:
        found, parameters = reader.kernel("of-new"), reader.image("new").parameters
    assert (root / f"boot/vmlinuz-{found.version}").is_file()
    assert (center.root / "boot/blobs" / found.initramfs).is_file()
    assert parameters == {}
    (tmp_path / "disk1/new").rename(tmp_path / "away")  # what is there is not looked into again
    again = center.run("shelf_get", images=[new], **dracut)
    assert (again.errors, again.changed) == ((), False)

    of_old = center.run("shelf_get", check=True, images=[old | {"kernel": "of-old"}])
    assert (of_old.errors, "image_kernel fetch" in "\n".join(of_old.diff)) == ((), True)
    failed = center.run("shelf_get", images=[old | {"kernel": "of-old", "kernel_version": "1.0"}])
    assert "1.0" in failed.errors[-1]
    assert kernels(center) == ["default", "of-new"]


BAD = {
    "name": ({"kernel": "../x"}, "kernel name '../x' is not valid"),
    "version": ({"kernel": "a", "kernel_version": "../x"}, "kernel_version"),
    "version alone": ({"kernel_version": "6.1"}, "kernel_version is given without kernel"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_kernel_is_refused_before_anything_is_fetched(case: str, center: FakeCenter, tmp_path: Path) -> None:
    fields, expected = BAD[case]
    image = {"name": "web", "template": "main/web", "storage": "disk1", "deployment": "fake"}
    refused = center.run("shelf_get", images=[image | fields])
    assert expected in refused.errors[-1]
    assert not (tmp_path / "cache").exists()
