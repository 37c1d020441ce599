"""The data centre's own certificate authority, which nodes trust alone, and the certificates of its servers."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from openqrm.errors import ConfigError
from openqrm.names import check_host

CA_VALIDITY = timedelta(days=30 * 365)
SERVER_VALIDITY = timedelta(days=3 * 365)
RENEW_BEFORE = timedelta(days=180)
# A machine with an empty clock battery boots with its firmware's date; it must still accept the certificates.
NOT_BEFORE = datetime(2000, 1, 1, tzinfo=UTC)


def ensure_ca(pki_dir: str | Path) -> Path:
    """The path of the authority's certificate `ca.pem`; makes it and its key `ca.key` (0600) when they are missing.

    Safe to call from several processes at once: all of them get the same authority.

    Raises: ConfigError when the files cannot be written, cannot be read or do not belong together.
    """
    directory = _directory(pki_dir)
    path = directory / "ca.pem"
    if path.exists() and not (directory / "ca.key").exists():
        raise ConfigError(
            f"{path} is there, but its key ca.key is not.",
            remedy="Restore ca.key from a backup, or remove ca.pem and add the kernels again.",
        )
    key = _ensure_key(directory / "ca.key")
    if not path.exists():
        _create(path, _ca_certificate(key).public_bytes(serialization.Encoding.PEM), 0o644)
    _load_ca(directory)
    return path


def ensure_server_cert(pki_dir: str | Path, name: str, addresses: Sequence[str]) -> tuple[Path, Path]:
    """The paths (certificate, key) of the server `name`: `<name>.pem` and `<name>.key` (0600), signed by the authority.

    `addresses` are the IP addresses and DNS names that clients use; `name` itself is always one of them. A
    certificate that expires soon, names others or was signed by another authority is renewed with the same key.

    Raises: ConfigError, InvalidValueError.
    """
    if check_host("Server name", name) == "ca":
        raise ConfigError("A server cannot be named ca: those are the authority's files.", remedy="Use its host name.")
    directory = _directory(pki_dir)
    ensure_ca(directory)
    ca, ca_key = _load_ca(directory)
    key = _ensure_key(directory / f"{name}.key")
    path = directory / f"{name}.pem"
    names = _alternative_names([name, *addresses])
    if not _is_current(path, key, ca, names):
        certificate = _server_certificate(name, names, key, ca, ca_key)
        _replace(path, certificate.public_bytes(serialization.Encoding.PEM), 0o644)
    return path, directory / f"{name}.key"


def ensure_store_key(pki_dir: str | Path) -> bytes:
    """The key `store.key` (0600) that seals secrets in the store, made if it is not there; a copy of the store alone
    does not open them. Raises: ConfigError.
    """
    path = _directory(pki_dir) / "store.key"
    if not path.exists():
        _create(path, Fernet.generate_key(), 0o600)
    return _read(path)


def _directory(pki_dir: str | Path) -> Path:
    directory = Path(pki_dir)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"{directory} cannot be made: {error.strerror}.",
            remedy="Check state_dir in openqrm.yml and its permissions.",
        ) from error
    return directory


def _ensure_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """The EC P-256 key in `path`, made if it is not there."""
    if not path.exists():
        pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        _create(path, pem, 0o600)
    try:
        key = serialization.load_pem_private_key(_read(path), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"{path} is not a private key: {error}.", remedy="Restore it from a backup.") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ConfigError(f"{path} is not an EC key.", remedy="Restore it from a backup.")
    return key


def _ca_certificate(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    # Several data centres on one machine are told apart by their keys.
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"openQRM data centre {identifier.digest.hex()[:8]}")])
    usage = _key_usage(sign_certificates=True)
    return (
        _builder(name, name, key.public_key(), CA_VALIDITY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(identifier, critical=False)
        .sign(key, hashes.SHA256())
    )


def _server_certificate(
    name: str,
    names: Sequence[x509.GeneralName],
    key: ec.EllipticCurvePrivateKey,
    ca: x509.Certificate,
    ca_key: ec.EllipticCurvePrivateKey,
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
    return (
        _builder(subject, ca.subject, key.public_key(), SERVER_VALIDITY)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(sign_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey, validity: timedelta
) -> x509.CertificateBuilder:
    return x509.CertificateBuilder(
        subject_name=subject,
        issuer_name=issuer,
        public_key=public_key,
        serial_number=x509.random_serial_number(),
        not_valid_before=NOT_BEFORE,
        not_valid_after=datetime.now(UTC) + validity,
    )


def _key_usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _alternative_names(addresses: Sequence[str]) -> list[x509.GeneralName]:
    """The alternative names for the addresses, each once, in the given order."""
    names: list[x509.GeneralName] = []
    for address in dict.fromkeys(addresses):
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(address)))
        except ValueError:
            names.append(x509.DNSName(check_host("Server name", address)))
    return names


def _is_current(
    path: Path, key: ec.EllipticCurvePrivateKey, ca: x509.Certificate, names: Sequence[x509.GeneralName]
) -> bool:
    """Whether the certificate in `path` is of this key, authority and names, and is valid for long enough."""
    if not path.exists():
        return False
    try:
        certificate = x509.load_pem_x509_certificate(_read(path))
        certificate.verify_directly_issued_by(ca)
        present = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, TypeError, x509.ExtensionNotFound, InvalidSignature):
        return False
    return (
        certificate.public_key() == key.public_key()
        and set(present) == set(names)
        and certificate.not_valid_after_utc - datetime.now(UTC) > RENEW_BEFORE
    )


def _load_ca(directory: Path) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    path = directory / "ca.pem"
    key = _ensure_key(directory / "ca.key")
    try:
        certificate = x509.load_pem_x509_certificate(_read(path))
    except ValueError as error:
        raise ConfigError(f"{path} is not a certificate: {error}.", remedy="Restore it from a backup.") from error
    if certificate.public_key() != key.public_key():
        raise ConfigError(
            f"{path} does not belong to the key {path.with_name('ca.key')}.", remedy="Restore both from one backup."
        )
    return certificate, key


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {error.strerror}.", remedy="Run this as the owner of state_dir."
        ) from error


def _temporary(path: Path, content: bytes, mode: int) -> Path:
    """A synced file beside `path` with the content; the caller moves it into place."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "wb") as stream:
        os.fchmod(stream.fileno(), mode)
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    return Path(name)


def _create(path: Path, content: bytes, mode: int) -> None:
    """Write `path` unless it exists by now: of several writers the first one wins."""
    with _writing(path):
        temporary = _temporary(path, content, mode)
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(temporary)
        temporary.unlink()


def _replace(path: Path, content: bytes, mode: int) -> None:
    with _writing(path):
        _temporary(path, content, mode).replace(path)


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be written: {error.strerror}.",
            remedy="Check the permissions and the free space of state_dir.",
        ) from error
