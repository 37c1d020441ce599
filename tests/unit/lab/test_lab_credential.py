"""lab_credential: keys and passwords that work, are private, and stay."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from ansible_collections.openqrm.datacenter.plugins.modules import lab_credential


def params(base: Path, username: str = "admin") -> dict[str, Any]:
    for name in ("ssh", "bmc"):
        (base / name).mkdir(exist_ok=True)
    names = ["lab", "10.0.0.1"]
    return {"ssh_dir": f"{base}/ssh", "host_names": names, "bmc_dir": f"{base}/bmc", "bmc_username": username}


def snapshot(base: Path) -> dict[str, str]:
    return {str(path): path.read_text() for path in base.rglob("*") if path.is_file()}


def test_makes_all_then_is_unchanged(tmp_path: Path) -> None:
    first = lab_credential.ensure(params(tmp_path), False)
    assert all(item["changed"] for item in first["items"])
    before = snapshot(tmp_path)
    assert lab_credential.ensure(params(tmp_path), False)["changed"] is False
    assert snapshot(tmp_path) == before
    private = [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".pub"]
    assert {path.stat().st_mode & 0o077 for path in private} == {0}


def test_known_hosts_knows_the_host_key(tmp_path: Path) -> None:
    lab_credential.ensure(params(tmp_path), False)
    argv = ["ssh-keygen", "-F", "10.0.0.1", "-f", str(tmp_path / "ssh/known_hosts")]
    found = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert (tmp_path / "ssh/host_ed25519.pub").read_text().split()[1] in found.stdout


def test_password_digest_is_renewed_with_the_user(tmp_path: Path) -> None:
    lab_credential.ensure(params(tmp_path), False)
    password = (tmp_path / "bmc/password").read_text().strip()
    done = lab_credential.ensure(params(tmp_path, "other"), False)
    assert [Path(item["name"]).name for item in done["items"] if item["changed"]] == ["htpasswd"]
    assert lab_credential.is_current((tmp_path / "bmc/htpasswd").read_text(), "other", password)
    assert not lab_credential.is_current((tmp_path / "bmc/htpasswd").read_text(), "other", "wrong")


def test_diff_shows_no_secret(tmp_path: Path) -> None:
    done = lab_credential.ensure(params(tmp_path), False)
    assert (tmp_path / "bmc/password").read_text().strip() not in str(done)


def test_check_mode_makes_nothing(tmp_path: Path) -> None:
    assert lab_credential.ensure(params(tmp_path), True)["changed"]
    assert snapshot(tmp_path) == {}
