"""The states of resources and appliances, and every transition that is allowed. Nothing else decides on states."""

from __future__ import annotations

from openqrm.errors import StateError

RESOURCE_TRANSITIONS: dict[str, frozenset[str]] = {
    "new": frozenset({"idle", "off", "error", "unknown"}),
    "idle": frozenset({"reserved", "off", "error", "quarantined", "unknown"}),
    "reserved": frozenset({"starting", "idle", "off", "error", "quarantined"}),
    "starting": frozenset({"active", "stopping", "idle", "off", "error", "quarantined"}),
    "active": frozenset({"stopping", "error", "unknown"}),
    "stopping": frozenset({"idle", "off", "error", "active", "quarantined", "unknown"}),
    "error": frozenset({"idle", "off", "active", "stopping", "quarantined", "unknown"}),
    "off": frozenset({"idle", "reserved", "error", "unknown", "quarantined"}),
    "unknown": frozenset({"idle", "off", "reserved", "active", "error", "stopping"}),
    "quarantined": frozenset({"new", "idle", "off"}),
}
APPLIANCE_TRANSITIONS: dict[str, frozenset[str]] = {
    "stopped": frozenset({"starting"}),
    "starting": frozenset({"active", "stopping", "stopped", "failed"}),
    "active": frozenset({"stopping", "starting", "failed"}),
    "stopping": frozenset({"stopped", "active", "failed"}),
    "failed": frozenset({"starting", "stopping", "stopped"}),
}
RESOURCE_STATES = tuple(RESOURCE_TRANSITIONS)
APPLIANCE_STATES = tuple(APPLIANCE_TRANSITIONS)
# States from which something is awaited; each has a deadline (Config.deadlines).
WAITING = frozenset({"reserved", "starting", "stopping"})


def check_transition(kind: str, name: str, old: str, new: str) -> None:
    """Returns if `old` may become `new` (or is the same already).

    Raises: StateError that lists what is allowed.
    """
    table = RESOURCE_TRANSITIONS if kind == "resource" else APPLIANCE_TRANSITIONS
    if old == new or new in table[old]:
        return
    allowed = ", ".join(sorted(table[old]))
    raise StateError(f"{kind.capitalize()} {name} is {old} and cannot become {new}.", remedy=f"From {old}: {allowed}.")
