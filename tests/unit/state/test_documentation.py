"""The modules' documentation says what the library takes: same options, same choices."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import yaml
from openqrm.desired import KINDS, fields
from openqrm.states import APPLIANCE_STATES, RESOURCE_STATES


def documented(module: str) -> dict[str, Any]:
    """The options of a module's DOCUMENTATION, without those of its fragments."""
    name = f"ansible_collections.openqrm.datacenter.plugins.modules.{module}"
    options: dict[str, Any] = yaml.safe_load(importlib.import_module(name).DOCUMENTATION)["options"]
    return options


@pytest.mark.parametrize("kind", KINDS)
def test_options_are_the_fields(kind: str) -> None:
    """At the top and in the list, the options are exactly the fields that the library knows."""
    options = documented(kind)
    listed = options.pop(f"{kind}s")
    known = set(KINDS[kind].options)
    assert set(options) == known - {"name"}
    assert set(listed["suboptions"]) == known
    assert listed["suboptions"]["name"]["required"]


@pytest.mark.parametrize(
    ("kind", "path", "choices"),
    [
        ("resource", ("arch",), fields.ARCHES),
        ("resource", ("firmware",), ("", *fields.FIRMWARES)),
        ("resource", ("nics", "suboptions", "role"), ("", *fields.NIC_ROLES)),
        ("kernel", ("arch",), fields.ARCHES),
        ("image", ("kind",), fields.IMAGE_KINDS),
        ("appliance", ("root_mode",), fields.ROOT_MODES),
        ("appliance", ("requirements", "suboptions", "arch"), fields.ARCHES),
    ],
)
def test_choices_are_those_of_the_library(kind: str, path: tuple[str, ...], choices: tuple[str, ...]) -> None:
    """A choice that is documented is accepted, and the other way round."""
    option: Any = documented(kind)
    for step in path:
        option = option[step]
    assert tuple(option["choices"]) == choices


@pytest.mark.parametrize(
    ("kind", "option", "known"),
    [
        ("resource", "nics", fields.NIC),
        ("appliance", "requirements", fields.REQUIREMENTS),
    ],
)
def test_suboptions_are_the_fields(kind: str, option: str, known: dict[str, Any]) -> None:
    """So too one level down."""
    assert set(documented(kind)[option]["suboptions"]) == set(known)


@pytest.mark.parametrize("kind", KINDS)
def test_filters_are_documented(kind: str) -> None:
    """An info module's options are its action's filters."""
    name = f"ansible_collections.openqrm.datacenter.plugins.action.{kind}_info"
    assert set(documented(f"{kind}_info")) == set(importlib.import_module(name).ActionModule.FILTERS)


@pytest.mark.parametrize(("kind", "states"), [("resource", RESOURCE_STATES), ("appliance", APPLIANCE_STATES)])
def test_states_that_are_documented_are_those_that_filters_take(kind: str, states: tuple[str, ...]) -> None:
    name = f"ansible_collections.openqrm.datacenter.plugins.action.{kind}_info"
    assert importlib.import_module(name).ActionModule.CHOICES["states"] == states
    assert tuple(documented(f"{kind}_info")["states"]["choices"]) == states


def test_the_inventory_plug_in_knows_all_states() -> None:
    name = "ansible_collections.openqrm.datacenter.plugins.inventory.datacenter"
    options = yaml.safe_load(importlib.import_module(name).DOCUMENTATION)["options"]
    assert set(options["states"]["choices"]) == {*RESOURCE_STATES, *APPLIANCE_STATES}
