"""SSH host keys that the product makes, so that nobody ever has to accept one blindly.

Each member of an appliance has one, wherever it runs. The private part is sealed in the store and given to the node by
its API; `openqrm.knownhosts` tells clients the public part.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from openqrm.boot.manifest import target
from openqrm.errors import ConfigError
from openqrm.grantsecrets import grant_secret
from openqrm.knownhosts import subject
from openqrm.model import HostKey
from openqrm.pki import ensure_store_key
from openqrm.registration import bound_assignment

if TYPE_CHECKING:
    from openqrm.config import Config
    from openqrm.store import Store


def secrets_of(store: Store, config: Config, token: str) -> dict[str, str]:
    """What the token's machine must know and nobody else may: `ssh_host_key` and `grant`, the secret of its root's
    grant; both empty where nothing is assigned to it.

    Raises: UnauthorizedError; ForbiddenError for a token that is not bound to the current assignment; ConfigError.
    """
    with store.read() as reader:
        resource, assignment = bound_assignment(reader, token)
        if assignment is None:
            return {"ssh_host_key": "", "grant": ""}
        owner = subject(assignment.appliance, assignment.member)
        found = reader.host_keys([owner])
        root = target(reader.image(assignment.image))
    key = found[0] if found else _make(store, config, owner)
    grant = grant_secret(config, root, resource.name, assignment.epoch)
    return {"ssh_host_key": _opened(config, key), "grant": grant}


def _make(store: Store, config: Config, owner: str) -> HostKey:
    """A new key, unless another process was first."""
    private = Ed25519PrivateKey.generate()
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = private.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    key = HostKey(owner, public.decode(), _sealer(config).encrypt(pem).decode())
    with store.write("node", "first use of its host key") as writer:
        writer.lock("host keys")
        known = writer.host_keys([owner])
        if not known:
            writer.add_host_key(key)
    return known[0] if known else key


def _opened(config: Config, key: HostKey) -> str:
    try:
        return _sealer(config).decrypt(key.sealed).decode()
    except InvalidToken as error:
        raise ConfigError(
            f"The host key of {key.subject} was sealed with another key than {config.state_dir}/pki/store.key.",
            remedy="Restore store.key from the backup that belongs to the store.",
        ) from error


def _sealer(config: Config) -> Fernet:
    return Fernet(ensure_store_key(Path(config.state_dir, "pki")))
