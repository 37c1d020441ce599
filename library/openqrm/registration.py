"""Who a machine is: whether a registration is believed, what its token is bound to, and its exchange for a new one.

A machine registers once per boot. What it gets for that, a token, is its only proof from then on: as long as it shows
signs of life no other registration for its MACs is believed, unless the controller caused a new boot.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from openqrm.errors import ConflictError, OpenqrmError
from openqrm.model import Assignment, Identity, Resource

if TYPE_CHECKING:
    from openqrm.config import Config
    from openqrm.nodeapi.bodies import Hardware
    from openqrm.store import Reader, Store, Writer

ACTOR = "node"
# A plan is at work on these: the machine may be busy for long, booting or mounting.
STARTING = ("reserved", "starting")
# What a machine's heartbeats say while it works on its disks: they go on, so its silence means what it always means.
AT_DISKS = "disk"
# What it is assigned to ends as soon as the plan is through.
STOPPING = "stopping"


class UnauthorizedError(OpenqrmError):
    """A call without a token, or with one that is nobody's or has expired."""

    def __init__(
        self,
        remedy: str = "Register again: POST /node/v1/register.",
        message: str = "The token is missing or not valid.",
    ) -> None:
        super().__init__(message, remedy=remedy)


class ForbiddenError(OpenqrmError):
    """A call that is understood and refused: the machine, or its token, may not do this."""


class HeldError(ConflictError):
    """A registration for the MACs of a machine that is alive. `resource`: that machine; nothing was changed."""

    def __init__(self, resource: str, why: str, remedy: str) -> None:
        super().__init__(f"Resource {resource} {why}.", remedy=remedy)
        self.resource = resource


def token_sha256(token: str) -> str:
    """The form in which a token or a claim is stored and looked up."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def authenticate(reader: Reader, token: str) -> Resource:
    """The resource whose token has this digest. Raises: UnauthorizedError."""
    resource = reader.resource_by_token(token)
    if resource is None:
        raise UnauthorizedError
    return resource


def current_assignment(reader: Reader, resource: str) -> Assignment | None:
    """What the resource is assigned to now."""
    return next(iter(reader.assignments(resources=[resource])), None)


def admit(reader: Reader, config: Config, known: Resource | None, body: Hardware, since: datetime) -> bool:
    """Returns if the registration is believed: whether the machine is approved, so that it may be assigned.

    `since`: when this API began to listen; silence before that proves nothing. Raises: HeldError, ForbiddenError.
    """
    if known is None:
        return _admit_stranger(reader, config, body)
    identity = reader.identity(known.name)
    if identity is None or identity.token_sha256 is None:
        return True
    _refuse_impostor(config, known, identity, body, since)
    return identity.approved


def _admit_stranger(reader: Reader, config: Config, body: Hardware) -> bool:
    policy = config.registration.policy
    if policy == "known_macs":
        raise ForbiddenError(
            f"No resource has the MAC {body.boot_mac}, and only known machines may register.",
            remedy=f"Add it: openqrm resource create NAME --mac {body.boot_mac}",
        )
    if policy == "approval" and len(reader.unapproved()) >= config.registration.pending:
        raise ForbiddenError(
            f"{config.registration.pending} machines wait for approval already.",
            remedy="Approve or remove them: openqrm resource list --state new",
        )
    return policy == "accept"


def _refuse_impostor(config: Config, known: Resource, identity: Identity, body: Hardware, since: datetime) -> None:
    """Returns if this may be the machine itself, in a new boot. Raises: HeldError."""
    same_boot = bool(body.claim) and secrets.compare_digest(identity.claim_sha256, token_sha256(body.claim))
    if identity.boot_expected or (same_boot and identity.used is None):
        return  # the controller caused this boot, or the answer to the registration was lost
    if config.registration.reboot == "ordered":
        remedy = f"If it is the same machine: openqrm resource approve {known.name}"
        raise HeldError(known.name, "has registered, and the controller did not cause a new boot", remedy)
    busy = known.state in STARTING and known.stage != AT_DISKS
    window_s = config.deadlines.node_up_s if busy else config.registration.silence_s
    silent = datetime.now(UTC) - max(known.last_seen or identity.issued, since)
    if silent < timedelta(seconds=window_s):
        remedy = f"A machine that boots again is believed after {window_s} s of silence: try again."
        raise HeldError(known.name, f"is alive: it was heard of {max(0, int(silent.total_seconds()))} s ago", remedy)


def issue(writer: Writer, resource: str, body: Hardware, *, approved: bool) -> str:
    """A new token for the resource, bound to what it is assigned to now. All tokens before are worth nothing.

    The token of an idle machine is bound to nothing yet: it runs no service, and what it is still assigned to while its
    stop is not over it never will.
    """
    token = secrets.token_urlsafe(32)
    assignment = current_assignment(writer, resource) if body.mode != "idle" else None
    identity = Identity(
        resource=resource,
        token_sha256=token_sha256(token),
        claim_sha256=token_sha256(body.claim) if body.claim else "",
        assignment=assignment.id if assignment else 0,
        issued=datetime.now(UTC),
        approved=approved,
    )
    writer.set_identity(identity, "token")
    return token


def exchange(store: Store, token: str) -> tuple[str, bool]:
    """A new token for a live one, bound to the current assignment, and whether the machine is approved.

    The token before is good for a little longer. Raises: UnauthorizedError; ForbiddenError where the token is bound to
    another assignment than the machine has now: that takes a new boot.
    """
    fresh = secrets.token_urlsafe(32)
    with store.write(ACTOR, "token exchanged") as writer:
        resource = authenticate(writer, token)
        identity = writer.identity(resource.name)
        if identity is None or (identity.token_sha256 != token and identity.used is not None):
            raise UnauthorizedError  # the token before is good for reports, not for a token of its own
        assignment = current_assignment(writer, resource.name)
        bound = assignment.id if assignment else 0
        if identity.assignment == 0 and resource.state == STOPPING:
            bound = 0
        if identity.assignment not in (0, bound):
            raise ForbiddenError(
                "The token is bound to an assignment that has ended.", remedy="Boot again, which registers again."
            )
        renewed = replace(
            identity,
            token_sha256=token_sha256(fresh),
            previous_sha256=token,
            assignment=bound,
            issued=datetime.now(UTC),
            used=None,
        )
        # Hourly exchanges of a fleet would drown what an audit log is for; a change of what a token may do would not.
        writer.set_identity(renewed, "bind" if bound != identity.assignment else "")
    return fresh, identity.approved


def bound_assignment(reader: Reader, token: str) -> tuple[Resource, Assignment | None]:
    """The token's resource, and its assignment (None: it has none), if the token is bound to just that.

    Raises: UnauthorizedError; ForbiddenError for a token of an earlier assignment, or from before the assignment.
    """
    resource = authenticate(reader, token)
    identity = reader.identity(resource.name)
    assignment = current_assignment(reader, resource.name)
    bound = assignment.id if assignment else 0
    if identity is None or (identity.token_sha256, identity.assignment, identity.approved) != (token, bound, True):
        raise ForbiddenError(
            "The token is not bound to what the machine is assigned to now.",
            remedy="Exchange it: POST /node/v1/token; or boot again, which registers again.",
        )
    return resource, assignment
