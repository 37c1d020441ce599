"""`openqrm cache prune`: files of the boot tree and of the controller's cache that nothing refers to go; what is in use
stays. The module unused_file_places says what that is."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from openqrm.cli.main import main
from openqrm.datacenter import Datacenter
from openqrm.model import Image, Kernel, Storage, Volume
from openqrm.planning import changes

from tests.support.center import FakeCenter, make_center


@pytest.fixture
def center(tmp_path: Path) -> Iterator[FakeCenter]:
    made = make_center(tmp_path)
    yield made
    made.store.close()


def digest(word: str) -> str:
    return hashlib.sha256(word.encode()).hexdigest()


def made(path: Path, days: float = 40) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as stream:
        stream.truncate(2 << 20)
    then = time.time() - days * 86400
    os.utime(path, (then, then))
    return path


def made_in(directory: Path, name: str) -> Path:
    """A directory with such a file, all of it as old."""
    made(directory / name)
    for path in [*directory.rglob("*"), directory]:
        os.utime(path, (path.stat().st_atime, (directory / name).stat().st_mtime))
    return directory


def prune(center: FakeCenter, *words: str) -> Any:
    arguments = ["--config", str(center.config.path), "--json", "cache", "prune", "--yes", *words]
    result = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_what_nothing_refers_to_goes(center: FakeCenter) -> None:
    blobs, cache = Path(center.config.boot.root, "blobs"), Path(center.config.cache_dir)
    used = [digest(word) for word in ("vmlinuz", "initramfs", "modules", "archive", "manifest")]
    with center.store.write("test", "objects") as tx:
        tx.save([Kernel(0, "a", "6.1", "x86_64", *used[:3])])
        tx.save([Storage(0, "san1", "fake", "san1", "/srv/fake", "10.78.0.10")])
        parameters = {"archive": used[3], "archive_format": "tar.zst"}
        tx.save([Volume(0, "ram", "san1", 0)])
        tx.save([Image(0, "ram", "san1", "ram", "tmpfs", parameters=parameters)])
    for name in used:
        made(blobs / name)
    (blobs.parent / "manifests").mkdir()
    (blobs.parent / "manifests/52-54-00-00-00-01").write_text(json.dumps({"kernel": used[4]}))
    planned = made(cache / f"archives/shelf-{digest('planned')}.tar.zst")
    image = {"name": "web", "storage": "san1", "deployment": "fake", "archive": str(planned)}
    with contextlib.closing(Datacenter.open(center.config)) as datacenter:
        changes.prepare(datacenter, "image_create", {"images": [image]}, owner="test", actor="test", check=False)
    gone = [
        made(blobs / digest("old kernel")),
        made(blobs / ".ansible_tmpx"),
        made(cache / f"archives/{digest('recipe')}.tar.zst"),
        made(cache / f"archives/.shelf-{digest('x')}.tar.part"),
        made_in(cache / f"kernels/{digest('build')}", "vmlinuz"),
        made_in(cache / "kernels/build-abc", "root/half"),
        made(cache / "kernels/image-web.tar.zst"),
    ]
    kept = [
        *(blobs / name for name in used),
        planned,
        made(blobs / digest("new"), days=20),
        made(cache / f"archives/{digest('new recipe')}.tar.zst", days=20),
        made(cache / "archives/somebody-elses.tar"),
        made(blobs / "README"),
    ]
    checked = prune(center, "--check")
    assert sorted(item["path"] for item in checked["files"]) == sorted(map(str, gone))
    assert (checked["changed"], checked["check"], all(path.exists() for path in gone)) == (True, True, True)
    assert {item["what"] for item in checked["files"]} == {"unused", "unfinished"}

    assert sorted(item["path"] for item in prune(center)["files"]) == sorted(map(str, gone))
    assert [path for path in gone if path.exists()] == []
    assert [path for path in kept if not path.exists()] == []
    assert prune(center) == {"changed": False, "check": False, "files": []}
    younger = sorted(item["path"] for item in prune(center, "--older-than", "10")["files"])
    assert younger == sorted(str(kept[number]) for number in (-4, -3))


def test_a_data_centre_without_files_has_nothing_unused(center: FakeCenter) -> None:
    assert prune(center)["files"] == []
    assert not (center.root / "cache").exists()
