"""The certificate authority: made once, trusted by TLS clients, renewed when it must be."""

from __future__ import annotations

import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from openqrm import pki
from openqrm.errors import ConfigError, InvalidValueError


def test_authority_is_made_once_with_a_private_key(tmp_path: Path) -> None:
    path = pki.ensure_ca(tmp_path / "pki")
    first = path.read_bytes()
    assert pki.ensure_ca(tmp_path / "pki").read_bytes() == first
    assert (tmp_path / "pki" / "ca.key").stat().st_mode & 0o777 == 0o600
    assert sorted(item.name for item in path.parent.iterdir()) == ["ca.key", "ca.pem"]


def test_authority_is_valid_for_long_and_for_clocks_that_are_wrong(tmp_path: Path) -> None:
    certificate = x509.load_pem_x509_certificate(pki.ensure_ca(tmp_path).read_bytes())
    assert certificate.not_valid_before_utc.year == 2000
    assert certificate.not_valid_after_utc.year >= datetime.now(UTC).year + 29


def test_racing_callers_get_one_authority(tmp_path: Path) -> None:
    barrier = threading.Barrier(8)

    def ensure(_: int) -> bytes:
        barrier.wait()
        return pki.ensure_ca(tmp_path).read_bytes()

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(ensure, range(8)))) == 1


def test_certificate_without_its_key_is_refused(tmp_path: Path) -> None:
    pki.ensure_ca(tmp_path)
    (tmp_path / "ca.key").unlink()
    with pytest.raises(ConfigError, match=r"ca\.key is not"):
        pki.ensure_ca(tmp_path)


def test_certificate_of_another_key_is_refused(tmp_path: Path) -> None:
    ours, theirs = pki.ensure_ca(tmp_path / "a"), pki.ensure_ca(tmp_path / "b")
    ours.write_bytes(theirs.read_bytes())
    with pytest.raises(ConfigError, match="does not belong"):
        pki.ensure_ca(tmp_path / "a")


@pytest.mark.parametrize("name", ["ca.pem", "ca.key"])
def test_broken_files_are_refused(tmp_path: Path, name: str) -> None:
    pki.ensure_ca(tmp_path)
    (tmp_path / name).write_text("junk")
    with pytest.raises(ConfigError, match="is not a"):
        pki.ensure_ca(tmp_path)


def test_directory_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be made"):
        pki.ensure_ca(tmp_path / "file" / "pki")


def handshake(ca: Path, certificate: Path, key: Path, server_name: str) -> None:
    """A TLS handshake in memory between a client that trusts only `ca` and a server with the certificate."""
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(certificate, key)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context(cafile=str(ca)).wrap_bio(to_client, to_server, server_hostname=server_name)
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    done: set[ssl.SSLObject] = set()
    while len(done) < 2:
        for side in (client, server):
            try:
                side.do_handshake()
                done.add(side)
            except ssl.SSLWantReadError:
                continue


@pytest.mark.parametrize("address", ["boot1", "10.77.0.1", "fd00::1", "boot.example"])
def test_clients_accept_every_name(tmp_path: Path, address: str) -> None:
    certificate, key = pki.ensure_server_cert(tmp_path, "boot1", ["10.77.0.1", "fd00::1", "boot.example"])
    assert key.stat().st_mode & 0o777 == 0o600
    handshake(tmp_path / "ca.pem", certificate, key, address)


def test_clients_refuse_other_names_and_authorities(tmp_path: Path) -> None:
    certificate, key = pki.ensure_server_cert(tmp_path / "a", "boot1", ["10.77.0.1"])
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(tmp_path / "a" / "ca.pem", certificate, key, "10.77.0.2")
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(pki.ensure_ca(tmp_path / "b"), certificate, key, "10.77.0.1")


def test_server_certificate_is_kept_until_its_names_change(tmp_path: Path) -> None:
    certificate, key = pki.ensure_server_cert(tmp_path, "boot1", ["10.77.0.1"])
    first, first_key = certificate.read_bytes(), key.read_bytes()
    pki.ensure_server_cert(tmp_path, "boot1", ["10.77.0.1", "boot1"])
    assert certificate.read_bytes() == first
    pki.ensure_server_cert(tmp_path, "boot1", ["10.77.0.2"])
    assert certificate.read_bytes() != first
    assert key.read_bytes() == first_key


@pytest.mark.parametrize("damage", ["close to expiry", "junk", "other authority"])
def test_server_certificate_is_renewed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
    with monkeypatch.context() as patch:
        if damage == "close to expiry":
            patch.setattr(pki, "SERVER_VALIDITY", pki.RENEW_BEFORE)
        certificate, key = pki.ensure_server_cert(tmp_path, "boot1", ["10.77.0.1"])
    if damage == "junk":
        certificate.write_text("junk")
    if damage == "other authority":
        (tmp_path / "ca.pem").unlink()
        (tmp_path / "ca.key").unlink()
    before = certificate.read_bytes()
    pki.ensure_server_cert(tmp_path, "boot1", ["10.77.0.1"])
    assert certificate.read_bytes() != before
    handshake(tmp_path / "ca.pem", certificate, key, "10.77.0.1")


@pytest.mark.parametrize("name", ["../x", "a b", ""])
def test_bad_server_names_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidValueError):
        pki.ensure_server_cert(tmp_path, name, [])


def test_server_cannot_take_the_authoritys_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="authority"):
        pki.ensure_server_cert(tmp_path, "ca", [])


def test_keys_are_p256(tmp_path: Path) -> None:
    pki.ensure_ca(tmp_path)
    key = serialization.load_pem_private_key((tmp_path / "ca.key").read_bytes(), password=None)
    assert getattr(getattr(key, "curve", None), "name", "") == "secp256r1"
