"""What the controller asks of nodes while a plan is applied: orders, and waiting for what nodes report."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from openqrm.errors import DeadlineError
from openqrm.model import Resource
from openqrm.store import Reader, Store, Writer

POLL_S = 0.25
Item = Mapping[str, object]


@dataclass(frozen=True)
class Waited:
    """The outcome of a wait: the resources that arrived, and for each other one why it did not; `seconds` taken."""

    arrived: tuple[str, ...]
    missing: dict[str, str]
    seconds: float


def tell(tx: Writer, verb: str, items: Sequence[Item]) -> None:
    """Does a verb that is over at once: `order` gives orders, `cancel` takes back those that were not fetched yet."""
    {"order": give, "cancel": cancel}[verb](tx, items)


def give(tx: Writer, items: Sequence[Item]) -> None:
    """Puts the orders where the nodes' long polls find them; the resources are starting or stopping from now on."""
    tx.give_orders([(str(i["resource"]), str(i["order"]), int(str(i["epoch"])), str(i["manifest"])) for i in items])
    expect(tx, [item for item in items if item["order"] != "release"])


def expect(tx: Writer, items: Sequence[Item]) -> None:
    """Marks reserved resources as starting."""
    reserved = tx.resources([str(item["resource"]) for item in items]) if items else []
    tx.set_state("resource", [r.name for r in reserved if r.state == "reserved"], "starting", _deadline(reserved))


def _deadline(resources: Sequence[Resource]) -> datetime | None:
    return next((resource.deadline for resource in resources if resource.deadline), None)


def cancel(tx: Writer, items: Sequence[Item]) -> None:
    """Takes back orders that were not fetched yet."""
    for order in tx.orders([str(item["resource"]) for item in items]):
        tx.set_order(order.id, "superseded")


def astray(item: Item, resource: Resource) -> str:
    """Why waiting for the resource to come up is in vain: it booted, but not what it was to boot. Else empty."""
    if resource.mode != "deployed" or resource.boot_id == item.get("boot_id", resource.boot_id):
        return ""
    if resource.reported_epoch not in (0, item["epoch"]):
        return f"it booted epoch {resource.reported_epoch}, not {item['epoch']}: its disk, or an old entry"
    if resource.kernel not in ("", item.get("kernel", resource.kernel)):
        return f"it booted kernel {resource.kernel[:12]}, not {str(item['kernel'])[:12]}"
    return ""


def reached(verb: str, item: Item, resource: Resource) -> str:
    """Empty if the resource is where the item's wait wants it, else what it is instead."""
    if verb == "wait_idle":
        if resource.mode == "idle" and resource.boot_id != item["boot_id"]:
            return ""
        return f"it is {resource.mode or 'silent'}, boot {resource.boot_id or 'unknown'}, not idle after a new boot"
    if resource.mode != "deployed" or resource.reported_epoch != item["epoch"]:
        mode, epoch = resource.mode or "nothing", resource.reported_epoch
        return f"it reports {mode}, epoch {epoch}, not deployed in epoch {item['epoch']}"
    if resource.manifest != item["manifest"]:
        return f"it booted manifest {resource.manifest[:12] or 'unknown'}, not {str(item['manifest'])[:12]}"
    if item["stage"] == "up" and resource.stage != "up":
        return f"its system is at stage {resource.stage}, its agent does not report yet"
    return ""


def wait(store: Store, verb: str, items: Sequence[Item], actor: str) -> Waited:
    """Waits until all items are reached, their deadline passed, their order failed, or they booted something else.

    Raises: DeadlineError for items that are not `soft`, naming each resource and what it last did.
    """
    if verb == "wait_up":
        store.again(lambda: _expect(store, items, actor))
    begun = time.monotonic()
    waiting = {str(item["resource"]): item for item in items}
    arrived: list[str] = []
    missing: dict[str, str] = {}
    while waiting:
        rows, failed, states = store.again(lambda: _look(store, waiting))
        for resource in rows:
            item = waiting[resource.name]
            reason = ordered(item, states) if verb == "wait_order" else reached(verb, item, resource)
            late = time.monotonic() - begun > float(str(item["deadline_s"]))
            gone = failed.get(resource.name, "") if verb != "wait_idle" else ""
            gone = gone or (astray(item, resource) if verb == "wait_up" else "")
            if gone:
                missing[resource.name] = gone
            elif not reason:
                arrived.append(resource.name)
            elif late:
                missing[resource.name] = f"after {item['deadline_s']} s {reason}"
            if not reason or resource.name in missing:
                del waiting[resource.name]
        if waiting:
            time.sleep(POLL_S)
    outcome = Waited(tuple(arrived), missing, time.monotonic() - begun)
    _raise_for_missing(items, outcome)
    return outcome


def _expect(store: Store, items: Sequence[Item], actor: str) -> None:
    with store.write(actor, "node wait_up") as tx:
        expect(tx, items)


def _look(store: Store, waiting: Mapping[str, Item]) -> tuple[list[Resource], dict[str, str], dict[str, str]]:
    """The resources as they are, those whose order failed, and what became of the orders that are awaited."""
    with store.read() as tx:
        return tx.resources(sorted(waiting)), failed_orders(tx, waiting), _order_states(tx, waiting)


def _order_states(tx: Reader, waiting: Mapping[str, Item]) -> dict[str, str]:
    """The state of the last order of each resource that is the one which its item awaits."""
    awaited = {name: item for name, item in waiting.items() if "states" in item}
    states = {}
    for order in tx.orders(sorted(awaited), states=None) if awaited else ():
        item = awaited[order.resource]
        if (order.order, order.epoch, order.manifest) == (item["order"], item["epoch"], item["manifest"]):
            states[order.resource] = order.state
    return states


def ordered(item: Item, states: Mapping[str, str]) -> str:
    """Empty if the order that the item awaits is in one of the states that it wants, else what it is instead."""
    state, wanted = states.get(str(item["resource"]), "not given"), item["states"]
    return "" if isinstance(wanted, list) and state in wanted else f"its order {item['order']} is {state}"


def failed_orders(tx: Reader, waiting: Mapping[str, Item]) -> dict[str, str]:
    """The resources whose order of the awaited start failed, with what the node says.

    Another appliance's start may have the same epoch, which is that of a member, but not the same manifest.
    """
    failed = {}
    for order in tx.orders(sorted(waiting), states=("failed",)):
        item = waiting[order.resource]
        if (order.epoch, order.manifest) == (item.get("epoch"), item.get("manifest")):
            failed[order.resource] = f"the node reports: {order.message or 'order failed'}"
    return failed


def _raise_for_missing(items: Sequence[Item], outcome: Waited) -> None:
    soft = {str(item["resource"]) for item in items if item.get("soft")}
    hard = {name: reason for name, reason in outcome.missing.items() if name not in soft}
    if hard:
        shown = "; ".join(f"{name}: {reason}" for name, reason in sorted(hard.items())[:5])
        more = f" and {len(hard) - 5} more" if len(hard) > 5 else ""
        raise DeadlineError(
            f"Not reached by {len(hard)} of {len(items)} resources: {shown}{more}.",
            remedy="See `openqrm event list` and the node's console.",
            missing=hard,
        )
