"""The ways in which the product is installed, each made in a temporary directory and away from the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
COLLECTION = Path("ansible_collections/openqrm/datacenter")


def run(
    command: Sequence[str | Path], cwd: Path, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs a command with nothing of this project in its environment; its output goes into the error."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "OPENQRM_", "PYTHON"))}
    done = subprocess.run(command, cwd=cwd, env={**clean, **(env or {})}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command} failed:\n{done.stdout}\n{done.stderr}"
    return done


@dataclass(frozen=True)
class Install:
    """One way: the interpreter to run Ansible with, the directory to run it in, and variables that the way needs."""

    python: Path
    cwd: Path
    env: Mapping[str, str] = field(default_factory=dict)

    def ansible(self, program: str, *arguments: str | Path, env: Mapping[str, str] | None = None) -> str:
        """What one of Ansible's programs prints. Raises: AssertionError if it fails."""
        return run([self.python, "-m", "ansible", program, *arguments], self.cwd, {**self.env, **(env or {})}).stdout


def exported_tree(target: Path) -> Path:
    """The files of the checkout that are or could be committed, as a repository with one commit."""
    listed = run(["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"], ROOT).stdout
    for name in filter(None, listed.split("\0")):
        source, copy = ROOT / name, target / name
        if source.exists() or source.is_symlink():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, copy, follow_symlinks=False)
    identity = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    run(["git", "init", "--quiet", "--initial-branch=main", "."], target)
    run(["git", "add", "--all"], target)
    run(["git", *identity, "commit", "--quiet", "--message", "Everything"], target)
    return target


def wheel_install(tree: Path, target: Path) -> Install:
    """A virtual environment with the wheel; what the wheel depends on comes from this one's."""
    run([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", target / "dist", tree], target)
    run([sys.executable, "-m", "venv", "--without-pip", target / "venv"], target)
    python = target / "venv/bin/python"
    packages = site_packages(python)
    # The lines of a .pth file are not searched for further .pth files: this environment's editable install stays out.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    wheel = next((target / "dist").glob("*.whl"))
    run(
        [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel],
        target,
    )
    return Install(python, target)


def library_install(wheel: Install, target: Path) -> Install:
    """The wheel's environment without the collection: what `pip install` adds for a collection from elsewhere."""
    shutil.copytree(wheel.python.parents[1], target / "venv", symlinks=True)
    python = target / "venv/bin/python"
    shutil.rmtree(site_packages(python) / COLLECTION)
    return Install(python, target)


def galaxy_install(library: Install, source: str | Path, target: Path) -> Install:
    """The collection from a tarball or a `git+file://` address, beside the library of a virtual environment."""
    env = {"ANSIBLE_COLLECTIONS_PATH": str(target), "ANSIBLE_HOME": str(target / "home")}
    install = Install(library.python, target, env)
    install.ansible("galaxy", "collection", "install", "--no-deps", "-p", target, source)
    return install


def built_tarball(tree: Path, target: Path) -> Path:
    """The collection's tarball."""
    Install(Path(sys.executable), tree).ansible("galaxy", "collection", "build", "--output-path", target, tree)
    return next(target.glob("openqrm-datacenter-*.tar.gz"))


def site_packages(python: Path) -> Path:
    """Where an interpreter's packages are."""
    return Path(
        run([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], python.parent).stdout.strip()
    )
