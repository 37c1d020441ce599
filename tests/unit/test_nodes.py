"""What reports of nodes do to the store."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from openqrm import nodes
from openqrm.config import Config, Network, Networks
from openqrm.errors import ConflictError, NotFoundError
from openqrm.model import Appliance, Event, Image, Kernel, Nic, Resource, Storage, Volume
from openqrm.nodeapi.bodies import Hardware, Heartbeat, NodeEvent, OrderResult
from openqrm.registration import UnauthorizedError, authenticate, token_sha256
from openqrm.store import Store, open_store

MAC = "52:54:00:12:34:56"
SECOND = "52:54:00:12:34:57"
NAME = "node-52-54-00-12-34-56"
CONFIG = Config(
    networks=Networks(management=Network("10.77.0.0/24"), storage=Network("10.78.0.0/24", "10.78.0.100-10.78.0.101"))
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    opened = open_store(f"sqlite:///{tmp_path}/openqrm.db", create=True)
    yield opened
    opened.close()


def hardware(**changes: Any) -> Hardware:
    """The registration of a machine with two NICs and two disks."""
    body = {
        "macs": [SECOND, MAC],
        "boot_mac": MAC,
        "address": "10.77.0.50",
        "boot_id": "boot-1",
        "mode": "idle",
        "firmware": "bios",
        "arch": "x86_64",
        "cores": 2,
        "memory_mib": 2048,
        "kernel": "a" * 64,
        "dmi": {"vendor": "Acme", "product": "One", "serial": "1", "uuid": "u"},
        "disks": [{"name": "vda", "size_mib": 1024, "model": ""}, {"name": "vdb", "size_mib": 4096, "model": "m"}],
        "nics": [
            {"name": "eth0", "mac": MAC, "driver": "virtio_net", "link": True, "speed_mbit": -1},
            {"name": "eth1", "mac": SECOND, "driver": "virtio_net", "link": True, "speed_mbit": 1000},
        ],
        "bmc": {"address": "10.77.0.200"},
    }
    return Hardware.model_validate(body | changes)


def heartbeat(**changes: Any) -> Heartbeat:
    """A heartbeat of an idle node."""
    return Heartbeat.model_validate({"boot_id": "boot-1", "mode": "idle", "kernel": "a" * 64} | changes)


def resource(store: Store, name: str = NAME) -> Resource:
    """The resource as stored."""
    with store.read() as reader:
        return reader.resource(name)


def boot_again(store: Store, boot_id: str = "boot-2", **changes: Any) -> nodes.Registration:
    """The registration after a boot that the controller caused."""
    with store.write("test", "reset") as writer:
        writer.expect_boot([NAME])
    return nodes.register(store, CONFIG, hardware(boot_id=boot_id, **changes))


def events(store: Store, *severities: str) -> list[Event]:
    """The events of these severities."""
    with store.read() as reader:
        return reader.events(severities=severities or None)


def set_states(store: Store, *states: str, name: str = NAME) -> None:
    """Takes the resource through the states."""
    with store.write("test", "test") as writer:
        for state in states:
            writer.set_state("resource", [name], state)


def assign(store: Store, name: str = NAME) -> int:
    """Assigns an appliance to the resource and returns the epoch."""
    with store.write("test", "test") as writer:
        if not writer.appliances(["web"]):
            writer.save(
                [
                    Kernel(0, "k", "6.1", "x86_64", "a" * 64, "b" * 64, "c" * 64),
                    Storage(0, "san1", "directory", "san1", "/srv", "10.78.0.10"),
                    Volume(0, "v", "san1"),
                    Image(0, "web", "san1", "v", "nfs"),
                    Appliance(0, "web", "k", "web"),
                ]
            )
        return writer.assign([("web", 0, name, "web", 1)])[0].epoch


def test_unknown_machine_becomes_an_idle_resource(store: Store) -> None:
    result = nodes.register(store, CONFIG, hardware())
    assert (result.resource, result.state, result.known) == (NAME, "idle", False)
    found = resource(store)
    assert (found.cores, found.memory_mib, found.disk_mib) == (2, 2048, 4096)
    assert (found.arch, found.firmware) == ("x86_64", "bios")
    assert (found.address, found.boot_id, found.mode, found.kernel) == ("10.77.0.50", "boot-1", "idle", "a" * 64)
    assert found.last_seen is not None
    assert found.hardware["bmc"] == {"address": "10.77.0.200"}
    assert [event.severity for event in events(store)] == ["info"]


def test_boot_nic_is_first_and_second_gets_an_address_of_the_storage_network(store: Store) -> None:
    nodes.register(store, CONFIG, hardware())
    assert resource(store).nics == (
        Nic(MAC, "eth0", "management", ""),
        Nic(SECOND, "eth1", "storage", "10.78.0.100/24"),
    )
    assert resource(store).boot_mac == MAC


def test_storage_address_stays_with_its_machine_and_is_not_given_twice(store: Store) -> None:
    nodes.register(store, CONFIG, hardware())
    boot_again(store)
    other = ["52:54:00:00:00:01", "52:54:00:00:00:02"]
    name = nodes.register(store, CONFIG, hardware(macs=other, boot_mac=other[0])).resource
    assert resource(store).nics[1].address == "10.78.0.100/24"
    assert resource(store, name).nics[1].address == "10.78.0.101/24"


def test_without_a_storage_network_nics_have_no_role(store: Store) -> None:
    nodes.register(store, Config(), hardware())
    assert [nic.role for nic in resource(store).nics] == ["management", ""]


def test_machine_that_was_named_before_keeps_its_name_and_what_a_person_set(store: Store) -> None:
    with store.write("test", "test") as writer:
        writer.save([Resource(0, "web-a", nics=(Nic(MAC, role="management"),), tags=frozenset({"gpu"}))])
    result = nodes.register(store, CONFIG, hardware())
    assert (result.resource, result.known) == ("web-a", True)
    assert resource(store, "web-a").tags == {"gpu"}
    assert resource(store, "web-a").cores == 2


def test_macs_of_two_resources_are_a_conflict(store: Store) -> None:
    with store.write("test", "test") as writer:
        writer.save([Resource(0, "a", nics=(Nic(MAC),)), Resource(0, "b", nics=(Nic(SECOND),))])
    with pytest.raises(ConflictError, match="a, b"):
        nodes.register(store, CONFIG, hardware())


def test_token_works_until_the_next_registration_and_is_stored_as_a_digest(store: Store, tmp_path: Path) -> None:
    first = nodes.register(store, CONFIG, hardware()).token
    second = boot_again(store).token
    with store.read() as reader:
        assert authenticate(reader, token_sha256(second)).name == NAME
        with pytest.raises(UnauthorizedError):
            authenticate(reader, token_sha256(first))
    store.close()
    assert all(second.encode() not in path.read_bytes() for path in tmp_path.iterdir())


@pytest.mark.parametrize("states", [(), ("off",), ("unknown",), ("error",)])
def test_free_machine_that_reports_idle_is_idle(store: Store, states: tuple[str, ...]) -> None:
    nodes.register(store, CONFIG, hardware())
    set_states(store, *states)
    assert boot_again(store).state == "idle"


@pytest.mark.parametrize(
    "states", [("reserved",), ("reserved", "starting"), ("reserved", "starting", "stopping"), ("quarantined",)]
)
def test_state_of_a_plan_or_a_person_is_left_alone(store: Store, states: tuple[str, ...]) -> None:
    nodes.register(store, CONFIG, hardware())
    set_states(store, *states)
    assert boot_again(store).state == states[-1]
    assert (resource(store).mode, resource(store).boot_id) == ("idle", "boot-2")
    assert not events(store, "error")


@pytest.mark.parametrize("state", ["off", "unknown", "error"])
def test_machine_with_an_assignment_does_not_become_idle(store: Store, state: str) -> None:
    nodes.register(store, CONFIG, hardware())
    assign(store)
    set_states(store, state)
    assert boot_again(store).state == state


def test_active_machine_that_comes_up_idle_is_an_error_event(store: Store) -> None:
    token = nodes.register(store, CONFIG, hardware()).token
    assign(store)
    set_states(store, "reserved", "starting", "active")
    assert boot_again(store).state == "active"
    token = boot_again(store).token
    nodes.heartbeats(store, [(token_sha256(token), heartbeat(boot_id="boot-2"))])
    assert [event.message for event in events(store, "error")] == [
        "Service lost: the machine runs idle, but should run web[0]."
    ]


def test_registration_after_a_new_boot_forgets_what_the_old_one_reported(store: Store) -> None:
    token = token_sha256(nodes.register(store, CONFIG, hardware()).token)
    nodes.heartbeats(store, [(token, heartbeat(manifest="b" * 64, epoch=3, stage="up"))])
    boot_again(store, "boot-1")
    assert resource(store).reported_epoch == 3
    boot_again(store)
    assert (resource(store).reported_epoch, resource(store).manifest, resource(store).stage) == (0, "", "")


def test_heartbeats_are_recorded_and_unknown_tokens_named(store: Store) -> None:
    token = token_sha256(nodes.register(store, CONFIG, hardware()).token)
    epoch = assign(store)
    body = heartbeat(mode="deployed", stage="init", epoch=epoch, manifest="b" * 64)
    assert nodes.heartbeats(store, [(token, body), ("0" * 64, body)]) == [NAME, None]
    found = resource(store)
    assert (found.mode, found.stage, found.reported_epoch, found.manifest) == ("deployed", "init", epoch, "b" * 64)
    assert not events(store, "error")


@pytest.mark.parametrize("mode", ["idle", "deployed"])
def test_machine_that_is_heard_of_again_leaves_unknown(store: Store, mode: str) -> None:
    token = token_sha256(nodes.register(store, CONFIG, hardware()).token)
    epoch = assign(store) if mode == "deployed" else 0
    set_states(store, "unknown")
    nodes.heartbeats(store, [(token, heartbeat(mode=mode, epoch=epoch))])
    assert resource(store).state == ("active" if mode == "deployed" else "idle")


@pytest.mark.parametrize("assigned", [True, False])
def test_zombie_is_one_event_and_no_change_of_state(store: Store, assigned: bool) -> None:
    token = token_sha256(nodes.register(store, CONFIG, hardware()).token)
    epoch = assign(store) if assigned else 0
    set_states(store, "unknown")
    for _ in range(3):
        nodes.heartbeats(store, [(token, heartbeat(mode="deployed", epoch=epoch + 7))])
    assert resource(store).state == "unknown"
    assert len(events(store, "error")) == 1
    assert "Zombie" in events(store, "error")[0].message


def give(store: Store, order: str = "assign") -> int:
    """Gives the resource an order and returns its id."""
    with store.write("test", "test") as writer:
        return writer.give_orders([(NAME, order, 3, "d" * 64)])[0]


@pytest.mark.parametrize(("mode", "offered"), [("deployed", False), ("idle", True)])
def test_an_order_to_take_over_is_void_once_the_machine_booted_into_it(store: Store, mode: str, offered: bool) -> None:
    live = token_sha256(nodes.register(store, CONFIG, hardware()).token)
    nodes.heartbeats(store, [(live, heartbeat())])
    give(store)
    token = token_sha256(boot_again(store, mode=mode).token)
    with store.read() as reader:
        assert (nodes.next_order(reader, token)[1] is not None) is offered


def test_order_is_offered_until_it_is_accepted(store: Store) -> None:
    token = token_sha256(nodes.register(store, CONFIG, hardware()).token)
    number = give(store)
    with store.read() as reader:
        assert nodes.next_order(reader, token)[1] == nodes.pending_orders(reader)[NAME]
    nodes.order_result(store, token, number, OrderResult(result="accepted"))
    with store.read() as reader:
        assert nodes.next_order(reader, token) == (NAME, None)
        assert not nodes.pending_orders(reader)


def test_order_result_is_recorded_once(store: Store) -> None:
    token = token_sha256(nodes.register(store, CONFIG, hardware()).token)
    number = give(store)
    for result in ("accepted", "failed", "failed", "done"):
        nodes.order_result(store, token, number, OrderResult(result=result, message="no disk"))
    with store.read() as reader:
        assert [(order.state, order.message) for order in reader.orders(states=None)] == [("failed", "no disk")]
    assert [event.message for event in events(store, "error")] == ["Order assign failed: no disk"]


def test_order_of_another_machine_does_not_exist(store: Store) -> None:
    nodes.register(store, CONFIG, hardware())
    other = nodes.register(store, CONFIG, hardware(macs=["52:54:00:00:00:01"], boot_mac="52:54:00:00:00:01"))
    number = give(store)
    with pytest.raises(NotFoundError):
        nodes.order_result(store, token_sha256(other.token), number, OrderResult(result="done"))


def test_event_is_about_its_machine(store: Store) -> None:
    token = token_sha256(nodes.register(store, CONFIG, hardware()).token)
    body = NodeEvent(severity="error", step="mount_root", message="no\nserver \x1b[31m", epoch=3)
    assert nodes.event(store, token, body) == NAME
    found = events(store, "error")[0]
    assert (found.kind, found.name, found.message) == ("resource", NAME, "mount_root: no server [31m")
    assert found.data == {"step": "mount_root", "epoch": 3}


def test_no_report_without_a_token(store: Store) -> None:
    with pytest.raises(UnauthorizedError):
        nodes.event(store, "0" * 64, NodeEvent(severity="info", message="x"))
    with pytest.raises(UnauthorizedError):
        nodes.order_result(store, "0" * 64, 1, OrderResult(result="done"))


def test_a_machine_that_falls_silent_is_unknown_until_it_is_heard_of_again(store: Store) -> None:
    token = nodes.register(store, CONFIG, hardware()).token
    assert nodes.mark_silent(store, CONFIG) == []
    with store.write("test", "long ago") as tx:
        tx.report(NAME, last_seen=datetime.now(UTC) - timedelta(seconds=CONFIG.deadlines.heartbeat_s + 1))
    assert nodes.mark_silent(store, CONFIG) == [NAME]
    assert nodes.mark_silent(store, CONFIG) == []
    with store.read() as tx:
        assert tx.resource(NAME).state == "unknown"
        assert [event.message for event in tx.events(severities=["error"])] == ["No heartbeat for 240 s."]
    nodes.heartbeats(store, [(token_sha256(token), heartbeat())])
    with store.read() as tx:
        assert tx.resource(NAME).state == "idle"
