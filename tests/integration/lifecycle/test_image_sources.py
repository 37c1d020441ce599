"""Images that are filled from OCI images and archives, by the playbooks, real programs and real directories."""

from __future__ import annotations

import platform
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from openqrm.errors import OpenqrmError
from openqrm.runner import RunResult

from tests.support.center import FakeCenter, make_center
from tests.support.shelves import make_key, make_shelf, served
from tests.support.trees import described, make_layout, make_root


@pytest.fixture
def center(tmp_path: Path) -> Iterator[FakeCenter]:
    made = make_center(tmp_path)
    entry = {"name": "disk1", "type": "directory", "host": "localhost", "address": "10.78.0.1"}
    assert made.run("storage_create", storages=[entry | {"location": str(tmp_path / "disk1")}]).errors == ()
    yield made
    made.store.close()


def create(center: FakeCenter, name: str, *, check: bool = False, **source: object) -> RunResult:
    return center.run(
        "image_create", check=check, images=[{"name": name, "storage": "disk1", "deployment": "fake", **source}]
    )


def third_layer(root: Path) -> None:
    """Takes files away, replaces a directory by another one, and one by a file."""
    (root / "etc/hostname").unlink()
    shutil.rmtree(root / "home")
    (root / "home/bert").mkdir(parents=True)
    (root / "home/bert/.profile").write_text("new\n")
    shutil.rmtree(root / "var/spool")
    (root / "var/spool").write_text("now a file\n")


@pytest.mark.parametrize("form", ["directory", "tar"])
def test_an_oci_image_becomes_a_root_with_all_its_attributes(center: FakeCenter, tmp_path: Path, form: str) -> None:
    layout = make_layout(tmp_path, make_root, lambda root: (root / "etc/motd").write_text("second\n"), third_layer)
    expected = make_root(tmp_path / "expected")
    (expected / "etc/motd").write_text("second\n")
    third_layer(expected)
    if form == "tar":
        subprocess.run(["tar", "-C", str(layout), "-cf", str(tmp_path / "layout.tar"), "."], check=True, timeout=60)
        layout = tmp_path / "layout.tar"

    checked = create(center, "web", oci=f"{layout}:stable", check=True)
    assert (checked.errors, "image_oci unpack" in "\n".join(checked.diff)) == ((), True)
    assert not (center.root / "cache").exists()
    assert create(center, "web", oci=f"{layout}:stable").errors == ()
    found, wanted = described(tmp_path / "disk1/web"), described(expected)
    assert found.keys() == wanted.keys()
    # Times are those of the layers, and OCI layers know no holes.
    assert {path: row for path, row in found.items() if row[:6] != wanted[path][:6]} == {}

    (archive,) = (center.root / "cache/archives").glob("[!.]*")
    made = archive.stat().st_mtime_ns
    assert create(center, "shop", oci=str(layout)).errors == (), "a single image needs no tag"
    assert archive.stat().st_mtime_ns == made, "unpacked once"
    assert described(tmp_path / "disk1/shop").keys() == wanted.keys()


def test_a_damaged_layer_is_refused_and_leaves_nothing(center: FakeCenter, tmp_path: Path) -> None:
    layout = make_layout(tmp_path, make_root)
    largest = max((layout / "blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 1
    largest.write_bytes(content)
    failed = create(center, "web", oci=f"{layout}:stable")
    assert failed.exit_code == 8
    assert "image_oci unpack" in failed.errors[-1]
    assert "igest" in failed.errors[-1] or "checksum" in failed.errors[-1]
    assert list((center.root / "cache/archives").glob("[!.]*")) == []
    assert list((tmp_path / "disk1").iterdir()) == []


@pytest.mark.parametrize(
    ("oci", "message"),
    [
        ("{layout}:stabel", "Image web: oci: tag stabel does not exist. Did you mean stable?"),
        ("{layout}", "has 2 images. Add one of :stable, :testing."),
        ("{layout}/blobs", "is no OCI image layout: there is no index.json that lists manifests."),
        ("{layout}/oci-layout", "is no OCI image layout"),
        ("{layout}:a;b", "oci: tag 'a;b' is not valid"),
        ("layout:stable", "Image web: oci 'layout' is not valid"),
    ],
)
def test_what_is_no_oci_image_is_refused(center: FakeCenter, tmp_path: Path, oci: str, message: str) -> None:
    layout = make_layout(tmp_path, make_root)
    make_layout(tmp_path, tag="testing")
    refuse(center, message, oci=oci.format(layout=layout))


def refuse(center: FakeCenter, message: str, **source: object) -> None:
    row = {"name": "web", "storage": "disk1", "deployment": "fake", **source}
    with pytest.raises(OpenqrmError) as caught:
        center.prepare("image_create", owner="", images=[row])
    assert (message in str(caught.value), caught.value.exit_code in (2, 3)) == (True, True), str(caught.value)


def test_one_source_only(center: FakeCenter) -> None:
    refuse(center, "Image web: archive and oci are both given. Give one of them.", oci="/a", archive="/b")


def test_an_image_from_a_shelf(center: FakeCenter, tmp_path: Path) -> None:
    """By the role image_shelf, then as image_create."""
    expected, directory = make_root(tmp_path / "expected"), tmp_path / "shelf"
    directory.mkdir()
    words = ["tar", "-C", str(expected), "--xattrs", "--xattrs-include=*", "--acls", "--sparse", "--zstd", "-cf"]
    subprocess.run([*words, str(directory / "web.tar.zst"), "."], check=True, timeout=60)
    key = make_key(tmp_path / "key")
    row = {"name": "web", "version": "1.0", "file": "web.tar.zst", "architecture": platform.machine()}
    make_shelf(directory, tmp_path / "key", row)
    image = {
        "name": "shop",
        "template": "main/web:1.0",
        "storage": "disk1",
        "deployment": "fake",
        "parameters": {"a": 1},
    }
    with served(directory) as server:
        assert center.run("shelf_add", shelves=[{"name": "main", "url": server.url, "keys": [key]}]).errors == ()
        assert center.run("shelf_get", check=True, images=[image]).errors == ()
        made = center.run("shelf_get", images=[image])
        assert (made.errors, made.changed) == ((), True)
        assert described(tmp_path / "disk1/shop") == described(expected)
        again = center.run("shelf_get", images=[image])
        assert (again.errors, again.changed) == ((), False)

        (directory / "index.json.sig").unlink()
        failed = center.run("shelf_get", images=[image | {"name": "other"}])
        assert (failed.exit_code, "Shelf main is not signed" in failed.errors[-1]) == (8, True)
    assert center.run("shelf_remove", shelves="main").errors == ()
    with center.store.read() as reader:
        assert (reader.image("shop").parameters, reader.setting("shelves")) == ({"a": 1}, {})
