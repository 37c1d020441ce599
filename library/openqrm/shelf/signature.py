"""Signatures of shelves, by `ssh-keygen -Y`: made with an SSH key, checked with the public keys of the publisher."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from openqrm.errors import InvalidValueError, OpenqrmError

NAMESPACE = "openqrm-shelf"
# Who signs; the keys alone decide, so that the name is always the same.
PRINCIPAL = "publisher"
KEY = re.compile(r"(?:ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(?:256|384|521)|sk-[a-z0-9@.-]+) [A-Za-z0-9+/]+={0,3}")
TIMEOUT_S = 60


def check_key(what: str, text: object) -> str:
    """A public SSH key, type and base64, without its comment. Raises: InvalidValueError."""
    words = " ".join(str(text).split()[:2])
    if not KEY.fullmatch(words):
        raise InvalidValueError(
            f"{what}: this is no public SSH key.", remedy="Give the file that ends with .pub, as id_ed25519.pub."
        )
    return words


def verify(what: str, text: bytes, signature: bytes, keys: Sequence[str]) -> None:
    """Returns if the signature of the text is of one of the public keys. Raises: InvalidValueError."""
    with tempfile.TemporaryDirectory() as directory:
        signers, signed = Path(directory, "signers"), Path(directory, "signature")
        signers.write_text("".join(f'{PRINCIPAL} namespaces="{NAMESPACE}" {key}\n' for key in keys), encoding="utf-8")
        signed.write_bytes(signature)
        words = ["-Y", "verify", "-f", str(signers), "-I", PRINCIPAL, "-n", NAMESPACE, "-s", str(signed)]
        done = _ssh_keygen(words, text)
    if done.returncode:
        raise InvalidValueError(
            f"{what}: its index is not signed by a key of this shelf.",
            remedy="Do not use it: ask its publisher. A new key of theirs goes into `openqrm shelf add ... --key`.",
        )


def sign(path: Path, key: Path) -> Path:
    """Signs a file with a private SSH key, or the one in ssh-agent whose public key this is; the signature's path.

    Raises: OpenqrmError.
    """
    done = _ssh_keygen(["-Y", "sign", "-f", str(key), "-n", NAMESPACE, str(path)], b"")
    if done.returncode:
        found = " ".join(done.stderr.decode(errors="replace").split())
        raise OpenqrmError(
            f"The index cannot be signed with {key}: {found}.", remedy="Give an SSH key that you can use."
        )
    return path.with_name(f"{path.name}.sig")


def _ssh_keygen(words: list[str], text: bytes) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(["ssh-keygen", *words], input=text, capture_output=True, check=False, timeout=TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise OpenqrmError(f"ssh-keygen cannot be run: {error}.", remedy="Install the OpenSSH client.") from error
