"""Roots of the EL family: real dnf, rpm and rpmsign, and a repository of packages that this test builds.

Mirrors of EL are not asked: what dnf makes of a repository is the same with a small one.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.unit.plugins.module_cases import run_module

SPEC = """
Name: acme-{name}
Version: 1.0
Release: 1
Summary: A package
License: MIT
BuildArch: noarch
{requires}
%description
A package.
%install
mkdir -p %{{buildroot}}/usr/share/acme
echo {name} > %{{buildroot}}/usr/share/acme/{name}
%files
%attr(0750,root,daemon) /usr/share/acme/{name}
"""


def command(*words: str, **options: Any) -> None:
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with a package that needs another one."""
    work = tmp_path_factory.mktemp("rpm")
    for name, requires in (("base", ""), ("web", "Requires: acme-base")):
        spec = work / f"{name}.spec"
        spec.write_text(SPEC.format(name=name, requires=requires))
        defines = ["--define", f"_topdir {work}/top", "--define", f"_rpmdir {work}/repository"]
        command("rpmbuild", *defines, "-bb", str(spec))
    command("createrepo_c", "-q", str(work / "repository"))
    return work / "repository"


def archives(tmp_path: Path) -> list[str]:
    """What is there beside the locks of builds."""
    return [path.name for path in (tmp_path / "archives").iterdir() if path.suffix != ".lock"]


def recipe(tmp_path: Path, repository: Path, **changes: object) -> dict[str, Any]:
    known = {"name": "acme", "url": f"file://{repository}", "unsigned": True}
    files = [{"path": "/etc/motd", "content": "hello\n", "mode": "0600"}]
    row = {"name": "web", "archive": str(tmp_path / "archives/web.tar.zst"), "release": "9", "repositories": [known]}
    return {**row, "packages": ["acme-web"], "files": files, **changes}


def test_a_root_is_installed_and_packed(tmp_path: Path, repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = {"recipes": [recipe(tmp_path, repository)]}
    assert run_module("image_build", capsys, arguments, check=True)["changed"]
    made = run_module("image_build", capsys, arguments)
    assert made.get("items", made)[0]["changed"]
    assert not run_module("image_build", capsys, arguments)["changed"]
    assert archives(tmp_path) == ["web.tar.zst"], "nothing else stays"
    root = tmp_path / "root"
    root.mkdir()
    command("tar", "--extract", "-C", str(root), f"--file={tmp_path}/archives/web.tar.zst")
    assert (root / "usr/share/acme/base").read_text() == "base\n", "what it needs came too"
    assert (root / "usr/share/acme/web").stat().st_mode & 0o7777 == 0o750
    assert ((root / "etc/motd").read_text(), (root / "etc/motd").stat().st_mode & 0o777) == ("hello\n", 0o600)
    assert (root / "dev/null").is_char_device()
    assert (list((root / "proc").iterdir()), (root / "root/.rpmdb").exists()) == ([], False)
    command("rpm", f"--dbpath={root}/var/lib/rpm", "-q", "acme-web", "acme-base")
    assert not (root / "var/cache/dnf").exists()


def test_what_the_repository_does_not_have_is_told_and_leaves_nothing(
    tmp_path: Path, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = run_module("image_build", capsys, {"recipes": [recipe(tmp_path, repository, packages=["acme-none"])]})
    assert "acme-none" in failed["msg"]
    assert archives(tmp_path) == []


def test_packages_without_the_signature_that_is_asked_for_are_refused(
    tmp_path: Path, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = {"name": "acme", "url": f"file://{repository}", "gpgkey": f"file://{tmp_path}/key"}
    failed = run_module("image_build", capsys, {"recipes": [recipe(tmp_path, repository, repositories=[known])]})
    assert "GPG" in failed["msg"] or "signed" in failed["msg"]
    assert archives(tmp_path) == []


BAD: dict[str, tuple[dict[str, object], str]] = {
    "release": ({"release": "nine"}, "release 'nine' is not valid"),
    "no release": ({"release": None}, "release None is not valid"),
    "package": ({"packages": ["--nogpgcheck"]}, "'--nogpgcheck' is no package"),
    "no packages": ({"packages": []}, "packages is empty"),
    "url": ({"repositories": [{"name": "a", "url": "ftp://x", "unsigned": True}]}, "use http://, https:// or file://"),
    "name": ({"repositories": [{"name": "a]", "url": "file:///x", "unsigned": True}]}, "is not a name"),
    "unchecked": ({"repositories": [{"name": "a", "url": "file:///x"}]}, "give the URL of its key as gpgkey"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], case: str) -> None:
    change, message = BAD[case]
    failed = run_module("image_build", capsys, {"recipes": [recipe(tmp_path, tmp_path, **change)]})
    assert message in failed["msg"]


def test_without_dnf_it_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    failed = run_module("image_build", capsys, {"recipes": [recipe(tmp_path, tmp_path)]})
    assert (
        failed["msg"] == "Image web: this machine lacks dnf, which builds from repositories; install it (package dnf)."
    )
