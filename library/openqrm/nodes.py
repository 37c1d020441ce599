"""What a report of a node means: registration, heartbeats, events and orders, as rules over the store.

A node speaks about itself only. It becomes idle by its own report when nothing is assigned to it; every other state is
set by the plans that the controller carries out.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from openqrm import registration
from openqrm.errors import ConflictError, NotFoundError
from openqrm.model import Assignment, Nic, Order, Resource
from openqrm.registration import ACTOR, authenticate
from openqrm.registration import current_assignment as _assignment

if TYPE_CHECKING:
    from openqrm.config import Config
    from openqrm.nodeapi.bodies import Hardware, Heartbeat, NodeEvent, OrderResult
    from openqrm.store import Reader, Store, Writer

HEARTBEAT_INTERVAL_S = 10
# From these a node that reports itself idle becomes idle, unless something is assigned to it.
BECOMES_IDLE = frozenset({"new", "off", "unknown", "error"})
LONG_AGO = datetime.min.replace(tzinfo=UTC)
# A warning that says the same is not repeated within this time.
QUIET = timedelta(hours=1)
FINAL_ORDER_STATES = frozenset({"done", "failed", "superseded"})


@dataclass(frozen=True)
class Registration:
    """The answer to a node: its name, its token (kept nowhere in clear), its state, and whether it was known before.

    `approved` False: it is held until a person approves it.
    """

    resource: str
    token: str
    state: str
    known: bool
    approved: bool = True


def register(store: Store, config: Config, body: Hardware, *, since: datetime = LONG_AGO) -> Registration:
    """Records the node's hardware and gives it a new token; a node that is not known becomes `node-<boot MAC>`.

    `since`: when the API began to listen. Raises: HeldError when its MACs are those of a machine that is alive, and
    ForbiddenError when the policy does not let it in, both with nothing changed but an event; ConflictError when its
    MACs belong to several resources; StoreError.
    """
    try:
        with store.write(ACTOR, f"registration from {body.address or body.boot_mac}") as writer:
            return _register(writer, config, body, since)
    except registration.HeldError as held:
        with store.write(ACTOR, "registration refused") as writer:
            _warn(writer, held.resource, f"Registration from {body.address} refused: {held.message}")
        raise


def _register(writer: Writer, config: Config, body: Hardware, since: datetime) -> Registration:
    known = _by_macs(writer, _macs(body))
    approved = registration.admit(writer, config, known, body, since)
    name = known.name if known else _free_name(writer, f"node-{body.boot_mac.replace(':', '-')}")
    resource = _discovered(writer, config, known or Resource(id=0, name=name), body)
    if resource != known:
        writer.save([resource])
    _report_boot(writer, resource, body)
    if body.mode == "deployed":
        _supersede_take_over(writer, name)
    token = registration.issue(writer, name, body, approved=approved)
    if approved:
        _settle(writer, resource, _assignment(writer, name), body.mode, body.boot_id)
    if known is None:
        text = f"New machine: {body.cores} cores, {body.memory_mib} MiB, {body.dmi.vendor} {body.dmi.product}".strip(
            " ,"
        )
        held = "" if approved else f" It waits for approval: openqrm resource approve {name}"
        severity = "info" if approved else "warning"
        writer.add_event(severity, f"{text}.{held}", "resource", name, {"macs": list(body.macs)})
    return Registration(name, token, writer.resource(name).state, known is not None, approved)


def heartbeats(store: Store, reports: Sequence[tuple[str, Heartbeat]]) -> list[str | None]:
    """Writes heartbeats, as (digest of the token, heartbeat), in one transaction.

    Returns the resource's name for each, or None where the token is nobody's. Raises: StoreError.
    """
    names: list[str | None] = []
    with store.write(ACTOR, "heartbeat") as writer:
        for token, body in reports:
            resource = writer.resource_by_token(token)
            names.append(resource.name if resource else None)
            if resource:
                writer.token_used(token)
                _heartbeat(writer, resource, body)
    return names


def next_order(reader: Reader, token: str) -> tuple[str, Order | None]:
    """The name of the token's resource and its pending order, if there is one. Raises: UnauthorizedError."""
    resource = authenticate(reader, token)
    orders = reader.orders(resource_names=[resource.name], states=["pending"])
    return resource.name, orders[0] if orders else None


