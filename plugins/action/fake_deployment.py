# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fake deployment: grants in a JSON file."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import ClassVar

from ansible_collections.openqrm.datacenter.plugins.plugin_utils.fake import FakeAction, FakeError, Step

PATH = re.compile(r"/(?!.*\.\.)[A-Za-z0-9@%+=:,._/-]+\Z")
MAC = re.compile(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\Z")


def key_of(item):
    """Return the key of a grant: the path and who may use it. Raises FakeError for what is neither."""
    client = item["client"].get("address") or item["client"].get("mac") or ""
    if not PATH.match(item["path"]):
        raise FakeError(f"Grant of {item['path']!r}: give an absolute path.")
    if not is_address(client) and not MAC.match(client):
        raise FakeError(f"Grant of {item['path']}: {client!r} is neither an IP nor a MAC address.")
    return f"{item['path']} {client}"


def is_address(text):
    """Return whether a text is an IP address."""
    try:
        return bool(ip_address(text))
    except ValueError:
        return False


def named(item):
    """Return the item with a name, that of its volume, for the result."""
    return dict(item, name=item.get("volume") or item["path"])


def result_of(item):
    """Return the fields of an item's result."""
    return {"path": item["path"], "client": {"address": item["client"].get("address") or ""}}


def authorize(_objects, item):
    """Give a grant."""
    record = {"read_only": bool(item.get("read_only")), "epoch": item.get("epoch") or 0}
    return Step(key_of(item), record, result_of(item))


def revoke(_objects, item):
    """Take a grant back; nothing is left of its sessions."""
    return Step(key_of(item), None, dict(result_of(item), sessions=0))


def list_grants(objects, _items):
    """Return all grants."""
    return [
        {"name": path, "path": path, "client": {"address": address}, "sessions": 0, **record}
        for (path, _space, address), record in ((key.partition(" "), objects[key]) for key in sorted(objects))
    ]


class ActionModule(FakeAction):
    """The verbs of the fake deployment."""

    FAMILY = "deployment"
    VERBS: ClassVar[dict] = {"authorize": authorize, "revoke": revoke}
    LISTS: ClassVar[dict] = {"grants_list": list_grants}

    def objects(self, options):
        """Return the grants, each with a name."""
        return [named(item) for item in options["objects"]]
