"""shellcheck is clean on every shell file of the node side and on every deployment's hook."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FILES = sorted([*(ROOT / "boot-templates").rglob("*.sh"), *ROOT.glob("roles/deployment_*/files/*.sh")])


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(ROOT)) for path in FILES])
def test_shellcheck_is_clean(path: Path) -> None:
    done = subprocess.run(["shellcheck", "-x", str(path)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("roles/deployment_*/files/root-mount.sh")), ids=lambda path: path.parts[-3]
)
def test_hook_defines_its_functions(path: Path) -> None:
    script = f'. "{path}"; type mount_root; type root_fstab_line'
    subprocess.run(["busybox", "sh", "-euc", script], check=True, capture_output=True)
