"""The kernel that an image has, by the role image_kernel: packed where the volume is, built and published."""

from __future__ import annotations

import subprocess
from pathlib import Path

from openqrm.pki import ensure_ca

from tests.support.center import make_center


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


def test_the_kernel_of_an_image_is_added(tmp_path: Path) -> None:
    center = make_center(tmp_path)
    ensure_ca(tmp_path / "state/pki")
    entry = {"name": "disk1", "type": "directory", "host": "localhost", "address": "10.78.0.1"}
    assert center.run("storage_create", storages=[entry | {"location": str(tmp_path / "disk1")}]).errors == ()
    archive = tmp_path / "root.tar"
    root = debian_kernel(tmp_path)
    subprocess.run(["tar", "-C", str(root), "-cf", str(archive), "."], check=True, timeout=300)
    row = {"name": "web", "storage": "disk1", "deployment": "fake", "archive": str(archive)}
    assert center.run("image_create", images=[row]).errors == ()

    kernel = {"name": "own", "source": "image", "image": "web"}
    made = center.run("kernel_add", kernels=[kernel])
    assert (made.errors, made.changed) == ((), True)
    with center.store.read() as reader:
        found = reader.kernel("own")
    assert (root / f"boot/vmlinuz-{found.version}").is_file()
    for part in ("vmlinuz", "initramfs", "modules"):
        assert (center.root / "boot/blobs" / getattr(found, part)).is_file()
    again = center.run("kernel_add", kernels=[kernel])
    assert (again.errors, again.changed) == ((), False)
    assert not list(Path("/var/tmp").glob("openqrm-kernel-web*"))  # noqa: S108 - the role's own name

    failed = center.run("kernel_add", kernels=[{"name": "same", "source": "archive", "archive": str(archive)}])
    assert failed.errors == ()
    with center.store.read() as reader:
        assert reader.kernel("same").vmlinuz == found.vmlinuz
    center.store.close()
