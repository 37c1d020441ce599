"""Plans, orders, events, audit, settings and plug-ins."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

import pytest
from openqrm.errors import ConflictError, NotFoundError
from openqrm.store import Store

from tests.unit.store.samples import operation, plan


def test_plan_and_its_operations(filled: Store) -> None:
    wanted = plan(operation(1), operation(2))
    with filled.write("planner", "start web01") as writer:
        made = writer.add_plan(wanted)
        assert (made.operations, made.objects, made.state) == (wanted.operations, wanted.objects, "planned")
        assert made == writer.plan(made.id)
        writer.add_operations(made.id, [operation(3)])
        writer.add_objects(made.id, [{"kind": "resource", "name": "node01"}])
        writer.set_plan(made.id, "applying", owner="host/17")
        writer.set_operation(made.id, 2, "failed", "no space", attempts=3)
        writer.set_operation(made.id, 1, "done")
    with filled.read() as reader:
        found = reader.plan(made.id)
        assert (found.state, found.owner, found.message, found.basis) == ("applying", "host/17", "", "digest")
        assert [(o.seq, o.state, o.message, o.attempts) for o in found.operations] == [
            (1, "done", "", 0),
            (2, "failed", "no space", 3),
            (3, "pending", "", 0),
        ]
        assert [item["name"] for item in found.objects] == ["web01", "node01"]
        assert [row.after for row in reader.audit("plan")][-1] == {"state": "applying", "owner": "host/17"}


def test_plans_are_found(filled: Store) -> None:
    with filled.write("planner", "x") as writer:
        ids = [
            writer.add_plan(plan(objects=[{"kind": "appliance", "name": name}])).id for name in ("web01", "a", "web01")
        ]
        writer.set_plan(ids[0], "done")
        assert [p.id for p in writer.plans()] == ids[::-1]
        assert [p.id for p in writer.plans(limit=1)] == ids[2:]
        assert [p.id for p in writer.plans(states=["done"])] == ids[:1]
        assert [p.id for p in writer.open_plans([("appliance", "web01"), ("resource", "a")])] == [ids[2]]
        assert [p.id for p in writer.open_plans([("appliance", "web01"), ("appliance", "a")])] == [ids[2], ids[1]]
        assert writer.open_plans([("resource", "a")]) == writer.open_plans([]) == []


def test_journal_of_nothing(filled: Store) -> None:
    with filled.write("planner", "x") as writer:
        for call in (
            lambda: writer.set_plan(99, "done"),
            lambda: writer.set_operation(99, 1, "done"),
            lambda: writer.set_order(99, "done"),
        ):
            with pytest.raises(NotFoundError):
                call()


def test_orders(filled: Store) -> None:
    with filled.write("planner", "x") as writer:
        first = writer.give_orders([("node01", "assign", 3, "a" * 64), ("node00", "reboot", 0, "")])
        second = writer.give_orders([("node01", "release", 3, "")])
        assert [(o.id, o.order) for o in writer.orders()] == [(first[1], "reboot"), (second[0], "release")]
        assert [o.id for o in writer.orders(["node01"])] == second
        assert [o.manifest for o in writer.orders(["node01"], states=["superseded"])] == ["a" * 64]
        assert len(writer.orders(states=None)) == 3
        writer.set_order(second[0], "failed", "busy")
        assert [(o.state, o.message) for o in writer.orders(["node01"], states=["failed"])] == [("failed", "busy")]
        assert writer.give_orders([]) == []
        with pytest.raises(NotFoundError, match="Resource nobody"):
            writer.give_orders([("nobody", "reboot", 0, "")])
        with pytest.raises(ConflictError, match="two orders"):
            writer.give_orders([("node01", "reboot", 0, ""), ("node01", "release", 0, "")])


def test_events(filled: Store) -> None:
    before = datetime.now(UTC)
    with filled.write("node api", "x") as writer:
        ids = [
            writer.add_event(severity, f"event {number}", "resource", f"node0{number}", {"step": number})
            for number, severity in enumerate(("info", "warning", "error"))
        ]
        writer.add_event("info", "about nothing")
    with filled.read() as reader:
        assert [event.message for event in reader.events()] == ["event 0", "event 1", "event 2", "about nothing"]
        assert [event.message for event in reader.events(limit=2)] == ["event 2", "about nothing"]
        assert [event.message for event in reader.events(after_id=ids[0], limit=2)] == ["event 1", "event 2"]
        assert [event.id for event in reader.events(severities=["error", "warning"])] == ids[1:]
        (event,) = reader.events(kind="resource", name="node01")
        assert (event.severity, event.data) == ("warning", {"step": 1})
        assert before <= event.time <= datetime.now(UTC)


def test_events_of_many(filled: Store) -> None:
    with filled.write("operator", "start") as writer:
        writer.add_events("info", "appliance", [("web", "is active"), ("db", "is active too")], {"plan": 7})
        writer.add_events("info", "appliance", [], {})
    with filled.read() as reader:
        found = [(event.kind, event.name, event.message, event.data) for event in reader.events()]
    assert found == [("appliance", "web", "is active", {"plan": 7}), ("appliance", "db", "is active too", {"plan": 7})]


def test_settings_and_plugins(store: Store) -> None:
    with store.write("operator", "configure") as writer:
        assert writer.setting("kernel") is None
        assert writer.setting("kernel", "none") == "none"
        for value in ("default", "other", "other"):
            writer.set_setting("kernel", value)
        writer.set_setting("empty", None)
        writer.set_setting("empty", None)
        writer.set_plugin("hosts", enabled=True)
        writer.set_plugin("hosts", started=False)
        writer.set_plugin("hosts", enabled=True)
    with store.read() as reader:
        assert reader.setting("empty", "default") is None
        assert reader.settings() == {"empty": None, "kernel": "other"}
        assert reader.plugins() == {"hosts": {"enabled": True, "started": False}}
        assert [(row.name, row.before, row.after) for row in reader.audit()] == [
            ("kernel", {}, {"value": "default"}),
            ("kernel", {"value": "default"}, {"value": "other"}),
            ("empty", {}, {"value": None}),
            ("hosts", {}, {"enabled": True}),
            ("hosts", {}, {"started": False}),
        ]


def test_audit_says_who_why_and_what(filled: Store) -> None:
    with filled.write("alice", "ticket 12") as writer:
        node = writer.resource("node01")
        writer.save([dataclasses.replace(node, cores=4, tags=frozenset({"b", "a"}))])
        writer.save([writer.resource("node01")])
    with filled.read() as reader:
        added, changed = reader.audit("resource", "node01")
        assert (added.actor, added.reason, added.action, added.before) == ("tester", "fill", "add", {})
        assert added.after["nics"] == [
            {"mac": "52:54:00:00:00:01", "name": "eth0", "role": "management", "address": ""}
        ]
        assert (changed.actor, changed.reason, changed.action) == ("alice", "ticket 12", "change")
        assert (changed.before, changed.after) == ({"cores": 2, "tags": []}, {"cores": 4, "tags": ["a", "b"]})
        assert [row.kind for row in reader.audit(limit=2)] == ["appliance", "resource"]


def test_a_failed_transaction_leaves_no_trace(filled: Store) -> None:
    with pytest.raises(NotFoundError), filled.write("alice", "half") as writer:
        writer.set_state("resource", ["node01"], "off")
        writer.add_event("info", "half")
        writer.resource("nobody")
    with filled.read() as reader:
        assert reader.resource("node01").state == "idle"
        assert reader.events() == []
        assert [row.actor for row in reader.audit("resource", "node01")] == ["tester"]
