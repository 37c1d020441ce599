"""Writing who machines and operators are. No audit row ever holds a token, a digest of one, or a private key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from openqrm.errors import NotFoundError
from openqrm.model import HostKey, Identity
from openqrm.store import schema
from openqrm.store.writing import WriteAccess

IDENTITIES = schema.identities


class IdentityWriter(WriteAccess):
    """Writes identities, tokens and host keys."""

    def set_identity(self, identity: Identity, reason: str) -> None:
        """Stores a resource's identity and its token. `reason` names it in the audit log; empty: no audit row.

        Raises: NotFoundError.
        """
        update = sa.update(schema.resources).where(schema.resources.c.name == identity.resource)
        if not self._connection.execute(update.values(token_sha256=identity.token_sha256)).rowcount:
            raise NotFoundError("resource", identity.resource, self.names("resource"))
        fields = {key: value for key, value in vars(identity).items() if key not in ("resource", "token_sha256")}
        changed = self._change_identity([identity.resource], fields)
        if not changed:
            self._insert(IDENTITIES, [{"resource": identity.resource, **fields}])
        if reason:
            self._audit(reason, "resource", identity.resource, {}, {"assignment": identity.assignment})

    def token_used(self, token_sha256: str) -> None:
        """Notes that a current token is in use: the boot that was expected is over, or did not happen."""
        holder = sa.select(schema.resources.c.name).where(schema.resources.c.token_sha256 == token_sha256)
        where = [IDENTITIES.c.resource == holder.scalar_subquery()]
        fresh = sa.or_(IDENTITIES.c.used.is_(None), IDENTITIES.c.boot_expected.is_(True))
        update = sa.update(IDENTITIES).where(*where, fresh)
        self._connection.execute(
            update.values(used=sa.func.coalesce(IDENTITIES.c.used, datetime.now(UTC)), boot_expected=False)
        )

    def expect_boot(self, resources: Sequence[str]) -> None:
        """The next registration of these resources is one that the controller caused."""
        self._change_identity(resources, {"boot_expected": True})

    def approve(self, resources: Sequence[str]) -> None:
        """Lets the resources in: what was held becomes a resource like any other."""
        self._change_identity(resources, {"approved": True, "boot_expected": True})
        for name in resources:
            self._audit("approve", "resource", name, {}, {})

    def add_api_token(self, name: str, role: str, token_sha256: str, expires: datetime | None = None) -> None:
        """Adds an operator's token. Raises: ConflictError for a name that is taken."""
        self.refuse_api_token(name)
        row = {"name": name, "role": role, "token_sha256": token_sha256, "created": datetime.now(UTC)}
        self._insert(schema.api_tokens, [row | {"expires": expires}])
        limited = {"expires": expires.isoformat(timespec="seconds")} if expires else {}
        self._audit("create", "token", name, {}, {"role": role, **limited})

    def remove_api_token(self, name: str) -> None:
        """Revokes an operator's token. Raises: NotFoundError."""
        table = schema.api_tokens
        if not self._connection.execute(sa.delete(table).where(table.c.name == name)).rowcount:
            raise NotFoundError("Token", name, [token.name for token in self.api_tokens()])
        self._audit("revoke", "token", name, {}, {})

    def add_host_key(self, key: HostKey) -> None:
        """Adds a host key."""
        self._insert(schema.host_keys, [dict(vars(key))])
        self._audit("create", "host key", key.subject, {}, {"public": key.public})

    def note(self, action: str, kind: str, name: str, details: Mapping[str, Any]) -> None:
        """Adds an audit row for something that changes no object: a call of an operator."""
        self._audit(action, kind, name, {}, details)

    def _change_identity(self, resources: Sequence[str], fields: Mapping[str, Any]) -> int:
        where = self._among(IDENTITIES.c.resource, resources)
        return self._connection.execute(sa.update(IDENTITIES).where(where).values(**fields)).rowcount
