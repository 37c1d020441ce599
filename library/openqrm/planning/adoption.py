"""A server that runs already becomes a resource with an appliance (`resource_adopt`), and keeps its disk and service.

Nothing is asked of the server itself. From then on its boot entry says that it boots its own disk; a stop of its
appliance has it join the pool, a start has it boot its disk again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from openqrm.boot import tree
from openqrm.errors import ConflictError, InvalidValueError, StateError
from openqrm.model import LOCAL, Appliance, Image, Plan, Requirements, Resource, Volume
from openqrm.names import check_name
from openqrm.planning.context import Context
from openqrm.planning.images import create_steps, fields_of, refuse_taken, undo_new
from openqrm.planning.operations import Step
from openqrm.planning.start import PUBLISH, address_step
from openqrm.planning.verbs import Arguments, Drawing, Selection, Trouble, Verb

DEPLOYMENT = "adopted"
UNPUBLISH = 1
# As states follow each other; nothing of it is waited for.
STATES = ("off", "reserved", "starting", "active")


def _resource(context: Context, arguments: Arguments) -> Resource:
    return context.tx.resource(check_name("Resource", arguments.get("resource")))


def _names(arguments: Arguments) -> tuple[str, str]:
    """The names of the storage, and of the appliance, its image and its volume. Raises: InvalidValueError."""
    name = arguments.get("appliance") or arguments.get("resource")
    return check_name("Storage", arguments.get("storage")), check_name("Appliance", name)


def _select(context: Context, arguments: Arguments) -> Selection:
    resource = _resource(context, arguments)
    for row in context.tx.assignments(resources=[resource.name]):
        if context.tx.image(row.image).deployment == DEPLOYMENT:
            why = f"resource {resource.name} is adopted already, as appliance {row.appliance}"
            return Selection((), {resource.name: why})
    return Selection((resource.name,))


def _draw(context: Context, _chosen: Sequence[str], arguments: Arguments, _plan_id: int) -> Drawing:
    resource = _resource(context, arguments)
    storage_name, name = _names(arguments)
    _check(context, resource, name)
    storage = context.tx.storage(storage_name)
    volume = Volume(0, name, storage.name)
    refuse_taken(context, volume)
    image = Image(0, name, storage.name, name, DEPLOYMENT, kind="private")
    presents = context.root(image).presents
    steps = create_steps(context, storage, volume, presents)
    entries = tree.local_entries(context.config, resource.boot_mac)
    steps += [context.boot_step(PUBLISH, "present", entry) for entry in entries]
    steps += address_step(context, resource)
    objects: list[Mapping[str, object]] = [
        {"kind": "resource", "name": resource.name, "appliance": name},
        {"kind": "image", "name": name, "image": fields_of(image), "volume": fields_of(volume)},
    ]
    return Drawing(steps, tuple(objects))


def _check(context: Context, resource: Resource, name: str) -> None:
    """Raises: StateError, InvalidValueError, ConflictError where this cannot be adopted so."""
    if resource.state != "new" or resource.last_seen:
        raise StateError(
            f"Resource {resource.name} is {resource.state}, not new: it has booted to the idle system.",
            remedy="Adopt a server that runs: openqrm resource create NAME --mac MAC --address ADDRESS.",
        )
    if not resource.boot_mac:
        raise InvalidValueError(
            f"Resource {resource.name} has no MAC address.", remedy=f"openqrm resource set {resource.name} --mac MAC"
        )
    context.default_kernel()
    for kind in ("appliance", "image"):
        if name in context.tx.names(kind):
            raise ConflictError(f"{kind.capitalize()} {name} exists already.", remedy="Give another --appliance.")


def _commit(context: Context, plan: Plan) -> None:
    resource, name = _pair(plan)
    row = next(item for item in plan.objects if item.get("kind") == "image")
    image, volume = row["image"], row["volume"]
    if isinstance(image, Mapping) and isinstance(volume, Mapping):
        context.tx.save([Volume(id=0, **volume)])
        context.tx.save([Image(id=0, **image)])
    needs = Requirements(cores=0, memory_mib=0, nics=0, resource=resource, type=context.tx.resource(resource).type)
    appliance = Appliance(0, name, context.default_kernel().name, name, requirements=needs, clone=False)
    context.tx.save([appliance])
    context.tx.assign([(name, 0, resource, name, plan.id)])
    for state in STATES:
        context.tx.set_state("resource", [resource], state)
    for state in STATES[2:]:
        context.tx.set_state("appliance", [name], state)
    context.tx.report_all({resource: {"mode": LOCAL}})
    context.tx.add_event("info", f"Adopted: it runs appliance {name} from its own disk.", "resource", resource)


def _pair(plan: Plan) -> tuple[str, str]:
    row = next(item for item in plan.objects if item.get("kind") == "resource")
    return str(row["name"]), str(row["appliance"])


def _undo(context: Context, plan: Plan, trouble: Trouble) -> list[Step]:
    """Removal of the volume and of the boot entries."""
    resource = context.tx.resource(_pair(plan)[0])
    entries = [tree.entry(context.config, name) for name in tree.entry_names(resource.boot_mac).values()]
    steps = [context.boot_step(UNPUBLISH, "absent", entry) for entry in entries]
    return [*steps, *(step for step in undo_new(context, plan, trouble) if step.verb == "volume_remove")]


def _close(_context: Context, _plan: Plan, _undone: bool) -> None:
    """Nothing was recorded before the commit."""


def _withdraw(_context: Context, _plan: Plan) -> bool:
    return True


VERBS = (Verb("resource_adopt", "resource", _select, _draw, _commit, _undo, _close, withdraw=_withdraw),)
