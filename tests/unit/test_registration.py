"""Who is believed to be which machine: policies, replayed and forged registrations, boots, and exchange of tokens."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from openqrm import nodes
from openqrm.config import Config, Registration
from openqrm.datacenter import Datacenter
from openqrm.errors import InvalidValueError
from openqrm.nodeapi.bodies import Heartbeat, OrderResult
from openqrm.planning import changes, journal
from openqrm.planning.settle import settle
from openqrm.registration import (
    ForbiddenError,
    HeldError,
    UnauthorizedError,
    authenticate,
    bound_assignment,
    exchange,
    token_sha256,
)
from openqrm.store import Store

from .test_nodes import CONFIG, NAME, assign, events, give, hardware, heartbeat, resource, set_states, store

__all__ = ["store"]
ORDERED = dataclasses.replace(CONFIG, registration=Registration(reboot="ordered"))
KNOWN = dataclasses.replace(CONFIG, registration=Registration(policy="known_macs"))
APPROVAL = dataclasses.replace(CONFIG, registration=Registration(policy="approval", pending=2))
OTHER = "52:54:00:00:00:01"


def live(store: Store, **changes: object) -> str:
    """A machine that registered and sent a heartbeat; the digest of its token."""
    token = token_sha256(nodes.register(store, CONFIG, hardware(**changes)).token)
    nodes.heartbeats(store, [(token, heartbeat())])
    return token


def silence(store: Store, seconds: float) -> None:
    """Lets the machine have been silent for so long."""
    with store.write("test", "silence") as writer:
        writer.report(NAME, last_seen=datetime.now(UTC) - timedelta(seconds=seconds))


def tables(store: Store) -> object:
    """The machine and its identity, as stored."""
    with store.read() as reader:
        return reader.resources(), reader.identity(NAME)


# A machine that is alive


@pytest.mark.parametrize("boot_id", ["boot-1", "boot-2"])
@pytest.mark.parametrize("claim", ["", "secret", "guess"])
def test_a_replayed_or_forged_registration_changes_nothing(store: Store, boot_id: str, claim: str) -> None:
    token = live(store, claim="secret")
    before = tables(store)
    for _ in range(3):
        with pytest.raises(HeldError, match="is alive"):
            nodes.register(store, CONFIG, hardware(boot_id=boot_id, claim=claim, address="10.77.0.99", cores=64))
    assert tables(store) == before
    with store.read() as reader:
        assert authenticate(reader, token).name == NAME
    assert [event.data for event in events(store, "warning")] == [{"problem": "identity"}]
    assert "10.77.0.99" in events(store, "warning")[0].message


def test_a_machine_with_an_assignment_is_not_stolen_either(store: Store) -> None:
    token = live(store)
    epoch = assign(store)
    set_states(store, "reserved", "starting", "active")
    nodes.heartbeats(store, [(token, heartbeat(mode="deployed", epoch=epoch))])
    with pytest.raises(HeldError):
        nodes.register(store, CONFIG, hardware(boot_id="boot-2", mode="deployed"))


def test_one_mac_of_a_live_machine_is_enough_to_be_refused(store: Store) -> None:
    live(store)
    forged = hardware(macs=[OTHER, hardware().macs[0]], boot_mac=OTHER)
    with pytest.raises(HeldError):
        nodes.register(store, CONFIG, forged)


def test_the_boot_mac_of_a_live_machine_is_one_of_its_macs(store: Store) -> None:
    live(store)
    before = tables(store)
    with pytest.raises(HeldError):
        nodes.register(store, CONFIG, hardware(macs=[OTHER]))
    assert tables(store) == before
    assert [event.data for event in events(store, "warning")] == [{"problem": "identity"}]


def test_a_nic_that_moved_to_another_machine_does_not_keep_it_out(store: Store) -> None:
    nodes.register(store, CONFIG, hardware(claim="secret"))
    nodes.register(store, CONFIG, hardware(claim="secret", macs=[OTHER, hardware().macs[0]], boot_mac=OTHER))
    nodes.register(store, CONFIG, hardware(claim="secret", macs=[OTHER], boot_mac=OTHER))
    other = nodes.register(store, CONFIG, hardware(boot_id="boot-2", claim="other"))
    assert (other.resource, other.known) == (f"{NAME}-2", False)


def test_a_lost_answer_may_be_asked_for_again_but_by_nobody_else(store: Store) -> None:
    first = nodes.register(store, CONFIG, hardware(claim="secret"))
    with pytest.raises(HeldError):
        nodes.register(store, CONFIG, hardware(claim="guess"))
    second = nodes.register(store, CONFIG, hardware(claim="secret"))
    with store.read() as reader:
        assert authenticate(reader, token_sha256(second.token)).name == NAME
        with pytest.raises(UnauthorizedError):
            authenticate(reader, token_sha256(first.token))


# A machine that boots again


def test_a_boot_on_its_own_is_believed_after_silence(store: Store) -> None:
    old = live(store)
    silence(store, CONFIG.registration.silence_s - 2)
    with pytest.raises(HeldError):
        nodes.register(store, CONFIG, hardware(boot_id="boot-2"))
    silence(store, CONFIG.registration.silence_s + 2)
    assert nodes.register(store, CONFIG, hardware(boot_id="boot-2")).known
    with store.read() as reader, pytest.raises(UnauthorizedError):
        authenticate(reader, old)


def test_silence_while_the_api_was_down_proves_nothing(store: Store) -> None:
    live(store)
    silence(store, 3600)
    with pytest.raises(HeldError):
        nodes.register(store, CONFIG, hardware(boot_id="boot-2"), since=datetime.now(UTC))
    assert nodes.register(store, CONFIG, hardware(boot_id="boot-2"), since=datetime.now(UTC) - timedelta(minutes=1))


@pytest.mark.parametrize("states", [("reserved",), ("reserved", "starting")])
def test_a_machine_that_takes_over_may_be_silent_for_longer(store: Store, states: tuple[str, ...]) -> None:
    live(store)
    set_states(store, *states)
    silence(store, CONFIG.deadlines.node_up_s - 10)
    with pytest.raises(HeldError):
        nodes.register(store, CONFIG, hardware(boot_id="boot-2"))
    silence(store, CONFIG.deadlines.node_up_s + 1)
    assert nodes.register(store, CONFIG, hardware(boot_id="boot-2")).known


def test_a_machine_that_is_reset_while_it_works_on_its_disks_is_believed_after_silence(store: Store) -> None:
    token = live(store)
    set_states(store, "reserved", "starting")
    body = Heartbeat(boot_id="boot-1", mode="idle", stage="disk")
    assert nodes.heartbeats(store, [(token, body)]) == [NAME]
    silence(store, CONFIG.registration.silence_s - 2)
    with pytest.raises(HeldError):
        nodes.register(store, CONFIG, hardware(boot_id="boot-2"))
    silence(store, CONFIG.registration.silence_s + 2)
    assert nodes.register(store, CONFIG, hardware(boot_id="boot-2")).known


def test_silence_is_not_enough_where_boots_are_ordered(store: Store) -> None:
    live(store)
    silence(store, 3600)
    with pytest.raises(HeldError, match="did not cause") as held:
        nodes.register(store, ORDERED, hardware(boot_id="boot-2"))
    assert held.value.remedy.endswith(f"openqrm resource approve {NAME}")
    with store.write("test", "approve") as writer:
        writer.approve([NAME])
    assert nodes.register(store, ORDERED, hardware(boot_id="boot-2")).known


def test_a_boot_that_the_node_was_ordered_to_is_believed_once(store: Store) -> None:
    token = live(store)
    number = give(store, "reboot")
    with pytest.raises(HeldError):
        nodes.register(store, CONFIG, hardware(boot_id="boot-2"))
    nodes.order_result(store, token, number, OrderResult(result="accepted"))
    assert nodes.register(store, CONFIG, hardware(boot_id="boot-2", claim="a")).known
    with pytest.raises(HeldError):
        nodes.register(store, CONFIG, hardware(boot_id="boot-3", claim="b"))


def test_a_heartbeat_ends_the_expectation_of_a_boot(store: Store) -> None:
    token = live(store)
    with store.write("test", "reset") as writer:
        writer.expect_boot([NAME])
    nodes.heartbeats(store, [(token, heartbeat())])
    with pytest.raises(HeldError):
        nodes.register(store, CONFIG, hardware(boot_id="boot-2"))


@pytest.mark.parametrize("error", ["", "the BMC did not answer"])
@pytest.mark.parametrize(("verb", "expected"), [("reset", True), ("on", True), ("off", True), ("status", False)])
def test_a_power_driver_causes_a_boot(store: Store, verb: str, expected: bool, error: str) -> None:
    live(store)
    with store.write("test", "power") as writer:
        writer.save([dataclasses.replace(writer.resource(NAME), power_driver="fake")])
    center = Datacenter(CONFIG, store)
    plan = changes.prepare(center, "resource_power", {"resources": [NAME], "power": verb}, owner="", actor="test")
    with store.write("test", "end") as writer:
        journal.end(writer, plan.plan, 1, error)
        identity = writer.identity(NAME)
    assert identity is not None and identity.boot_expected is expected


# A machine that nobody knows


def test_unknown_machines_are_refused_where_only_known_ones_may_come(store: Store) -> None:
    with pytest.raises(ForbiddenError, match="only known machines") as refused:
        nodes.register(store, KNOWN, hardware())
    assert refused.value.remedy.startswith("Add it: openqrm resource create")
    with store.read() as reader:
        assert (reader.resources(), reader.events()) == ([], [])
    live(store)
    silence(store, 60)
    assert nodes.register(store, KNOWN, hardware(boot_id="boot-2")).approved


def test_unknown_machines_are_held_for_approval(store: Store) -> None:
    result = nodes.register(store, APPROVAL, hardware())
    assert (result.state, result.approved) == ("new", False)
    token = token_sha256(result.token)
    nodes.heartbeats(store, [(token, heartbeat())])
    assert resource(store).state == "new"
    assert f"openqrm resource approve {NAME}" in events(store, "warning")[0].message
    with store.read() as reader, pytest.raises(ForbiddenError):
        bound_assignment(reader, token)
    center = Datacenter(APPROVAL, store)
    approval = {"resources": [NAME]}
    check = changes.prepare(center, "resource_approve", approval, owner="", actor="test", check=True)
    assert check.plan and resource(store).state == "new"
    plan = changes.prepare(center, "resource_approve", approval, owner="", actor="test")
    settle(center, plan.plan, 0, "test")
    assert resource(store).state == "idle"
    again = changes.prepare(center, "resource_approve", approval, owner="", actor="test")
    assert (again.plan, list(again.unchanged.values())) == (0, [f"resource {NAME} is approved already"])


def test_a_machine_that_boots_again_still_waits_for_approval(store: Store) -> None:
    nodes.register(store, APPROVAL, hardware())
    silence(store, 60)
    assert not nodes.register(store, APPROVAL, hardware(boot_id="boot-2")).approved


def test_no_more_than_so_many_machines_wait_for_approval(store: Store) -> None:
    for number in range(2):
        mac = f"52:54:00:00:01:{number:02x}"
        nodes.register(store, APPROVAL, hardware(macs=[mac], boot_mac=mac))
    with pytest.raises(ForbiddenError, match="wait for approval already"):
        nodes.register(store, APPROVAL, hardware())


def test_a_machine_that_a_person_added_needs_no_approval(store: Store) -> None:
    from openqrm.model import Nic, Resource

    with store.write("test", "test") as writer:
        writer.save([Resource(0, NAME, nics=(Nic(hardware().boot_mac, role="management"),))])
    assert nodes.register(store, APPROVAL, hardware()).state == "idle"


def test_approval_of_nothing(store: Store) -> None:
    with pytest.raises(InvalidValueError):
        changes.prepare(Datacenter(APPROVAL, store), "resource_approve", {"resources": []}, owner="", actor="test")


# Tokens


def test_exchange_gives_a_new_token_and_the_old_one_a_short_grace(store: Store) -> None:
    old = live(store)
    new = token_sha256(exchange(store, old)[0])
    assert nodes.heartbeats(store, [(old, heartbeat()), (new, heartbeat()), (old, heartbeat())]) == [NAME] * 3
    with pytest.raises(UnauthorizedError):
        exchange(store, old)  # the new one is in use: the old one reports, but gets no token
    with store.write("test", "later") as writer:
        identity = writer.identity(NAME)
        assert identity is not None
        writer.set_identity(dataclasses.replace(identity, used=datetime.now(UTC) - timedelta(seconds=61)), "")
    assert nodes.heartbeats(store, [(old, heartbeat()), (new, heartbeat())]) == [None, NAME]


def test_a_lost_answer_to_an_exchange_locks_nobody_out(store: Store) -> None:
    old = live(store)
    lost = token_sha256(exchange(store, old)[0])
    new = token_sha256(exchange(store, old)[0])
    assert nodes.heartbeats(store, [(lost, heartbeat()), (new, heartbeat())]) == [None, NAME]


def test_a_token_is_bound_to_the_assignment(store: Store) -> None:
    token = live(store)
    with store.read() as reader:
        assert bound_assignment(reader, token)[1] is None
    epoch = assign(store)
    with store.read() as reader, pytest.raises(ForbiddenError):
        bound_assignment(reader, token)
    bound = token_sha256(exchange(store, token)[0])
    with store.read() as reader:
        found = bound_assignment(reader, bound)[1]
        assert found is not None and (found.appliance, found.epoch) == ("web", epoch)
        with pytest.raises(ForbiddenError):
            bound_assignment(reader, token)


def test_a_token_outlives_its_assignment_for_reports_only(store: Store) -> None:
    live(store)
    assign(store)
    with store.write("test", "reset") as writer:
        writer.expect_boot([NAME])
    bound = token_sha256(nodes.register(store, CONFIG, hardware(boot_id="boot-2", mode="assigned")).token)
    with store.write("test", "release") as writer:
        writer.release("web", [0])
    with store.read() as reader, pytest.raises(ForbiddenError):
        bound_assignment(reader, bound)
    with pytest.raises(ForbiddenError, match="has ended"):
        exchange(store, bound)
    assign(store)
    with pytest.raises(ForbiddenError, match="has ended"):
        exchange(store, bound)
    assert nodes.heartbeats(store, [(bound, heartbeat(mode="deployed", epoch=1))]) == [NAME]
    assert "Zombie" in events(store, "error")[0].message


def test_a_machine_that_is_idle_before_its_stop_is_over_gets_what_comes_next(store: Store) -> None:
    live(store)
    assign(store)
    set_states(store, "reserved", "starting", "active", "stopping")
    with store.write("test", "reset") as writer:
        writer.expect_boot([NAME])
    idle = token_sha256(nodes.register(store, CONFIG, hardware(boot_id="boot-2")).token)
    idle = token_sha256(exchange(store, idle)[0])
    with store.write("test", "release") as writer:
        writer.release("web", [0])
    set_states(store, "idle")
    epoch = assign(store)
    bound = token_sha256(exchange(store, idle)[0])
    with store.read() as reader:
        found = bound_assignment(reader, bound)[1]
        assert found is not None and found.epoch == epoch


def test_exchanges_are_not_in_the_audit_log_but_bindings_are(store: Store, tmp_path: Path) -> None:
    token = live(store)
    token = token_sha256(exchange(store, token)[0])
    assign(store)
    clear = exchange(store, token)[0]
    with store.read() as reader:
        assert [row.action for row in reader.audit("resource", NAME)][-2:] == ["state", "bind"]
    store.close()
    assert all(clear.encode() not in path.read_bytes() for path in tmp_path.iterdir())


def test_nobody_exchanges_nothing(store: Store) -> None:
    with pytest.raises(UnauthorizedError):
        exchange(store, "0" * 64)
    with store.read() as reader, pytest.raises(UnauthorizedError):
        bound_assignment(reader, "0" * 64)


def test_settings_that_are_not_known(tmp_path: Path) -> None:
    from openqrm.config import load_config
    from openqrm.errors import ConfigError

    path = tmp_path / "openqrm.yml"
    path.write_text("registration: {policy: nobody}\n")
    with pytest.raises(ConfigError, match=r"registration\.policy is 'nobody': use one of accept"):
        load_config(str(path))
    assert Config().registration == Registration()
