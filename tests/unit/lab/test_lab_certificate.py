"""lab_certificate: made once, by the data centre's own authority."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible_collections.openqrm.datacenter.plugins.modules import lab_certificate
from cryptography import x509


def params(base: Path) -> dict[str, Any]:
    return {"pki_dir": str(base / "pki"), "name": "boot", "addresses": ["10.77.0.1"]}


def test_made_once(tmp_path: Path) -> None:
    first = lab_certificate.ensure(params(tmp_path), False)
    assert first["changed"]
    certificate = x509.load_pem_x509_certificate(Path(first["certificate"]).read_bytes())
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate((tmp_path / "pki/ca.pem").read_bytes()))
    assert Path(first["key"]).stat().st_mode & 0o777 == 0o600
    assert lab_certificate.ensure(params(tmp_path), False)["changed"] is False


def test_check_mode_makes_nothing(tmp_path: Path) -> None:
    assert lab_certificate.ensure(params(tmp_path), True)["changed"]
    assert list(tmp_path.iterdir()) == []
