# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fake storage: volumes in a JSON file."""

from __future__ import annotations

from typing import ClassVar

from ansible_collections.openqrm.datacenter.plugins.plugin_utils.fake import FakeAction, FakeError, Step, checked_name

# What a fake server has room for, unless its state says so.
TOTAL_MIB = 1 << 20


def key_of(item, name=None):
    """Return the key of the item's volume, or of the one called ``name`` in the same location."""
    return f"{item['location']}/{checked_name('Volume', name or item['name'])}"


def result_of(item):
    """Return the fields of an item's result."""
    return {"location": item["location"], "path": f"{item['location']}/{item['name']}"}


def prepare(_objects, item):
    """Note a location."""
    return Step(item["location"], {"kind": "location"}, {"location": item["location"]})


def create(objects, item):
    """Make a volume unless it exists."""
    new = {"kind": "volume", "size_mib": item.get("size_mib") or 0, "archive": item.get("archive") or ""}
    return Step(key_of(item), objects.get(key_of(item), new), result_of(item))


def copy(objects, item):
    """Make a clone or snapshot unless the volume exists."""
    source = objects.get(key_of(item, item["source"]))
    if source is None and key_of(item) not in objects:
        raise FakeError(f"Volume {item['name']}: its source {item['source']} does not exist in {item['location']}.")
    return Step(key_of(item), objects.get(key_of(item)) or dict(source, source=item["source"]), result_of(item))


def resize(objects, item):
    """Change the size of a volume."""
    if key_of(item) not in objects:
        raise FakeError(f"Volume {item['name']} does not exist in {item['location']}; create it first.")
    return Step(key_of(item), dict(objects[key_of(item)], size_mib=item["size_mib"]), result_of(item))


def remove(_objects, item):
    """Remove a volume."""
    return Step(key_of(item), None, result_of(item))


def list_volumes(objects, items):
    """Return the volumes of the locations."""
    found = []
    for key, record in sorted(objects.items()):
        location, _slash, name = key.rpartition("/")
        if record["kind"] == "volume" and any(item["location"] == location for item in items):
            size_mib = record["size_mib"]
            found.append({"name": name, "location": location, "path": key, "size_mib": size_mib, "used_mib": size_mib})
    return found


def tell_space(objects, items):
    """Return how full the locations are: of TOTAL_MIB, or what the state's object ``space of LOCATION`` says."""
    found = []
    for item in items:
        given = objects.get(f"space of {item['location']}", {})
        volumes = [r for k, r in objects.items() if r["kind"] == "volume" and k.rpartition("/")[0] == item["location"]]
        total = given.get("total_mib", TOTAL_MIB)
        used = given.get("used_mib", sum(record["size_mib"] for record in volumes))
        space = {"total_mib": total, "used_mib": used, "free_mib": total - used, "used_percent": 100 * used / total}
        found.append({"location": item["location"], "what": f"the fake {item['location']}", **space})
    return found


class ActionModule(FakeAction):
    """The verbs of the fake storage."""

    FAMILY = "storage"
    VERBS: ClassVar[dict] = {
        "prepare": prepare,
        "volume_create": create,
        "volume_clone": copy,
        "volume_snapshot": copy,
        "volume_resize": resize,
        "volume_remove": remove,
    }
    LISTS: ClassVar[dict] = {"volume_list": list_volumes, "space": tell_space}

    def objects(self, options):
        """Return the volumes, or the locations under their path as name."""
        return [dict(item, name=item.get("name") or item["location"]) for item in options["objects"]]
