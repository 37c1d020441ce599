# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fake power driver: what is on is in a JSON file, and machines that are switched on report as nodes do."""

from __future__ import annotations

from typing import ClassVar

from ansible.errors import AnsibleActionFail
from ansible_collections.openqrm.datacenter.plugins.plugin_utils.fake import FakeAction, FakeError, Step
from ansible_collections.openqrm.datacenter.plugins.plugin_utils.steps import StepError, ask

try:
    from openqrm.config import find_config
    from openqrm.errors import ConfigError
except ImportError:
    find_config = None

DEVICES = ("pxe", "disk")


def record_of(objects, item):
    """Return the record of a machine; one that nothing is known of is off."""
    return objects.get(item["name"], {"power": "off"})


def step(item, record, touched=False):
    """Return the step that gives the machine this record."""
    return Step(item["name"], record, {"power": record["power"]}, touched)


def switch_on(objects, item):
    """Switch a machine on."""
    return step(item, record_of(objects, item) | {"power": "on"})


def switch_off(objects, item):
    """Switch a machine off."""
    return step(item, record_of(objects, item) | {"power": "off"})


def reset(objects, item):
    """Reset a machine, or switch it on."""
    return step(item, record_of(objects, item) | {"power": "on"}, touched=True)


def boot_device(objects, item):
    """Set what a machine boots from next."""
    if item.get("device") not in DEVICES:
        raise FakeError(f"Resource {item['name']}: verb boot_device needs a device, pxe or disk.")
    return step(item, record_of(objects, item) | {"device": item["device"]})


def list_power(objects, items):
    """Return the power of the machines."""
    return [{"name": item["name"], "changed": False, "power": record_of(objects, item)["power"]} for item in items]


class ActionModule(FakeAction):
    """The verbs of the fake power driver."""

    FAMILY = "power"
    VERBS: ClassVar[dict] = {"on": switch_on, "off": switch_off, "reset": reset, "boot_device": boot_device}
    LISTS: ClassVar[dict] = {"status": list_power}

    def done(self, verb, items):
        """Have the machines that were switched report as nodes do, where this controller has a data centre."""
        switched = [item["name"] for item in items if item["changed"]]
        if find_config is None or verb == "boot_device" or not switched or not has_datacenter():
            return
        try:
            ask({"step": "simulate", "verb": verb, "names": switched})
        except StepError as error:
            raise AnsibleActionFail(str(error)) from error


def has_datacenter():
    """Return whether this controller has a configuration of a data centre."""
    try:
        return find_config().is_file()
    except ConfigError:
        return False
