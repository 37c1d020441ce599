# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fake hypervisor: virtual machines in a JSON file."""

from __future__ import annotations

from typing import ClassVar

from ansible_collections.openqrm.datacenter.plugins.plugin_utils.fake import FakeAction, FakeError, Step, checked_name

SIZES = ("cores", "memory_mib", "macs")


def step(item, record, touched=False):
    """Return the step that gives the machine this record."""
    return Step(checked_name("VM", item["name"]), record, {"state": record["state"] if record else "absent"}, touched)


def existing(objects, item):
    """Return the record of the machine. Raises FakeError when there is none."""
    if item["name"] not in objects:
        known = ", ".join(sorted(objects)[:10]) or "none"
        raise FakeError(f"VM {item['name']} does not exist; known VMs: {known}.")
    return objects[item["name"]]


def create(objects, item):
    """Make a machine, stopped, or give it other sizes."""
    old = objects.get(item["name"], {"state": "stopped"})
    return step(item, old | {key: item[key] for key in SIZES if item.get(key) is not None})


def remove(_objects, item):
    """Remove a machine."""
    return step(item, None)


def start(objects, item):
    """Start a machine."""
    return step(item, existing(objects, item) | {"state": "running"})


def stop(objects, item):
    """Stop a machine."""
    return step(item, existing(objects, item) | {"state": "stopped"})


def reboot(objects, item):
    """Reboot a machine, or start it."""
    return step(item, existing(objects, item) | {"state": "running"}, touched=True)


def list_machines(objects, _items):
    """Return all machines."""
    return [{"name": name, **record} for name, record in sorted(objects.items())]


class ActionModule(FakeAction):
    """The verbs of the fake hypervisor."""

    FAMILY = "hypervisor"
    VERBS: ClassVar[dict] = {
        "vm_create": create,
        "vm_remove": remove,
        "vm_start": start,
        "vm_stop": stop,
        "vm_reboot": reboot,
    }
    LISTS: ClassVar[dict] = {"vm_list": list_machines}
