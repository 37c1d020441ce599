"""Reading who machines and operators are: node tokens with what they are bound to, operators' tokens, SSH host keys."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from openqrm.errors import ConflictError
from openqrm.model import ApiToken, HostKey, Identity
from openqrm.store import schema
from openqrm.store.access import Access

# How long the token before is valid once the new one was used: calls that were on their way.
GRACE = timedelta(seconds=60)
IDENTITIES = schema.identities


def _shown(table: sa.Table) -> list[sa.Column[Any]]:
    """The columns of a token of an operator, but for the digest."""
    return [column for column in table.c if column.name != "token_sha256"]


class IdentityReader(Access):
    """Identities by resource and by token, tokens of operators, host keys."""

    def identity(self, resource: str) -> Identity | None:
        """The identity of a resource; None if it never registered."""
        token = sa.select(schema.resources.c.token_sha256).where(schema.resources.c.name == resource).scalar_subquery()
        query = sa.select(IDENTITIES, token.label("token_sha256")).where(IDENTITIES.c.resource == resource)
        row = next(iter(self._rows(query)), None)
        return None if row is None else Identity(**row)

    def unapproved(self) -> list[str]:
        """The names of the resources that are held until a person approves them."""
        query = sa.select(IDENTITIES.c.resource).where(IDENTITIES.c.approved.is_(False)).order_by(IDENTITIES.c.resource)
        return list(self._connection.scalars(query))

    def previous_holder(self, token_sha256: str) -> str | None:
        """The resource that this was the token of until a moment ago, while that token is still good."""
        table = IDENTITIES
        since = datetime.now(UTC) - GRACE
        good = sa.or_(table.c.used.is_(None), table.c.used > since)
        return self._connection.scalars(
            sa.select(table.c.resource).where(table.c.previous_sha256 == token_sha256, good)
        ).first()

    def api_tokens(self) -> list[ApiToken]:
        """The operators' tokens, without the tokens."""
        table = schema.api_tokens
        query = sa.select(*_shown(table)).order_by(table.c.name)
        return [ApiToken(**row) for row in self._rows(query)]

    def api_token(self, token_sha256: str) -> ApiToken | None:
        """The operator's token with this digest, also one that has expired."""
        table = schema.api_tokens
        query = sa.select(*_shown(table)).where(table.c.token_sha256 == token_sha256)
        return next((ApiToken(**row) for row in self._rows(query)), None)

    def refuse_api_token(self, name: str) -> None:
        """Returns if no operator's token has this name. Raises: ConflictError."""
        if name in {token.name for token in self.api_tokens()}:
            raise ConflictError(f"Token {name} exists already.", remedy="Choose another name, or revoke it first.")

    def host_keys(self, subjects: Sequence[str] | None = None) -> list[HostKey]:
        """The host keys, of these subjects if given."""
        table = schema.host_keys
        where = self._chosen((table.c.subject, subjects))
        return [HostKey(**row) for row in self._rows(sa.select(table).where(*where).order_by(table.c.subject))]
