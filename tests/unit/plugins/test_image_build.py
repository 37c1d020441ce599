"""Cases of the module image_build, with a program `mmdebstrap` that the tests write."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.openqrm.datacenter.plugins.module_utils import dnf_build
from ansible_collections.openqrm.datacenter.plugins.modules import image_build
from openqrm.errors import InvalidValueError
from openqrm.planning import recipes

from tests.unit.plugins.module_cases import run_module

# Notes how it was called, and writes its last argument.
MMDEBSTRAP = r"""#!/bin/sh
printf '%s\n' "$@" >>"{log}"
[ "{status}" = 0 ] || {{ echo "E: no such package" >&2; exit {status}; }}
for target; do :; done
echo root >"$target"
"""
ROOT: dict[str, Any] = {"suite": "bookworm", "packages": ["nginx-light", "systemd-sysv"], "files": []}


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the arguments of the calls are noted, a line each."""
    install(tmp_path, 0)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    return tmp_path / "log"


def install(directory: Path, status: int) -> None:
    program = directory / "bin/mmdebstrap"
    program.parent.mkdir(exist_ok=True)
    program.write_text(MMDEBSTRAP.format(log=directory / "log", status=status))
    program.chmod(0o755)


def recipe(directory: Path, name: str = "web", **changes: Any) -> dict[str, Any]:
    return {"name": name, "archive": str(directory / f"archives/{name}.tar.zst"), **ROOT, **changes}


def archives(directory: Path) -> list[str]:
    path = directory / "archives"
    return sorted(entry.name for entry in path.iterdir() if entry.suffix != ".lock") if path.exists() else []


