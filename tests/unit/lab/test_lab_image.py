"""lab_image: built once per recipe; a failed build leaves nothing; the recipe of the collection."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.openqrm.datacenter.plugins.module_utils.commands import CommandError
from ansible_collections.openqrm.datacenter.plugins.modules import lab_image

RECIPE = Path(__file__).resolve().parents[3] / "roles/lab/files/storage-server"


def params(base: Path) -> dict[str, Any]:
    recipe = base / "recipe"
    (recipe / "root/etc").mkdir(parents=True, exist_ok=True)
    (recipe / "root/etc/name").write_text("x\n")
    (recipe / "packages").write_text("# comment\nkernel\n\nssh\n")
    (recipe / "customize.sh").write_text("true\n")
    cache = str(base / "cache")
    return {"recipe_dir": str(recipe), "additions": [], "suite": "s", "size_mib": 1, "cache_dir": cache, "timeout_s": 5}


def bootstrap(argv: list[str]) -> str:
    """What mmdebstrap leaves behind, as far as it counts."""
    boot = Path(argv[-1], "boot")
    boot.mkdir(parents=True)
    for name in ("vmlinuz", "initrd.img"):
        (boot / name).write_text(name)
    return ""


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands as they are; what contains them has tests of its own."""
    monkeypatch.setattr(lab_image, "contained", list)


def builder(played: Callable[..., Any]) -> Any:
    return played(mmdebstrap=bootstrap)


def test_builds_once_per_recipe(tmp_path: Path, played: Callable[..., Any]) -> None:
    runner = builder(played)
    first = lab_image.ensure(params(tmp_path), False, runner)
    assert first["changed"]
    assert Path(first["vmlinuz"]).read_text() == "vmlinuz"
    assert sorted(path.name for path in Path(first["image"]).parent.iterdir()) == ["image", "initrd", "vmlinuz"]
    assert [line.split()[0] for line in runner.commands] == ["mmdebstrap", "mkfs.ext4"]
    assert "--include=kernel,ssh " in runner.commands[0]
    second = lab_image.ensure(params(tmp_path), False, runner)
    assert (second["changed"], second["image"], len(runner.commands)) == (False, first["image"], 2)


@pytest.mark.parametrize("change", ["packages", "customize.sh", "root/etc/name", "root/etc/new"])
def test_another_recipe_is_another_image(tmp_path: Path, change: str) -> None:
    before = lab_image.ensure(params(tmp_path), True)["image"]
    wanted = params(tmp_path)
    (tmp_path / "recipe" / change).write_text("other\n")
    assert lab_image.ensure(wanted, True)["image"] != before


def test_additions_are_built_in_under_a_key_of_their_own(tmp_path: Path, played: Callable[..., Any]) -> None:
    runner, wanted, plain = builder(played), params(tmp_path), lab_image.ensure(params(tmp_path), True)
    addition = tmp_path / "addition"
    (addition / "root").mkdir(parents=True)
    (addition / "packages").write_text("zfs\n")
    (addition / "components").write_text("# not free of strings\ncontrib\n")
    (addition / "customize.sh").write_text("true\n")
    made = lab_image.ensure(wanted | {"additions": [str(addition)]}, False, runner)
    assert made["changed"]
    assert made["digest"] != plain["digest"]
    assert "--include=kernel,ssh,zfs " in runner.commands[0]
    assert "--components=main,contrib " in runner.commands[0]
    hooks = [runner.commands[0].index(f"upload {place}/customize.sh") for place in (wanted["recipe_dir"], addition)]
    assert hooks == sorted(hooks)
    (addition / "customize.sh").write_text("false\n")
    assert lab_image.ensure(wanted | {"additions": [str(addition)]}, True)["digest"] != made["digest"]


def test_a_failed_build_leaves_nothing(tmp_path: Path, played: Callable[..., Any]) -> None:
    runner = builder(played)
    runner.answers["mkfs.ext4"] = CommandError(["mkfs.ext4"], 1, "no space")
    with pytest.raises(CommandError, match="no space"):
        lab_image.ensure(params(tmp_path), False, runner)
    (left,) = (tmp_path / "cache").iterdir()
    assert left.suffix == ".lock"


def test_a_killed_build_is_done_again(tmp_path: Path, played: Callable[..., Any]) -> None:
    target = Path(lab_image.ensure(params(tmp_path), True)["image"]).parent
    stale = target.with_name(f".{target.name}.new")
    (stale / "root").mkdir(parents=True)
    assert lab_image.ensure(params(tmp_path), False, builder(played))["changed"]
    assert not stale.exists()


def test_check_mode_builds_nothing(tmp_path: Path, played: Callable[..., Any]) -> None:
    runner = builder(played)
    assert lab_image.ensure(params(tmp_path), True, runner)["changed"]
    assert (runner.commands, (tmp_path / "cache").exists()) == ([], False)


def test_recipes_of_the_collection_are_sorted_and_whole() -> None:
    for recipe in RECIPE.parent.iterdir():
        listed = lab_image.packages((recipe / "packages").read_text())
        assert listed == sorted(set(listed))
        assert {path.name for path in recipe.iterdir()} >= {"packages", "root", "customize.sh"}
    names = lab_image.packages((RECIPE / "packages").read_text())
    assert {"linux-image-cloud-amd64", "openssh-server", "python3", "nfs-kernel-server"} <= set(names)
