"""Comparison of described objects with those that are there: values, merging, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from openqrm.desired.compare import KINDS, compare, names_of
from openqrm.errors import InvalidValueError
from openqrm.model import Appliance, Kernel, Nic, Requirements, Resource, Storage

NODE = Resource(
    7,
    "node1",
    state="idle",
    cores=4,
    nics=(Nic("52:54:00:00:00:01", "eth0", "management"), Nic("52:54:00:00:00:02", "eth1")),
    tags=frozenset({"ssd"}),
    parameters={"owner": "ops", "rack": 7},
)
WEB = Appliance(3, "web", "debian12", "web", requirements=Requirements(cores=2, tags=frozenset({"ssd"})))
DIGESTS = {"vmlinuz": "a" * 64, "initramfs": "b" * 64, "modules": "c" * 64}


def one(kind: str, entry: dict[str, Any], existing: object = None, default: object = None) -> Any:
    """The change of a single entry."""
    have: Any = {existing.name: existing} if isinstance(existing, (Resource, Appliance, Kernel)) else {}
    return compare(KINDS[kind], [entry], have, default)[0]


def test_only_given_fields_change() -> None:
    """Fields that are not given, or given as null, stay."""
    change = one("resource", {"name": "node1", "memory_mib": 2048, "cores": None}, NODE)
    assert change.changed
    assert (change.after.memory_mib, change.after.cores, change.after.state, change.after.id) == (2048, 4, "idle", 7)


def test_as_described_is_unchanged() -> None:
    """The same again, in other spellings, is no change."""
    entry = {
        "name": "node1",
        "cores": "4",
        "macs": ["52-54-00-00-00-01"],
        "tags": ["ssd"],
        "monitored": "yes",
        "parameters": {"rack": 7, "gone": None},
    }
    assert not one("resource", entry, NODE).changed


def test_new_objects_have_defaults() -> None:
    """A new resource has what the model says."""
    change = one("resource", {"name": "node9"})
    assert change.before is None
    assert change.after == Resource(0, "node9")


def test_parameters_merge_and_null_removes() -> None:
    """Given keys are set, null takes one away, others stay."""
    change = one("resource", {"name": "node1", "parameters": {"owner": None, "room": "b2"}}, NODE)
    assert change.after.parameters == {"rack": 7, "room": "b2"}


def test_nics_join_by_mac() -> None:
    """NICs that are known keep their place and what is not said of them; new ones follow."""
    entry = {
        "name": "node1",
        "nics": [
            {"mac": "52:54:00:00:00:03"},
            {"mac": "52:54:00:00:00:02", "role": "storage", "address": "10.78.0.9/24"},
        ],
    }
    assert one("resource", entry, NODE).after.nics == (
        NODE.nics[0],
        Nic("52:54:00:00:00:02", "eth1", "storage", "10.78.0.9/24"),
        Nic("52:54:00:00:00:03"),
    )


def test_purge_nics_keeps_only_the_given() -> None:
    """`purge_nics` takes the others away."""
    entry = {"name": "node1", "macs": ["52:54:00:00:00:02"], "purge_nics": True}
    assert one("resource", entry, NODE).after.nics == NODE.nics[1:]


def test_requirements_merge() -> None:
    """Only the given requirements change."""
    change = one("appliance", {"name": "web", "requirements": {"memory_mib": 512}}, WEB)
    assert change.after.requirements == Requirements(cores=2, memory_mib=512, tags=frozenset({"ssd"}))


def test_new_appliance_has_the_default_kernel() -> None:
    """The default kernel is used where none is named."""
    assert one("appliance", {"name": "db", "image": "web"}, default="debian12").after.kernel == "debian12"


@pytest.mark.parametrize(
    ("default", "given", "becomes"),
    [
        ("other", True, True),
        ("debian12", True, False),
        ("other", False, False),
        (None, True, True),
    ],
)
def test_default_kernel(default: object, given: bool, becomes: bool) -> None:
    """`default` is a change where another kernel is the default; the difference shows it."""
    kernel = Kernel(1, "debian12", "6.1.0", "x86_64", **DIGESTS)
    change = one("kernel", {"name": "debian12", "default": given}, kernel, default)
    assert (change.default, change.changed) == (becomes, becomes)
    before, after = change.difference()
    assert ("default" in after) is becomes and (not becomes or (before["default"], after["default"]) == (False, True))


REFUSED = [
    ("resource", {"cores": -1}, "Resource node1: cores -1 is not valid"),
    ("resource", {"cores": "many"}, "Resource node1: cores 'many' is not valid"),
    ("resource", {"cores": True}, "cores True is not valid"),
    ("resource", {"memory_mib": 1 << 41}, "memory_mib"),
    ("resource", {"macs": ["52:54:00:00:00"]}, "Resource node1: nics: MAC address '52:54:00:00:00' is not valid"),
    ("resource", {"macs": "52:54:00:00:00:01"}, "is not a list"),
    ("resource", {"macs": ["01:00:5e:00:00:01"]}, "unicast"),
    ("resource", {"macs": ["52:54:00:00:00:09", "52-54-00-00-00-09"]}, "52:54:00:00:00:09 is given twice"),
    ("resource", {"macs": [], "nics": []}, "both macs and nics"),
    ("resource", {"purge_nics": True}, "purge_nics, but no macs"),
    ("resource", {"nics": [{"name": "eth0"}]}, "has no mac"),
    ("resource", {"nics": [{"mac": "52:54:00:00:00:01", "speed": 1}]}, "has no option speed"),
    ("resource", {"nics": [{"mac": "52:54:00:00:00:01", "address": "10.0.0.1"}]}, "prefix length"),
    ("resource", {"tags": ["a b"]}, "Resource node1: tags: Tag 'a b'"),
    ("resource", {"arch": "vax"}, "Use one of x86_64, aarch64"),
    ("resource", {"address": "10.77.0"}, "Resource node1: address '10.77.0' is not an IP address"),
    ("resource", {"power": {"password": "x"}}, "keeps no credentials"),
    ("resource", {"parameters": {"a": {"b": 1}}}, "Resource node1: parameters: parameter a"),
    ("resource", {"parameters": []}, "not a mapping"),
    ("resource", {"monitored": "perhaps"}, "Use true or false"),
    ("resource", {"state": "idle"}, "Resource node1 has no option state. Known: name, type"),
    ("kernel", {"version": "6.1"}, "Kernel node1 is new and has no vmlinuz, initramfs, modules"),
    ("kernel", {"version": "6.1\n", **DIGESTS}, "Use letters, digits and"),
    ("kernel", {"version": "6.1", **DIGESTS, "vmlinuz": "AA"}, "vmlinuz 'AA'"),
    ("storage", {"type": "directory"}, "Storage node1 is new and has no host, location, address"),
    (
        "storage",
        {"type": "directory", "host": "san1", "location": "/srv/../etc", "address": "10.0.0.1"},
        "'..' is not allowed",
    ),
    ("image", {"storage": "san1", "volume": "../x", "deployment": "nfs"}, "volume name '../x'"),
    ("appliance", {"image": "web", "members": 0}, "Appliance node1: members 0"),
    ("appliance", {"image": "web", "requirements": {"ram": 1}}, "Appliance node1: requirements has no option ram"),
    ("appliance", {"image": "web", "requirements": {"cores": -1}}, "Appliance node1: requirements.cores -1"),
    ("appliance", {"image": "web", "root_mode": "sideways"}, "Use one of read-write"),
]


@pytest.mark.parametrize(("kind", "entry", "message"), REFUSED)
def test_bad_values_are_refused(kind: str, entry: dict[str, Any], message: str) -> None:
    """The error names object, value and remedy."""
    with pytest.raises(InvalidValueError) as caught:
        one(kind, {"name": "node1", **entry})
    assert message in str(caught.value)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([{"cores": 1}], "number 1 of the list has no name"),
        (["node1"], "number 1 of the list has no name"),
        ([{"name": "node1"}, {"name": "node1"}], "Resource node1 is in the list twice"),
        ([{"name": "../etc"}], "Resource name '../etc' is not valid"),
        ([{"name": "n" * 300}], "Resource name"),
        ([{"name": "no\nde"}], "is not valid"),
        ([{"name": 5}], "Resource name 5"),
    ],
)
def test_bad_names_are_refused(entries: list[Any], message: str) -> None:
    """Every entry has a valid name of its own."""
    with pytest.raises(InvalidValueError) as caught:
        names_of("resource", entries)
    assert message in str(caught.value)


def test_default_false_on_the_default_kernel() -> None:
    """There is always one default kernel."""
    kernel = Kernel(1, "debian12", "6.1.0", "x86_64", **DIGESTS)
    with pytest.raises(InvalidValueError, match="Make another kernel the default instead"):
        one("kernel", {"name": "debian12", "default": False}, kernel, "debian12")


def test_difference_shows_what_a_user_may_set() -> None:
    """Not the state, not the number."""
    before, after = one(
        "storage", {"name": "san1", "type": "directory", "host": "h", "location": "/x", "address": "::1"}
    ).difference()
    assert before is None
    assert after == {
        "name": "san1",
        "type": "directory",
        "host": "h",
        "location": "/x",
        "address": "::1",
        "parameters": {},
    }
    assert Storage(0, **after)