def pending_orders(reader: Reader) -> Mapping[str, Order]:
    """All orders that no node has taken yet, by resource."""
    return {order.resource: order for order in reader.orders(states=["pending"])}


def order_result(store: Store, token: str, order_id: int, body: OrderResult) -> Order:
    """Records what became of an order, and returns it as it was. Saying it again changes nothing.

    Raises: UnauthorizedError; NotFoundError for an order of another resource or none.
    """
    with store.write(ACTOR, f"order {order_id} {body.result}") as writer:
        resource = authenticate(writer, token)
        orders = writer.orders(resource_names=[resource.name], states=None)
        order = next((item for item in orders if item.id == order_id), None)
        if order is None:
            raise NotFoundError("Order", str(order_id))
        if order.state in FINAL_ORDER_STATES or order.state == body.result:
            return order
        writer.set_order(order_id, body.result, body.message)
        if body.result == "accepted":
            writer.expect_boot([resource.name])  # every order that is accepted first and done later is a boot
        if body.result == "failed":
            text = f"Order {order.order} failed: {body.message or 'no reason given'}"
            writer.add_event("error", text, "resource", resource.name, {"order": order_id, "epoch": order.epoch})
    return order


def event(store: Store, token: str, body: NodeEvent) -> str:
    """Records an event of a node, and returns the name of its resource. Raises: UnauthorizedError, StoreError."""
    with store.write(ACTOR, "event") as writer:
        resource = authenticate(writer, token)
        text = f"{body.step}: {body.message}" if body.step else body.message
        data = {"step": body.step, "epoch": body.epoch}
        writer.add_event(body.severity, text, "resource", resource.name, data)
    return resource.name


def _report_boot(writer: Writer, resource: Resource, body: Hardware) -> None:
    """Records what the node booted; what an earlier boot reported is forgotten."""
    earlier = {"stage": "", "manifest": "", "reported_epoch": 0} if resource.boot_id != body.boot_id else {}
    writer.report(
        resource.name, boot_id=body.boot_id, mode=body.mode, kernel=body.kernel, last_seen=datetime.now(UTC), **earlier
    )


def _supersede_take_over(writer: Writer, name: str) -> None:
    """Takes back the order to take over in place that a boot into the same service came before: its system would refuse
    it, which would look as if the start had failed."""
    for order in writer.orders(resource_names=[name], states=["pending"]):
        if order.order == "assign":
            writer.set_order(order.id, "superseded")


def mark_silent(store: Store, config: Config) -> list[str]:
    """Makes idle and active resources whose heartbeat is overdue `unknown`, each with an event; returns their names."""
    since = datetime.now(UTC) - timedelta(seconds=config.deadlines.heartbeat_s)
    with store.read() as reader:
        if not reader.silent(since):
            return []
    with store.write(ACTOR, "heartbeat overdue") as writer:
        names = writer.silent(since)
        writer.set_state("resource", names, "unknown")
        for name in names:
            text = f"No heartbeat for {config.deadlines.heartbeat_s} s."
            writer.add_event("error", text, "resource", name, {"problem": "silent"})
    return names


def _macs(body: Hardware) -> list[str]:
    """The machine's MACs, the one that it booted from first."""
    return list(dict.fromkeys([body.boot_mac, *body.macs]))


def _free_name(reader: Reader, wanted: str) -> str:
    """The name, numbered where another machine was called so and has its NIC no more."""
    names = itertools.chain([wanted], (f"{wanted}-{number}" for number in itertools.count(2)))
    return next(name for name in names if not reader.resources([name]))


def _by_macs(reader: Reader, macs: Sequence[str]) -> Resource | None:
    """The resource that has any of the MACs, None if there is none. Raises: ConflictError if there are several."""
    found = {resource.name: resource for resource in reader.resources(macs=macs)}
    if len(found) > 1:
        raise ConflictError(
            f"The MACs {', '.join(macs)} belong to several resources: {', '.join(sorted(found))}.",
            remedy="Remove all of these resources but one.",
        )
    return next(iter(found.values()), None)


