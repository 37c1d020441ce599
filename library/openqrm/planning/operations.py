"""Operations from steps: equal calls on one host become one operation with a list."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from openqrm.model import Operation
from openqrm.planning.rounds import FOR

COLLECTION = "openqrm.datacenter"
# Not a role: what the controller itself does with nodes (openqrm.planning.nodes), journalled like the calls of roles.
NODE = f"{COLLECTION}.node"
VARIABLES = {
    "storage": "storage_volumes",
    "deployment": "deployment_grants",
    "power": "power_endpoints",
    "service": "service_entries",
    "plugin": "plugin_objects",
    "image_builder": "image_builder_recipes",
    "image_grab": "image_grab_systems",
    "image_kernel": "image_kernel_images",
    "image_oci": "image_oci_images",
    "image_shelf": "image_shelf_templates",
    "kernel_image": "kernel_image_kernels",
}
# Verbs of storage types that take locations instead of volumes.
LOCATION_VERBS = ("prepare", "volume_list", "space")


@dataclass(frozen=True)
class Step:
    """One item for one verb of a role on a host. `stage` orders steps; only their order counts, not their distance.

    `member`: for which member of an appliance it is, as `web01/0`; empty: for everything.
    """

    stage: int
    host: str
    role: str
    verb: str
    item: Mapping[str, object]
    undo: str = ""
    member: str = ""


def role_of(family: str, name: str = "") -> str:
    """The FQCN of a role of this collection."""
    return f"{COLLECTION}.{family}_{name}" if name else f"{COLLECTION}.{family}"


def variable_of(role: str, verb: str) -> str:
    """The list variable that the role's verb takes, by its family (its name's first word); empty for the controller."""
    name = role.rsplit(".", 1)[-1]
    if name.startswith("storage_") and verb in LOCATION_VERBS:
        return "storage_locations"
    return VARIABLES.get(name) or VARIABLES.get(name.split("_", 1)[0], "")


def group(steps: Iterable[Step], *, first_seq: int = 1, first_phase: int = 1) -> tuple[Operation, ...]:
    """The steps as operations: one per stage, host, role and verb; stages become phases without gaps.

    Items that occur twice are given once. The order within an operation is that of the steps.
    """
    calls: dict[tuple[int, str, str, str, str], list[Mapping[str, object]]] = {}
    for step in steps:
        calls.setdefault((step.stage, step.host, step.role, step.verb, step.undo), []).append(_item(step))
    phases = {stage: number for number, stage in enumerate(sorted({key[0] for key in calls}), start=first_phase)}
    return tuple(
        Operation(
            seq=seq,
            phase=phases[stage],
            host=host,
            role=role,
            verb=verb,
            variable=variable_of(role, verb),
            items=tuple(_unique(items)),
            undo=undo,
        )
        for seq, ((stage, host, role, verb, undo), items) in enumerate(
            sorted(calls.items(), key=lambda call: call[0][:2]), start=first_seq
        )
    )


def _item(step: Step) -> Mapping[str, object]:
    return {**step.item, FOR: step.member} if step.member else step.item


def _unique(items: Iterable[Mapping[str, object]]) -> Iterable[Mapping[str, object]]:
    seen: set[str] = set()
    for item in items:
        mark = repr(sorted(item.items(), key=lambda pair: pair[0]))
        if mark not in seen:
            seen.add(mark)
            yield item
