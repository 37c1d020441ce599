"""What a plan was computed from. A plan of which nothing was begun is stale where that has changed since.

Of each object that the plan names, that is what operators and discovery say of it, not what the plan itself does to it:
appliances with their image, its volume's server and kernel, and resources with their hardware and power driver; besides
the files that every node reads. A resource must also still be in the state into which the plan put it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

from openqrm.boot import tree
from openqrm.boot.manifest import sha256
from openqrm.model import Appliance, Plan, Resource
from openqrm.planning.context import Context
from openqrm.planning.members import rows_of
from openqrm.store.kinds import plain

# What a resource reports by itself, and what plans write.
PASSING = frozenset(
    {
        "id",
        "state",
        "deadline",
        "last_seen",
        "mode",
        "stage",
        "boot_id",
        "manifest",
        "reported_epoch",
        "hardware",
    }
)
BASIS = "basis"


def signed(context: Context, objects: Sequence[Mapping[str, object]]) -> tuple[Mapping[str, object], ...]:
    """The objects with the digest of what they are now, under `basis`."""
    digests = _digests(context, objects)
    return tuple({**row, BASIS: digests[key]} if (key := _key(row)) in digests else row for row in objects)


def changed(context: Context, plan: Plan) -> list[str]:
    """What is no longer as it was when the plan was made, as `appliance web01`; empty: the plan holds."""
    digests = _digests(context, plan.objects)
    found = [" ".join(_key(row)) for row in plan.objects if BASIS in row and digests.get(_key(row)) != row[BASIS]]
    reserved = {str(row["resource"]) for row in rows_of(plan, "start")}
    resources = context.tx.resources(sorted(reserved)) if reserved else []
    found += [f"resource {r.name} ({r.state}, it was reserved)" for r in resources if r.state != "reserved"]
    return list(dict.fromkeys(found))


def _key(row: Mapping[str, object]) -> tuple[str, str]:
    return str(row.get("kind")), str(row.get("name"))


def _digests(context: Context, objects: Iterable[Mapping[str, object]]) -> dict[tuple[str, str], str]:
    keys = {_key(row) for row in objects}
    appliances = context.tx.appliances(sorted(name for kind, name in keys if kind == "appliance"))
    resources = context.tx.resources(sorted(name for kind, name in keys if kind == "resource"))
    images = {image.name: image for image in context.tx.images(sorted({a.image for a in appliances}))}
    found = {("resource", r.name): _digest(_lasting(r)) for r in resources}
    for appliance in appliances:
        image = images[appliance.image]
        parts = [_lasting(appliance), plain(image), plain(context.storages[image.storage])]
        parts += [plain(context.kernels[appliance.kernel]), context.agent[0], _hook(context, image.deployment)]
        found["appliance", appliance.name] = _digest(parts)
    return found


def _hook(context: Context, deployment: str) -> str:
    path = context.types.get("deployment", deployment).hook
    return tree.blob(path)[0] if path else ""


def _lasting(value: Appliance | Resource) -> dict[str, object]:
    passing = PASSING | ({"kernel"} if isinstance(value, Resource) else set())
    return {key: entry for key, entry in plain(value).items() if key not in passing}


def _digest(value: object) -> str:
    return sha256(json.dumps(value, sort_keys=True, default=str))[:16]
