"""Bad input to the state plug-ins and plans, as playbooks and AWX give it: refused by name, and nothing is changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from openqrm import desired
from openqrm.config import Config
from openqrm.datacenter import Datacenter
from openqrm.errors import InvalidValueError, OpenqrmError
from openqrm.planning import changes
from openqrm.store import Store
from openqrm.types import TypeRegistry

from tests.support.unchanged import rows_of

Types = Callable[[], TypeRegistry]
NAMES = {
    "space": "a b",
    "slash": "a/b",
    "parent": "../x",
    "newline": "a\nb",
    "trailing newline": "ab\n",
    "quote": "a'b",
    "double quote": 'a"b',
    "template": "{{ lookup('pipe', 'id') }}",
    "command": "$(id)",
    "300 characters": "x" * 300,
    "not ASCII": "\N{LATIN SMALL LETTER E WITH ACUTE}",
    "empty": "",
    "number": 7,
    "nothing": None,
    "list": ["a"],
}
# Verbs of plans by the arguments that name their objects; NAME stands for the name.
PLANS: dict[str, dict[str, Any]] = {
    "start": {"appliances": ["NAME"]},
    "stop": {"appliances": ["NAME"]},
    "move": {"appliances": ["NAME"]},
    "image_create": {"images": [{"name": "NAME", "storage": "san1", "deployment": "nfs"}]},
    "image_create of storage": {"images": [{"name": "x", "storage": "NAME", "deployment": "nfs"}]},
    "image_create of volume": {"images": [{"name": "x", "storage": "san1", "deployment": "nfs", "volume": "NAME"}]},
    "volume_create": {"volumes": [{"name": "NAME", "storage": "san1"}]},
    "volume_create of storage": {"volumes": [{"name": "x", "storage": "NAME"}]},
    "volume_create of source": {"volumes": [{"name": "x", "storage": "san1", "source": "NAME"}]},
    "volume_remove": {"volumes": ["san1/NAME"], "destroy_data": True},
    "volume_remove of storage": {"volumes": ["NAME/x"], "destroy_data": True},
    "image_remove": {"images": ["NAME"]},
    "resource_power": {"resources": ["NAME"], "power": "status"},
    "storage_volumes": {"storages": ["NAME"]},
    "storage_prepare": {"storages": ["NAME"]},
    "kernel_build": {"kernels": [{"name": "NAME", "source": "running"}]},
    "kernel_set_default": {"kernel": "NAME"},
}


@pytest.fixture(autouse=True)
def unchanged(store: Store, tmp_path: Path) -> Iterator[None]:
    """The store holds the same afterwards."""
    before = rows_of(tmp_path / "openqrm.db")
    yield
    assert store is not None
    assert rows_of(tmp_path / "openqrm.db") == before


@pytest.mark.parametrize("kind", desired.KINDS)
def test_names_that_cannot_be(store: Store, types: Types, kind: str) -> None:
    with store.read() as reader:
        for name in NAMES.values():
            for plan in (desired.present, desired.absent):
                with pytest.raises(InvalidValueError) as caught:
                    plan(reader, types, kind, [{"name": name}])
                check(caught.value, kind.capitalize())


def check(error: OpenqrmError, *words: str) -> None:
    """The error is one line that names what is meant, and says what to do."""
    assert error.remedy
    assert "\n" not in str(error) and len(str(error)) < 500
    for word in words:
        assert word in error.message, error.message


def put(value: object, name: object) -> object:
    """The arguments with `name` in the place of NAME."""
    if isinstance(value, dict):
        return {key: put(entry, name) for key, entry in value.items()}
    if isinstance(value, list):
        return [put(entry, name) for entry in value]
    if value == "NAME":
        return name
    return value.replace("NAME", str(name)) if isinstance(value, str) else value


@pytest.mark.parametrize("verb", PLANS)
def test_names_in_a_plan_that_cannot_be(store: Store, tmp_path: Path, verb: str) -> None:
    center = Datacenter(Config(path=tmp_path / "openqrm.yml"), store)
    for bad, name in NAMES.items():
        if (verb == "volume_create of source" and not name) or (
            verb.startswith("volume_remove") and not isinstance(name, str)
        ):
            continue  # no source: an empty volume; and a part of a text is always text
        arguments = put(PLANS[verb], name)
        assert isinstance(arguments, dict)
        with pytest.raises(InvalidValueError) as caught:
            changes.prepare(center, verb.partition(" ")[0], arguments, owner="", actor="tester")
            pytest.fail(f"the name of the case {bad} was taken")
        check(caught.value)


ENTRIES: list[tuple[str, dict[str, Any], str]] = [
    ("resource", {"macs": "52:54:00:00:00:09"}, "Resource x: macs '52:54:00:00:00:09' is not a list"),
    ("resource", {"macs": ["52:54:00:00:00:09", 7]}, "Resource x: nics: MAC address 7 is not valid"),
    ("resource", {"nics": [{"mac": "52:54:00:00:00:09", "role": "boot"}]}, "role 'boot' is not valid"),
    ("resource", {"nics": [{"mac": "52:54:00:00:00:09", "address": "10.1.1.1"}]}, "address '10.1.1.1' is not valid"),
    ("resource", {"nics": [{"name": "eth0"}]}, "has no mac"),
    ("resource", {"nics": [{"mac": "52:54:00:00:00:09", "speed": 1}]}, "NIC has no option speed"),
    ("resource", {"cores": -1}, "Resource x: cores -1 is not valid"),
    ("resource", {"cores": 1.5}, "Resource x: cores 1.5 is not valid"),
    ("resource", {"cores": True}, "Resource x: cores True is not valid"),
    ("resource", {"cores": "-1"}, "Resource x: cores '-1' is not valid"),
    ("resource", {"cores": "\N{ARABIC-INDIC DIGIT THREE}"}, "Resource x: cores "),
    ("resource", {"memory_mib": 1 << 41}, "Resource x: memory_mib 2199023255552 is not valid"),
    ("resource", {"monitored": "maybe"}, "Resource x: monitored 'maybe' is not valid"),
    ("resource", {"tags": ["a b"]}, "'a b' is not valid"),
    ("resource", {"power": {"Password": "x"}}, "Resource x: power"),
    ("resource", {"parameters": {"a": {"b": 1}}}, "parameter a is {'b': 1}"),
    ("resource", {"parameters": {"a": float("nan")}}, "parameter a is nan"),
    ("resource", {"parameters": {"a": [float("inf")]}}, "parameter a is [inf]"),
    ("resource", {"parameters": {"a": 1 << 63}}, "parameter a is 9223372036854775808"),
    ("resource", {"power": {"address": "https://root:calvin@10.0.0.9"}}, "Resource x: power: address has a user"),
    ("resource", {"power": {"media": "https://root:calvin@10.0.0.9/x.iso"}}, "Resource x: power: media has a user"),
    ("resource", {"colour": "red"}, "Resource x has no option colour"),
    ("resource", {"firmware": "openfirmware"}, "Resource x: firmware 'openfirmware' is not valid"),
    ("kernel", {"vmlinuz": "abc"}, "Kernel x"),
    ("kernel", {"version": "6.1", "vmlinuz": "A" * 64, "initramfs": "b" * 64, "modules": "c" * 64}, "vmlinuz"),
    ("storage", {"type": "directory"}, "Storage x is new and has no host, location, address"),
    ("storage", {"type": "no type", "host": "h", "location": "/v", "address": "10.0.0.1"}, "'no type' is not valid"),
    ("image", {"storage": "san1", "volume": "v", "deployment": "nfs", "kind": "silver"}, "kind 'silver' is not valid"),
    ("appliance", {"image": "web", "members": 0}, "Appliance x: members 0 is not valid"),
    ("appliance", {"image": "web", "members": 10_001}, "Appliance x: members 10001 is not valid"),
    ("appliance", {"image": "web", "requirements": {"cores": -2}}, "requirements.cores -2 is not valid"),
    ("appliance", {"image": "web", "requirements": {"speed": 1}}, "has no option speed"),
    ("appliance", {"image": "web", "requirements": [1]}, "is not a mapping"),
]


@pytest.mark.parametrize(("kind", "entry", "words"), ENTRIES, ids=[f"{kind} {entry}" for kind, entry, _ in ENTRIES])
def test_a_value_that_cannot_be(store: Store, types: Types, kind: str, entry: dict[str, Any], words: str) -> None:
    with store.read() as reader, pytest.raises(InvalidValueError) as caught:
        desired.present(reader, types, kind, [{"name": "x", **entry}])
    check(caught.value, words)


ROWS: list[tuple[str, dict[str, Any], int, str]] = [
    ("image_create", {}, 2, "No image is given"),
    ("image_create", {"images": "x"}, 2, "No image is given"),
    ("image_create", {"images": [{"storage": "san1"}]}, 2, "Image name None is not valid"),
    ("image_create", {"images": [{"name": "x", "colour": 1}]}, 2, "Image x: colour is not known"),
    ("image_create", {"images": [{"name": "x", "storage": "san9", "deployment": "nfs"}]}, 3, "Image x: storage san9"),
    (
        "image_create",
        {"images": [{"name": "x", "storage": "san1", "deployment": "nfs", "size_mib": -1}]},
        2,
        "x: size_mib -1",
    ),
    (
        "image_create",
        {"images": [{"name": "x", "storage": "san1", "deployment": "nfs", "archive": "a.tar"}]},
        2,
        "Image x: archive",
    ),
    ("volume_create", {"volumes": [{"name": "x", "storage": "san1", "size_mib": "big"}]}, 2, "size_mib 'big'"),
    ("volume_create", {"volumes": [{"name": "x", "storage": "san1", "source": "none"}]}, 3, "Volume san1/none"),
    ("volume_remove", {"volumes": ["san1/web"]}, 2, "Removing volume san1/web destroys its data"),
    ("volume_remove", {"volumes": ["san1/web"], "destroy_data": True}, 4, "Volume san1/web is used by image web"),
    ("volume_remove", {"volumes": ["web"]}, 2, "Volume 'web' names no storage"),
    ("image_remove", {"images": ["web"]}, 4, "Image web is used by appliance db, appliance web"),
    ("resource_power", {"resources": ["node1"], "power": "up"}, 2, "power 'up' is not known"),
    ("resource_power", {"resources": ["node1"], "power": "on"}, 2, "Resource node1 has no power driver"),
    ("resource_power", {"resources": ["nodex"], "power": "on"}, 3, "Resource nodex does not exist"),
    ("start", {"appliances": []}, 2, "No appliance is named"),
    ("start", {"appliances": ["webx"]}, 3, "Appliance webx does not exist"),
    ("storage_volumes", {"storages": ["san9"]}, 3, "Storage san9 does not exist"),
    ("kernel_set_default", {"kernel": "debian11"}, 3, "Kernel debian11 does not exist"),
    ("start", {"appliances": ["db"], "to": "nodex"}, 3, "Resource nodex does not exist"),
    ("start", {"appliances": ["db"], "to": "../x"}, 2, "Resource name '../x' is not valid"),
    ("move", {"appliances": ["db"], "to": "a b"}, 2, "Resource name 'a b' is not valid"),
    ("move", {"appliances": ["db"]}, 6, "Appliance db is not active"),
    *(
        ("kernel_build", {"kernels": [{"name": "x", **row}]}, 2, f"Kernel x: {words}")
        for row, words in (
            ({"source": "package"}, "package None is not valid"),
            ({"source": "package", "package": "a b"}, "package 'a b' is not valid"),
            ({"source": "package", "package": "-x"}, "package '-x' is not valid"),
            ({"source": "directory"}, "directory None is not valid"),
            ({"source": "directory", "directory": "/a", "version": "../b"}, "version '../b' is not valid"),
            ({"source": "running", "version": "6.1"}, "version 6.1 is given without a directory"),
            ({"source": "running", "kernel_args": "a\nb"}, "kernel_args 'a\\nb' is not valid"),
            ({"source": "running", "packages": "a"}, "packages is not known"),
        )
    ),
    ("kernel_build", {"kernels": [{"name": "x", "source": "running"}] * 2}, 2, "A kernel is in the list twice"),
    ("kernel_build", {"kernels": [{"name": "x", "source": "running"}]}, 2, "There is no certificate authority"),
    *(
        (
            "image_create",
            {"images": [{"name": "x", "storage": "san1", "deployment": "nfs", "recipe": recipe}]},
            2,
            f"Image x: recipe{words}",
        )
        for recipe, words in (
            (["a"], " is not a mapping"),
            ({"suit": "bookworm"}, ": 'suit' is not known"),
            ({1: 2}, ": 1 is not known"),
            ({"suite": "a b"}, ": suite 'a b' is not valid"),
            ({"variant": "all"}, ": variant 'all' is not known"),
            ({"packages": 5}, ": packages 5 is not a list"),
            ({"packages": ["nginx", "--hook=x"]}, ": package '--hook=x' is not valid"),
            ({"files": {"path": "/a"}}, ": files {'path': '/a'} is not a list"),
            ({"files": ["/a"]}, ": file '/a' is not a mapping"),
            ({"files": [{"path": "/a", "text": ""}]}, ": file: 'text' is not known"),
            ({"files": [{"path": "/../a", "content": ""}]}, ": file path '/../a' is not valid"),
            ({"files": [{"path": "/a", "content": "", "mode": 0o644}]}, ": mode 420 of /a is not valid"),
            ({"files": [{"path": "/a"}]}, ": content of /a is no text"),
        )
    ),
    ("nothing", {}, 3, "Verb nothing does not exist"),
]


@pytest.mark.parametrize(
    ("verb", "arguments", "code", "words"), ROWS, ids=[f"{verb} {given}" for verb, given, *_ in ROWS]
)
def test_a_plan_that_cannot_be(
    store: Store, tmp_path: Path, verb: str, arguments: dict[str, Any], code: int, words: str
) -> None:
    center = Datacenter(Config(path=tmp_path / "openqrm.yml"), store)
    with pytest.raises(OpenqrmError) as caught:
        changes.prepare(center, verb, arguments, owner="", actor="tester")
    assert caught.value.exit_code == code
    check(caught.value, words)
