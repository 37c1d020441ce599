"""Secrets by which a machine proves to a storage server that a grant is its own (CHAP of iSCSI, DH-CHAP of NVMe).

They follow from the data centre's key, which never leaves the controller, and from the grant: nothing is stored, every
assignment has its own, and each controller comes to the same.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from pathlib import Path
from typing import TYPE_CHECKING

from openqrm.pki import ensure_store_key

if TYPE_CHECKING:
    from openqrm.config import Config

# 96 bits, the least that RFC 7143 (12.1.4) asks for and the most that every initiator takes: 16 characters.
BYTES = 12


def grant_secret(config: Config, target: str, resource: str, epoch: int) -> str:
    """The secret of the resource's grant of a target, in this epoch: 16 characters of the alphabet of URLs."""
    text = f"grant {target} {resource} {epoch}"
    digest = hmac.new(ensure_store_key(Path(config.state_dir, "pki")), text.encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest[:BYTES]).decode()
