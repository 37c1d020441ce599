"""Objects in and out of the store, and what it refuses."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

import pytest
from openqrm.errors import ConflictError, InUseError, InvalidValueError, NotFoundError, OpenqrmError, StateError
from openqrm.model import Appliance, Image, Nic, Requirements, Resource, Volume
from openqrm.store import Store

from tests.unit.store import samples
from tests.unit.store.samples import resource

MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
FULL_RESOURCE = Resource(
    id=0,
    name="node99",
    state="off",
    type="kvm_vm",
    arch="aarch64",
    cores=8,
    memory_mib=1 << 33,
    disk_mib=20480,
    nics=(
        Nic("52:54:00:ff:00:02", "eth1", "storage", "10.78.0.101/24"),
        Nic("52:54:00:ff:00:01", "eth0", "management"),
    ),
    tags=frozenset({"rack:r1", "gpu"}),
    address="10.77.0.99",
    power_driver="redfish",
    power={"system": "1"},
    firmware="uefi",
    hardware={"dmi": {"vendor": "QEMU"}, "disks": [{"name": "vda"}]},
    monitored=False,
    boot_id="b1",
    mode="idle",
    stage="init",
    kernel="a" * 64,
    manifest="b" * 64,
    reported_epoch=4,
    last_seen=MOMENT,
    deadline=MOMENT,
    parameters={"owner": "ops", "cost": 1.5, "list": ["a", "b"]},
)
FULL_APPLIANCE = Appliance(
    id=0,
    name="db01",
    kernel="default",
    image="golden",
    state="failed",
    members=3,
    clone=False,
    root_mode="read-only",
    requirements=Requirements(4, 4096, 2, 100, "kvm_vm", "aarch64", frozenset({"b", "a"}), "rack", "node99"),
    sla={"ha": True},
    deadline=MOMENT,
    parameters={"tier": 1},
)


def test_every_field_comes_back(filled: Store) -> None:
    values = [
        FULL_RESOURCE,
        FULL_APPLIANCE,
        Volume(0, "v", "san1", 10, "golden", {"x": 1}),
        samples.kernel("other"),
        Image(0, "i", "san1", "golden", "nfs", "private", False, "golden", {"y": [1, 2]}),
    ]
    with filled.write("tester", "add") as writer:
        saved = writer.save(values)
    assert [dataclasses.replace(value, id=0) for value in saved] == values
    with filled.read() as reader:
        read = [
            reader.resource("node99"),
            reader.appliance("db01"),
            reader.volume("san1", "v"),
            reader.kernel("other"),
            reader.image("i"),
        ]
        assert read == saved
        assert reader.storage("san1") == dataclasses.replace(samples.storage(), id=reader.storage("san1").id)


def test_lists_are_sorted_and_filtered(filled: Store) -> None:
    with filled.write("tester", "off") as writer:
        writer.set_state("resource", ["node01"], "off")
        assert [r.name for r in writer.resources()] == ["node00", "node01", "node02"]
        assert [r.name for r in writer.resources(["node02", "node00", "nobody"])] == ["node00", "node02"]
        assert [r.name for r in writer.resources(states=["idle"])] == ["node00", "node02"]
        assert [r.name for r in writer.resources(macs=["52:54:00:00:00:01"])] == ["node01"]
        assert writer.resources([]) == writer.resources(macs=[]) == writer.appliances(states=[]) == []
        assert [v.name for v in writer.volumes("san1")] == ["golden", "web01-0"]
        assert writer.volumes("san2") == []
        assert [v.name for v in writer.named("volume", ["san1/golden", "san2/golden"])] == ["golden"]
        assert [a.name for a in writer.appliances(states=["stopped"])] == ["web01"]


def test_resource_by_mac(filled: Store) -> None:
    with filled.read() as reader:
        found = reader.resource_by_mac("52:54:00:00:00:02")
        assert found is not None and found.name == "node02"
        assert reader.resource_by_mac("52:54:00:99:99:99") is None


@pytest.mark.parametrize("kind", ["resource", "kernel", "storage", "volume", "image", "appliance", "plan"])
def test_unknown_object(filled: Store, kind: str) -> None:
    with filled.read() as reader:
        ask = {"volume": lambda: reader.volume("san1", "x"), "plan": lambda: reader.plan(7)}
        with pytest.raises(NotFoundError) as caught:
            ask.get(kind, lambda: getattr(reader, kind)("x"))()
    assert str(caught.value).startswith(f"{kind.capitalize()} ")


def test_unknown_object_names_the_closest(filled: Store) -> None:
    with filled.read() as reader, pytest.raises(NotFoundError, match="Did you mean") as caught:
        reader.resource("nod01")
    assert "node01" in caught.value.remedy


def test_save_changes_all_but_the_state(filled: Store) -> None:
    with filled.write("tester", "change") as writer:
        old = writer.resource("node01")
        new = dataclasses.replace(
            old,
            state="off",
            cores=16,
            tags=frozenset({"ssd"}),
            deadline=MOMENT,
            nics=(*old.nics, Nic("52:54:00:aa:00:01", role="storage", address="10.78.0.9/24")),
        )
        saved = writer.save([new])
        assert saved == [dataclasses.replace(new, state="idle", deadline=None)] == [writer.resource("node01")]


def test_save_keeps_the_order_of_the_input(filled: Store) -> None:
    with filled.write("tester", "mixed") as writer:
        kernel = writer.kernel("default")
        saved = writer.save([samples.appliance("a1"), resource(9), kernel, resource(8)])
        assert [value.name for value in saved] == ["a1", "node09", "default", "node08"]
        assert all(value.id for value in saved)


def test_renaming_is_followed_by_everything(filled: Store) -> None:
    with filled.write("tester", "rename") as writer:
        writer.assign([("web01", 0, "node00", "web01-0", 1)])
        writer.save([dataclasses.replace(writer.image("golden"), name="base")])
        writer.save([dataclasses.replace(writer.volume("san1", "golden"), name="base-root")])
        writer.save([dataclasses.replace(writer.storage("san1"), name="san9")])
        writer.save([dataclasses.replace(writer.resource("node00"), name="first")])
        writer.save([dataclasses.replace(writer.kernel("default"), name="k9")])
        writer.save([dataclasses.replace(writer.appliance("web01"), name="www")])
    with filled.read() as reader:
        assert reader.resource("first").boot_mac == "52:54:00:00:00:00"
        assert (reader.appliance("www").image, reader.appliance("www").kernel) == ("base", "k9")
        assert (reader.image("base").storage, reader.image("base").volume) == ("san9", "base-root")
        assert (reader.image("web01-0").parent, reader.volume("san9", "web01-0").parent) == ("base", "base-root")
        assert [(a.appliance, a.resource) for a in reader.assignments()] == [("www", "first")]


def refused(writer_error: pytest.ExceptionInfo[OpenqrmError], *words: str) -> bool:
    return all(word in str(writer_error.value) for word in words)


def test_taken_names_macs_and_addresses(filled: Store) -> None:
    storage_nic = (Nic("52:54:00:aa:00:01", role="storage", address="10.78.0.9/24"),)
    other_nic = (Nic("52:54:00:aa:00:02", role="storage", address="10.78.0.9/24"),)
    with filled.write("tester", "conflicts") as writer:
        writer.save([resource(5, nics=storage_nic)])
        for values, words in (
            ([resource(1, nics=())], ["Resource node01", "exists already"]),
            (
                [dataclasses.replace(resource(1), name="node77")],
                ["Resource node77", "MAC 52:54:00:00:00:01", "resource node01"],
            ),
            ([resource(6, nics=other_nic)], ["storage address 10.78.0.9/24", "node05"]),
            ([resource(6, nics=other_nic), resource(7, nics=other_nic)], ["MAC 52:54:00:aa:00:02", "node06", "node07"]),
            ([resource(6), resource(6)], ["node06 is given twice"]),
            ([Volume(0, "golden", "san1")], ["Volume san1/golden", "exists already"]),
            ([dataclasses.replace(writer.resource("node02"), name="node01")], ["Resource node01", "exists already"]),
        ):
            with pytest.raises(ConflictError) as caught:
                writer.save(values)
            assert refused(caught, *words)
    with filled.read() as reader:
        assert [r.name for r in reader.resources()] == ["node00", "node01", "node02", "node05"]


def test_references_to_nothing(filled: Store) -> None:
    with filled.write("tester", "dangling") as writer:
        for value, message in (
            (Volume(0, "v", "san7"), "Storage san7 does not exist"),
            (Image(0, "i", "san1", "v7", "nfs"), "Volume san1/v7 does not exist"),
            (samples.appliance("a", image="golde"), "Did you mean golden?"),
            (samples.appliance("a", kernel="k7"), "Kernel k7 does not exist"),
            (dataclasses.replace(writer.storage("san1"), id=99, name="gone"), "Storage gone does not exist"),
        ):
            with pytest.raises(NotFoundError) as caught:
                writer.save([value])
            assert message in str(caught.value)


def test_a_refused_save_leaves_nothing_behind(filled: Store) -> None:
    with filled.write("tester", "half") as writer, pytest.raises(ConflictError):
        writer.save([resource(8), samples.kernel()])
    with filled.read() as reader:
        assert reader.names("resource") == ["node00", "node01", "node02"]
        assert reader.audit("resource", "node08") == []


def test_macs_can_be_swapped_in_one_save(filled: Store) -> None:
    with filled.write("tester", "swap") as writer:
        one, two = writer.resource("node01"), writer.resource("node02")
        writer.save([dataclasses.replace(one, nics=two.nics), dataclasses.replace(two, nics=one.nics)])
        assert writer.resource("node01").nics == two.nics


def test_remove(filled: Store) -> None:
    with filled.write("tester", "remove") as writer:
        writer.assign([("web01", 0, "node00", "web01-0", 1)])
        for kind, name, user in (
            ("resource", "node00", "appliance web01 member 0"),
            ("kernel", "default", "appliance web01"),
            ("storage", "san1", "volume san1/golden"),
            ("volume", "san1/golden", "image golden"),
            ("image", "golden", "appliance web01"),
            ("image", "web01-0", "appliance web01 member 0"),
            ("appliance", "web01", "appliance web01 member 0"),
        ):
            with pytest.raises(InUseError) as caught:
                writer.remove(kind, [name])
            assert refused(caught, name, user)
        writer.release("web01", [0])
        writer.set_state("appliance", ["web01"], "starting")
        with pytest.raises(InUseError, match="Appliance web01 is starting"):
            writer.remove("appliance", ["web01"])
        writer.set_state("appliance", ["web01"], "stopped")
        with pytest.raises(NotFoundError):
            writer.remove("resource", ["node00", "nobody"])
        writer.give_orders([("node00", "reboot", 0, "")])
        for kind, names in (
            ("appliance", ["web01"]),
            ("image", ["golden", "web01-0"]),
            ("kernel", ["default"]),
            ("volume", ["san1/golden", "san1/web01-0"]),
            ("storage", ["san1"]),
            ("resource", ["node00"]),
        ):
            writer.remove(kind, names)
        assert writer.resource_by_mac("52:54:00:00:00:00") is None
        assert writer.names("resource") == ["node01", "node02"]
        assert writer.names("volume") == writer.names("appliance") == []


def test_users_are_listed_briefly(filled: Store) -> None:
    with filled.write("tester", "many") as writer:
        writer.save([samples.appliance(f"a{number}") for number in range(5)])
        with pytest.raises(InUseError, match=r"appliance a0, appliance a1, appliance a2 and 3 more"):
            writer.remove("kernel", ["default"])


def test_set_state(filled: Store) -> None:
    with filled.write("planner", "start web01") as writer:
        assert writer.set_state("resource", ["node01", "node00"], "reserved", MOMENT) == [
            ("node00", "idle"),
            ("node01", "idle"),
        ]
        assert writer.resource("node01").deadline == MOMENT
        with pytest.raises(StateError, match="Resource node02 is idle and cannot become starting"):
            writer.set_state("resource", ["node01", "node02"], "starting")
        with pytest.raises(NotFoundError):
            writer.set_state("appliance", ["web99"], "starting")
        assert [r.state for r in writer.resources()] == ["reserved", "reserved", "idle"]
        writer.set_state("resource", ["node00"], "reserved")
        assert writer.resource("node00").deadline is None
    with filled.read() as reader:
        assert [row.action for row in reader.audit("resource", "node00")] == ["add", "state"]


def test_the_database_refuses_states_that_do_not_exist(store: Store) -> None:
    with pytest.raises(ConflictError, match="refused"), store.write("tester", "x") as writer:
        writer.save([resource(1, state="sleepy")])


def test_report(filled: Store) -> None:
    with filled.write("node api", "heartbeat") as writer:
        writer.report("node01", address="10.77.0.9", boot_id="b", mode="idle", last_seen=MOMENT, hardware={"dmi": {}})
        with pytest.raises(InvalidValueError, match="state is not observed"):
            writer.report("node01", state="idle")
        with pytest.raises(NotFoundError):
            writer.report("nobody", mode="idle")
    with filled.read() as reader:
        found = reader.resource("node01")
        assert (found.address, found.boot_id, found.last_seen, found.hardware) == (
            "10.77.0.9",
            "b",
            MOMENT,
            {"dmi": {}},
        )
        assert [row.action for row in reader.audit("resource", "node01")] == ["add"]


def test_reports_of_many(filled: Store) -> None:
    reports = {"node01": {"mode": "idle", "boot_id": "b"}, "node02": {"mode": "deployed"}, "node00": {"mode": "idle"}}
    with filled.write("node api", "reports") as writer:
        writer.report_all(reports)
        writer.report_all({})
        with pytest.raises(InvalidValueError, match="state is not observed"):
            writer.report_all({"node01": {"state": "idle"}})
        with pytest.raises(NotFoundError, match="nobody"):
            writer.report_all({"node01": {"mode": "lost"}, "nobody": {"mode": "lost"}})
    with filled.read() as reader:
        found = {resource.name: (resource.mode, resource.boot_id) for resource in reader.resources(reports)}
    assert found == {"node00": ("idle", ""), "node01": ("idle", "b"), "node02": ("deployed", "")}


def test_count(filled: Store) -> None:
    with filled.write("tester", "off") as writer:
        writer.set_state("resource", ["node01"], "off")
        assert writer.count("resource") == {"idle": 2, "off": 1}
        assert writer.count("resource", type="kvm_vm") == {}
        assert writer.count("volume") == {"san1": 2}
        assert writer.count("image", shared=True) == {"golden": 1}
        with pytest.raises(InvalidValueError, match="resource has no colour"):
            writer.count("resource", colour="red")
        with pytest.raises(InvalidValueError, match="planet cannot be counted"):
            writer.count("planet")


def test_names_from_users_never_reach_sql(filled: Store) -> None:
    with filled.read() as reader:
        for name in ("x' OR '1'='1", "node01'; DROP TABLE resources; --", 'a"b', "%", "n\n"):
            assert reader.resources([name]) == []
            assert reader.resource_by_mac(name) is None
        assert reader.count("resource") == {"idle": 3}
