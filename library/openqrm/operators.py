"""Operators of the API: tokens with a role each. A token is shown once and stored as its SHA-256."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from openqrm.errors import InvalidValueError
from openqrm.names import check_name
from openqrm.registration import ForbiddenError, UnauthorizedError, token_sha256
from openqrm.store.schema import ROLES

if TYPE_CHECKING:
    from openqrm.model import ApiToken
    from openqrm.store import Store

PREFIX = "oqt_"
LONGEST_DAYS = 36_500


def check_token(name: object, role: object) -> tuple[str, str]:
    """The name and the role, if they are ones. Raises: InvalidValueError."""
    if role not in ROLES:
        raise InvalidValueError(f"Role {role!r} is not known.", remedy=f"Use one of {', '.join(ROLES)}.")
    return check_name("Token", name), str(role)


def expiry(days: object) -> datetime | None:
    """When a token ends that is made now for so many days; None for None. Raises: InvalidValueError."""
    if days is None:
        return None
    if not isinstance(days, int) or isinstance(days, bool) or not 1 <= days <= LONGEST_DAYS:
        raise InvalidValueError(f"Token: expires in {days!r} days.", remedy=f"Give 1 to {LONGEST_DAYS}.")
    return (datetime.now(UTC) + timedelta(days=days)).replace(microsecond=0)


def create(
    store: Store, name: str, role: str, actor: str, *, expires_in_days: int | None = None, check: bool = False
) -> str:
    """A new token, which is stored nowhere in clear. `expires_in_days` None: it does not expire. `check`: none is made,
    and the result is empty.

    Raises: InvalidValueError; ConflictError for a taken name.
    """
    name, role = check_token(name, role)
    expires = expiry(expires_in_days)
    if check:
        with store.read() as reader:
            reader.refuse_api_token(name)
        return ""
    token = f"{PREFIX}{secrets.token_urlsafe(32)}"
    with store.write(actor, "token create") as writer:
        writer.add_api_token(name, role, token_sha256(token), expires)
    return token


def revoke(store: Store, name: str, actor: str) -> None:
    """Makes a token worth nothing. Raises: NotFoundError."""
    with store.write(actor, "token revoke") as writer:
        writer.remove_api_token(name)


def view(token: ApiToken) -> dict[str, Any]:
    """The token as JSON shows it: its fields, and whether it has expired."""
    return {**vars(token), "expired": token.is_expired(datetime.now(UTC))}


def actor_of(token: ApiToken) -> str:
    """How the audit log names who calls with this token."""
    return f"token:{token.name}"


def enter(store: Store, token: str, role: str, call: str, address: str) -> ApiToken:
    """Who calls, if their role is at least `role`; the call is in the audit log, also where it is refused.

    Raises: UnauthorizedError for a token that is nobody's or has expired, which leaves no row; ForbiddenError.
    """
    with store.read() as reader:
        found = reader.api_token(token_sha256(token))
    if found is None:
        raise UnauthorizedError(remedy="Ask an administrator for one: openqrm token create NAME --role viewer")
    if found.is_expired(datetime.now(UTC)):
        raise UnauthorizedError(
            message=f"Token {found.name} expired at {found.expires:%F %T} UTC.",
            remedy="Ask an administrator for a new one: openqrm token revoke, then openqrm token create.",
        )
    allowed = ROLES.index(found.role) >= ROLES.index(role)
    details = {"role": found.role, "allowed": allowed, "from": address}
    with store.write(actor_of(found), "operator API") as writer:
        writer.note("call", "api", call, details)
    if not allowed:
        raise ForbiddenError(
            f"Token {found.name} has the role {found.role}; this needs {role}.", remedy="Use a token of that role."
        )
    return found
