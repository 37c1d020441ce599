"""The disks of an idle resource read into an image (`resource_grab`)."""

from __future__ import annotations

from collections.abc import Sequence

from openqrm.disks import check_disk
from openqrm.errors import InUseError, InvalidValueError, StateError
from openqrm.model import LOCAL, Image, Plan, Resource
from openqrm.names import check_name
from openqrm.planning import disks
from openqrm.planning.context import CONTROLLER, Context
from openqrm.planning.members import deadline
from openqrm.planning.operations import NODE, Step
from openqrm.planning.verbs import Arguments, Drawing, Selection, Trouble, Verb

AUTHORIZE, PUBLISH, GRAB, REVOKE = 10, 20, 30, 40
CANCEL, UNPUBLISH = 1, 2
# No appliance is on the resource.
NO_EPOCH = 0


def _named(context: Context, arguments: Arguments) -> tuple[Resource, Image]:
    """The resource and the image. Raises: NotFoundError, InvalidValueError."""
    resource = context.tx.resource(check_name("Resource", arguments.get("resource")))
    return resource, context.tx.image(check_name("Image", arguments.get("image")))


def _select(context: Context, arguments: Arguments) -> Selection:
    resource, image = _named(context, arguments)
    if context.types.get("deployment", image.deployment).boot_mode != LOCAL:
        raise InvalidValueError(
            f"Image {image.name} is deployed by {image.deployment}, not to local disks.",
            remedy="Create one: openqrm image create NAME --storage STORAGE --deployment local",
        )
    return Selection((resource.name,))


def _draw(context: Context, _names: Sequence[str], arguments: Arguments, plan_id: int) -> Drawing:
    resource, image = _named(context, arguments)
    if resource.state != "idle" or resource.mode != "idle" or not context.heard_of(resource):
        raise StateError(
            f"Resource {resource.name} is {resource.state} and does not take orders now.",
            remedy="Its disks are read while it idles: stop what it runs, or let it boot from the network.",
        )
    for row in context.tx.assignments(images=[image.name]):
        raise InUseError(
            f"Image {image.name} is used by appliance {row.appliance} on {row.resource}.",
            remedy=f"Run `openqrm appliance stop {row.appliance}` first.",
        )
    name = check_disk("disk", arguments.get("disk") or "")
    overwrite = bool(arguments.get("overwrite"))
    root = context.root(image)
    disk = {"action": "grab", "name": name, "overwrite": overwrite, "plan": plan_id}
    text = disks.disk_manifest(context, resource, NO_EPOCH, disk, root)
    context.tx.set_state("resource", [resource.name], "reserved", deadline(context))
    steps = [
        context.grant(AUTHORIZE, "authorize", resource, root),
        *disks.hook_step(context, PUBLISH, root),
        *disks.order_steps(context, GRAB, resource, NO_EPOCH, text),
        context.grant(REVOKE, "revoke", resource, root),
    ]
    grabbed = {"kind": "resource", "name": resource.name, "image": image.name, "disk": name}
    return Drawing(steps, (grabbed,))


def _pair(context: Context, plan: Plan) -> tuple[Resource, Image]:
    row = next(row for row in plan.objects if row.get("kind") == "resource")
    return context.tx.resource(str(row["name"])), context.tx.image(str(row["image"]))


def _undo(context: Context, plan: Plan, _trouble: Trouble) -> list[Step]:
    resource, image = _pair(context, plan)
    return [
        Step(CANCEL, CONTROLLER, NODE, "cancel", {"resource": resource.name}),
        disks.withdraw_step(context, UNPUBLISH, resource),
        context.grant(REVOKE, "revoke", resource, context.root(image)),
    ]


def _commit(context: Context, plan: Plan) -> None:
    resource, image = _pair(context, plan)
    _free(context, resource)
    context.tx.add_event("info", f"Disks of {resource.name} grabbed.", "image", image.name, {"plan": plan.id})


def _close(context: Context, plan: Plan, _undone: bool) -> None:
    _free(context, _pair(context, plan)[0])


def _withdraw(context: Context, plan: Plan) -> bool:
    _free(context, _pair(context, plan)[0])
    return True


def _free(context: Context, resource: Resource) -> None:
    """The resource is in the pool again; where it went silent meanwhile, that is noticed as ever."""
    if resource.state in ("reserved", "starting"):
        context.tx.set_state("resource", [resource.name], "idle")


VERBS = (Verb("resource_grab", "resource", _select, _draw, _commit, _undo, _close, withdraw=_withdraw),)