def _discovered(writer: Writer, config: Config, resource: Resource, body: Hardware) -> Resource:
    """The resource with the hardware that the node found in itself."""
    return dataclasses.replace(
        resource,
        arch=body.arch,
        cores=body.cores,
        memory_mib=body.memory_mib,
        firmware=body.firmware,
        disk_mib=max((disk.size_mib for disk in body.disks), default=0),
        address=body.address,
        nics=_nics(writer, config, resource, body),
        hardware={
            "dmi": body.dmi.model_dump(),
            "disks": [disk.model_dump() for disk in body.disks],
            "nics": [nic.model_dump() for nic in body.nics],
            "bmc": body.bmc.model_dump(),
        },
    )


def _nics(writer: Writer, config: Config, resource: Resource, body: Hardware) -> tuple[Nic, ...]:
    """The NICs that were found, the boot NIC first; what was known of them (role, address) is kept."""
    known = {nic.mac: nic for nic in resource.nics}
    names = {nic.mac.lower(): nic.name for nic in body.nics}
    nics = [dataclasses.replace(known.get(mac, Nic(mac)), name=names.get(mac, "")) for mac in _macs(body)]
    nics[0] = dataclasses.replace(nics[0], role="management")
    others = [index for index, nic in enumerate(nics) if index and nic.role in ("", "storage")]
    chosen = next((index for index in others if nics[index].role == "storage"), others[0] if others else None)
    if config.networks.storage.cidr and chosen is not None:
        address = nics[chosen].address or _storage_address(writer, config)
        nics[chosen] = dataclasses.replace(nics[chosen], role="storage", address=address)
    return tuple(nics)


def _storage_address(writer: Writer, config: Config) -> str:
    """A free address of the storage network with its prefix length, empty if no pool is configured."""
    network = config.networks.storage
    if not network.pool:
        return ""
    length = ipaddress.ip_network(network.cidr).prefixlen
    return writer.next_storage_address(network.pool, length)


def _settle(writer: Writer, resource: Resource, assignment: Assignment | None, mode: str, boot_id: str) -> None:
    """What follows for the state when a node reports a mode; a plan that waits for it sees the report itself."""
    if mode == "idle" and assignment is None and resource.state in BECOMES_IDLE and _is_let_in(writer, resource):
        writer.set_state("resource", [resource.name], "idle")
    if mode == "idle" and resource.state == "active":
        service = f"{assignment.appliance}[{assignment.member}]" if assignment else "its service"
        _add_once(
            writer,
            resource,
            f"Service lost: the machine runs idle, but should run {service}.",
            {"boot_id": boot_id, "problem": "service lost"},
        )
    if mode == "deployed" and assignment is not None and resource.state == "unknown":
        writer.set_state("resource", [resource.name], "active")


def _is_let_in(reader: Reader, resource: Resource) -> bool:
    """Whether the machine needs no approval, or has it."""
    identity = reader.identity(resource.name) if resource.state == "new" else None
    return identity is None or identity.approved


def _heartbeat(writer: Writer, resource: Resource, body: Heartbeat) -> None:
    assignment = _assignment(writer, resource.name)
    writer.report(
        resource.name,
        boot_id=body.boot_id,
        mode=body.mode,
        stage=body.stage,
        kernel=body.kernel,
        manifest=body.manifest,
        reported_epoch=body.epoch,
        last_seen=datetime.now(UTC),
    )
    current = assignment.epoch if assignment else None
    if body.mode == "deployed" and body.epoch != current and resource.state != "stopping":
        wanted = f"epoch {current}" if current is not None else "nothing"
        _add_once(
            writer,
            resource,
            f"Zombie: the machine runs epoch {body.epoch}, but {wanted} is assigned to it.",
            {"boot_id": body.boot_id, "epoch": body.epoch, "problem": "zombie"},
        )
        return
    _settle(writer, resource, assignment, body.mode, body.boot_id)


def _add_once(writer: Writer, resource: Resource, text: str, data: Mapping[str, object]) -> None:
    """Adds an error event, unless the resource's last error event says the same already."""
    last = writer.events(severities=["error"], kind="resource", name=resource.name, limit=1)
    if not last or dict(last[0].data) != dict(data):
        writer.add_event("error", text, "resource", resource.name, data)


def _warn(writer: Writer, resource: str, text: str) -> None:
    """Adds a warning, unless there was one of the same kind a short time ago."""
    data = {"problem": "identity"}
    last = writer.events(severities=["warning"], kind="resource", name=resource, limit=1)
    if not last or dict(last[0].data) != data or last[0].time < datetime.now(UTC) - QUIET:
        writer.add_event("warning", text, "resource", resource, data)