def test_an_archive_is_built_once(tmp_path: Path, log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = {"recipes": [recipe(tmp_path)]}
    archive = arguments["recipes"][0]["archive"]
    first = run_module("image_build", capsys, arguments)
    assert first["changed"]
    assert first["items"] == [{"name": "web", "changed": True, "archive": archive, "size_mib": 0}]
    assert (first["diff"]["before"], first["diff"]["after"]) == ({"web": None}, {"web": archive})
    assert archives(tmp_path) == ["web.tar.zst"], "nothing but the archive stays"
    words = log.read_text().splitlines()
    assert "--include=nginx-light,systemd-sysv" in words
    assert "--variant=minbase" in words
    assert words[-2] == "bookworm"
    second = run_module("image_build", capsys, arguments)
    assert (second["changed"], second["items"][0]["changed"], second["diff"]["after"]) == (False, False, {})
    assert log.read_text().splitlines() == words, "nothing was run"


def test_check_mode_builds_nothing(tmp_path: Path, log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = run_module("image_build", capsys, {"recipes": [recipe(tmp_path)]}, check=True)
    assert (result["changed"], result["items"][0]["size_mib"]) == (True, 0)
    assert result["diff"]["after"] == {"web": str(tmp_path / "archives/web.tar.zst")}
    assert (archives(tmp_path), log.exists()) == ([], False)


def test_two_images_of_one_recipe_are_built_once(tmp_path: Path, log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    second = recipe(tmp_path) | {"name": "shop"}
    result = run_module("image_build", capsys, {"recipes": [recipe(tmp_path), second]})
    assert [item["changed"] for item in result["items"]] == [True, False]
    assert log.read_text().splitlines().count("bookworm") == 1


def test_files_go_in_with_their_modes(tmp_path: Path) -> None:
    files = [
        {"path": "/usr/local/bin/go", "content": "#!/bin/sh\n", "mode": "0755"},
        {"path": "/usr/local/bin/stop", "content": "", "mode": "644"},
        {"path": "/etc/motd", "content": "Grüße\n", "mode": "0600"},
    ]
    image_build.write_overlay({"files": files}, tmp_path)
    found = {str(path.relative_to(tmp_path)): path for path in tmp_path.rglob("*") if path.is_file()}
    assert {name: oct(path.stat().st_mode & 0o777) for name, path in found.items()} == {
        "usr/local/bin/go": "0o755",
        "usr/local/bin/stop": "0o644",
        "etc/motd": "0o600",
    }
    assert found["etc/motd"].read_text(encoding="utf-8") == "Grüße\n"
    words = image_build.command(recipe(tmp_path, variant="apt"), tmp_path, "target")
    hooks = [word for word in words if "hook" in word]
    assert hooks == [f"--customize-hook=copy-in {tmp_path}/{top} /" for top in ("etc", "usr")]


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "option as package": ({"packages": ["--hook=x"]}, "Image bad: '--hook=x' is no suite or package"),
    "two packages in one": ({"packages": ["a,b"]}, "'a,b' is no suite or package"),
    "suite with a space": ({"suite": "book worm"}, "'book worm' is no suite or package"),
    "relative file": ({"files": [{"path": "etc/x", "content": ""}]}, "file path 'etc/x' is not valid"),
    "file outside": ({"files": [{"path": "/../x", "content": ""}]}, "file path '/../x' is not valid"),
    "file with a space": ({"files": [{"path": "/a b", "content": ""}]}, "file path '/a b' is not valid"),
    "mode": ({"files": [{"path": "/x", "content": "", "mode": "rw"}]}, "mode 'rw' of /x is not octal"),
    "other archive": ({"archive": "/nowhere/web.zip"}, "archive /nowhere/web.zip does not end with .tar.zst"),
    "unknown key": ({"package": "nginx"}, "Unsupported parameters"),
    "unknown variant": ({"variant": "tiny"}, "value of variant must be one of"),
}


@pytest.mark.parametrize("case", BAD)
def test_one_bad_recipe_fails_before_anything_is_built(
    case: str, tmp_path: Path, log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes, message = BAD[case]
    arguments = {"recipes": [recipe(tmp_path), recipe(tmp_path, "bad", **changes)]}
    assert message in run_module("image_build", capsys, arguments)["msg"]
    assert (archives(tmp_path), log.exists()) == ([], False)


def test_a_failed_build_leaves_nothing(tmp_path: Path, log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    install(tmp_path, 25)
    result = run_module("image_build", capsys, {"recipes": [recipe(tmp_path)]})
    assert "ended with status 25: E: no such package" in result["msg"]
    assert log.exists()
    assert archives(tmp_path) == []


def test_what_a_killed_build_left_goes_first(tmp_path: Path, log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "archives/.web.tar.zst.new/mmdebstrap.x/etc").mkdir(parents=True)
    assert not log.exists()
    assert run_module("image_build", capsys, {"recipes": [recipe(tmp_path)]})["changed"]
    assert archives(tmp_path) == ["web.tar.zst"]


def test_a_build_has_a_time_limit(tmp_path: Path, log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program = log.parent / "bin/mmdebstrap"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    result = run_module("image_build", capsys, {"recipes": [recipe(tmp_path)], "timeout_s": 1})
    assert "stopped after 1 s" in result["msg"]
    assert archives(tmp_path) == []


def test_the_library_refuses_by_the_same_rules() -> None:
    """It looks at a recipe before anything is planned; the module, which may run elsewhere, looks again."""
    options = yaml.safe_load(image_build.DOCUMENTATION)["options"]["recipes"]["suboptions"]
    assert set(recipes.KEYS) == set(options) - {"name", "archive"}
    assert set(recipes.FILE_KEYS) == set(options["files"]["suboptions"])
    assert list(recipes.VARIANTS) == options["variant"]["choices"]
    assert recipes.FILE == image_build.FILE
    assert set(recipes.REPOSITORY_KEYS) == set(options["repositories"]["suboptions"])
    pairs = ((recipes.RPM, dnf_build.PACKAGE), (recipes.RELEASE, dnf_build.RELEASE))
    for ours, theirs in (*pairs, (recipes.REPOSITORY_URL, dnf_build.URL)):
        assert f"{ours.pattern}\\Z" == theirs.pattern


EL: dict[str, Any] = {
    "release": "9",
    "repositories": [{"name": "baseos", "url": "https://mirror.example/9/", "gpgkey": "file:///etc/key"}],
    "packages": ["@core", "NetworkManager"],
}
BAD_EL: dict[str, tuple[dict[str, Any], str]] = {
    "suite": ({"suite": "bookworm"}, "suite goes with Debian"),
    "release": ({"release": 9}, "release 9 is not valid"),
    "package": ({"packages": ["-x"]}, "package '-x' is not valid"),
    "repository": ({"repositories": ["x"]}, "repository 'x' is not a mapping"),
    "key of a repository": ({"repositories": [{"name": "a", "link": "x"}]}, "repository: 'link' is not known"),
    "url": ({"repositories": [{"name": "a", "url": "/x", "unsigned": True}]}, "repository a: url '/x' is not valid"),
    "unchecked": ({"repositories": [{"name": "a", "url": "file:///x"}]}, "it is not said how its packages are checked"),
}


@pytest.mark.parametrize("case", BAD_EL)
def test_a_recipe_of_the_el_family_that_cannot_be(case: str) -> None:
    assert recipes.check_recipe("Image web: recipe", EL) == EL
    change, message = BAD_EL[case]
    with pytest.raises(InvalidValueError, match=re.escape(message)):
        recipes.check_recipe("Image web: recipe", EL | change)
