"""Power and approval of resources and listings of storage servers as plans."""

from __future__ import annotations

from collections.abc import Sequence

from openqrm.errors import InvalidValueError, StateError
from openqrm.model import Plan
from openqrm.names import check_name
from openqrm.planning.context import Context
from openqrm.planning.operations import Step
from openqrm.planning.verbs import Arguments, Drawing, Selection, Verb, names_of

CALL = 10
POWER_VERBS = ("on", "off", "reset", "status")


def _power_verb(arguments: Arguments) -> str:
    verb = str(arguments.get("power"))
    if verb not in POWER_VERBS:
        raise InvalidValueError(f"power {verb!r} is not known.", remedy=f"Use one of {', '.join(POWER_VERBS)}.")
    return verb


def _select_resources(context: Context, arguments: Arguments) -> Selection:
    """The resources; one that runs a service is only asked for its status."""
    verb = _power_verb(arguments)
    names = names_of(arguments, "resources")
    for name in names:
        resource = context.tx.resource(name)
        if not resource.power_driver:
            raise InvalidValueError(
                f"Resource {name} has no power driver.",
                remedy=f"Set one: openqrm resource set {name} --power-driver TYPE --power address=...",
            )
    held = {row.resource: row.appliance for row in context.tx.assignments(resources=names)}
    if held and verb in ("off", "reset") and not arguments.get("force"):
        name, appliance = next(iter(held.items()))
        raise StateError(
            f"Resource {name} runs appliance {appliance}.", remedy="Stop the appliance, or say force=true."
        )
    return Selection(tuple(names))


def _draw_power(context: Context, names: Sequence[str], arguments: Arguments, _plan_id: int) -> Drawing:
    """What boots from a virtual CD finds it inserted; what else a machine boots is left as it is."""
    verb = _power_verb(arguments)
    resources = context.tx.resources(list(names))
    steps = [context.power(CALL, verb, resource) for resource in resources]
    if verb in ("on", "reset"):
        steps += [context.boot_device(CALL - 1, resource) for resource in resources if resource.power.get("media")]
    return Drawing(steps, tuple({"kind": "resource", "name": name, "verb": verb} for name in names))


def _commit_power(context: Context, plan: Plan) -> None:
    """An idle resource that was switched off is off."""
    if plan.operations and plan.operations[0].verb == "off":
        rows = context.tx.resources([str(item["name"]) for item in plan.objects])
        context.tx.set_state("resource", [row.name for row in rows if row.state == "idle"], "off")


def _select_quarantined(context: Context, arguments: Arguments) -> Selection:
    found = [context.tx.resource(check_name("Resource", name)) for name in names_of(arguments, "resources")]
    others = {r.name: f"resource {r.name} is {r.state}, not quarantined" for r in found if r.state != "quarantined"}
    return Selection(tuple(r.name for r in found if r.name not in others), others)


def _draw_reinstate(_context: Context, names: Sequence[str], _arguments: Arguments, _plan_id: int) -> Drawing:
    return Drawing((), tuple({"kind": "resource", "name": name} for name in names))


def _commit_reinstate(context: Context, plan: Plan) -> None:
    """Idle if the machine reports so; else off, from which its next report makes it idle."""
    rows = context.tx.resources([str(item["name"]) for item in plan.objects])
    for resource in rows:
        idles = resource.mode == "idle" and context.heard_of(resource)
        context.tx.set_state("resource", [resource.name], "idle" if idles else "off")
        context.tx.add_event("info", "Reinstated.", "resource", resource.name)


def _select_storages(context: Context, arguments: Arguments) -> Selection:
    return Selection(tuple(context.tx.storage(name).name for name in names_of(arguments, "storages")))


def _draw_volumes(context: Context, names: Sequence[str], _arguments: Arguments, _plan_id: int) -> Drawing:
    chosen = [context.storages[name] for name in names]
    steps = [
        Step(CALL, s.host, context.types.get("storage", s.type).role, "volume_list", {"location": s.location})
        for s in chosen
    ]
    return Drawing(steps, tuple({"kind": "storage", "name": name} for name in names))


def _select_held(context: Context, arguments: Arguments) -> Selection:
    """The resources; those that are let in already, or never registered, need nothing."""
    names = names_of(arguments, "resources")
    unchanged = {}
    for name in names:
        identity = context.tx.identity(context.tx.resource(name).name)
        if identity is None:
            unchanged[name] = f"resource {name} has not registered, and is let in when it does"
        elif identity.approved and identity.boot_expected:
            unchanged[name] = f"resource {name} is approved already"
    return Selection(tuple(name for name in names if name not in unchanged), unchanged)


def _draw_approval(_context: Context, names: Sequence[str], _arguments: Arguments, _plan_id: int) -> Drawing:
    return Drawing([], tuple({"kind": "resource", "name": name} for name in names))


def _commit_approval(context: Context, plan: Plan) -> None:
    """The resources are let in; one that waits idle is idle."""
    names = [str(item["name"]) for item in plan.objects]
    context.tx.approve(names)
    rows = context.tx.resources(names)
    waiting = [row.name for row in rows if row.state == "new" and row.mode == "idle" and context.heard_of(row)]
    context.tx.set_state("resource", waiting, "idle")


def _commit_nothing(_context: Context, _plan: Plan) -> None:
    """The results are all that was wanted."""


def _close(_context: Context, _plan: Plan, _undone: bool) -> None:
    """Nothing was recorded."""


AGAIN = "Run the command again."
VERBS = (
    Verb("resource_power", "resource", _select_resources, _draw_power, _commit_power, None, _close, AGAIN),
    Verb("resource_approve", "resource", _select_held, _draw_approval, _commit_approval, None, _close, AGAIN),
    Verb(
        "resource_reinstate",
        "resource",
        _select_quarantined,
        _draw_reinstate,
        _commit_reinstate,
        None,
        _close,
        AGAIN,
    ),
    Verb("storage_volumes", "storage", _select_storages, _draw_volumes, _commit_nothing, None, _close, AGAIN),
)
