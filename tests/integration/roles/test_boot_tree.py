"""service_boot on a directory of this machine, and image_builder with the real mmdebstrap."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path
from typing import Any

from tests.support.roles import Step, run

BOOT, BUILDER = "openqrm.datacenter.service_boot", "openqrm.datacenter.image_builder"


def tree(root: Path) -> dict[str, str]:
    """The files of a directory: path below it -> text."""
    return {str(path.relative_to(root)): path.read_text() for path in root.rglob("*") if path.is_file()}


def test_the_boot_tree_is_written_whole_and_once(tmp_path: Path) -> None:
    root, kernel = tmp_path / "boot", tmp_path / "vmlinuz"
    kernel.write_text("kernel\n")
    blob = f"blobs/{hashlib.sha256(kernel.read_bytes()).hexdigest()}"
    mac = "52-54-00-12-34-56"
    files = [
        {"root": str(root), "name": f"manifests/{mac}.json", "content": "{}\n"},
        {"root": str(root), "name": f"nodes/{mac}.ipxe", "content": "#!ipxe\n"},
    ]
    names = [{"root": str(root), "name": entry["name"]} for entry in files]
    prepare = ("prepare", {"service_boot_root": str(root)})
    blobs = ("blobs", {"service_entries": [{"root": str(root), "name": blob, "source": str(kernel)}]})
    present, absent = ("present", {"service_entries": files}), ("absent", {"service_entries": names})

    def outcomes(*verbs: tuple[str, dict[str, Any]], check: bool = False) -> list[bool]:
        done = run(tmp_path, [Step(BOOT, verb, variables, check) for verb, variables in verbs], {})
        assert [outcome.failed for outcome in done] == [""] * len(verbs)
        return [outcome.changed for outcome in done]

    assert outcomes(prepare, blobs, present, absent, check=True) == [True, True, True, False]
    assert not root.exists()
    assert outcomes(prepare, prepare, blobs, blobs, present, present) == [True, False, True, False, True, False]
    written = {blob: "kernel\n", **{entry["name"]: entry["content"] for entry in files}}
    assert tree(root) == written
    assert outcomes(absent, check=True) == [True]
    assert tree(root) == written
    assert outcomes(absent, absent) == [True, False]
    assert tree(root) == {blob: "kernel\n"}


def test_an_entry_that_cannot_be_stops_the_whole_list(tmp_path: Path) -> None:
    good = {"root": str(tmp_path / "boot"), "name": "default.ipxe", "content": "#!ipxe\n"}
    step = Step(BOOT, "present", {"service_entries": [good, good | {"name": "../default.ipxe"}]})
    (outcome,) = run(tmp_path, [step], {})
    assert "would not be below" in outcome.failed
    assert not (tmp_path / "boot").exists()


def test_a_root_file_system_is_built_once(tmp_path: Path) -> None:
    archive = tmp_path / "archives/tiny.tar.zst"
    page = {"path": "/srv/www/index.html", "content": "<h1>It runs</h1>\n", "mode": "0640"}
    recipe = {"name": "tiny", "archive": str(archive), "variant": "apt", "packages": ["hostname"], "files": [page]}
    build = {"image_builder_recipes": [recipe]}
    bad = {"image_builder_recipes": [recipe | {"name": "bad", "packages": ["--option"]}]}
    steps = [
        Step(BUILDER, "build", build, check=True),
        *[Step(BUILDER, "build", build)] * 2,
        Step(BUILDER, "build", bad),
    ]
    checked, built, again, refused = run(tmp_path, steps, {})
    assert [checked.failed, built.failed, again.failed] == [""] * 3
    assert [checked.changed, built.changed, again.changed] == [True, True, False]
    assert checked.items[0]["size_mib"] == 0
    assert built.items[0]["size_mib"] > 10
    assert "'--option' is no suite or package" in refused.failed
    assert [path.name for path in archive.parent.iterdir() if path.suffix != ".lock"] == ["tiny.tar.zst"]
    command = ["tar", "--zstd", "--numeric-owner", "-tvf", str(archive)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    found = {words[5]: words[:2] for line in done.stdout.splitlines() if len(words := line.split()) >= 6}
    assert found["./srv/www/index.html"] == ["-rw-r-----", "0/0"]
    assert found["./usr/bin/hostname" if "./usr/bin/hostname" in found else "./bin/hostname"][1] == "0/0"
