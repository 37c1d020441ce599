# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the store knows of resources."""

from __future__ import annotations

from typing import ClassVar

from ansible_collections.openqrm.datacenter.plugins.plugin_utils.store import InfoAction

try:
    from openqrm.states import RESOURCE_STATES
except ImportError:
    RESOURCE_STATES = None  # InfoAction reports it


class ActionModule(InfoAction):
    """Resources, filtered, each with the appliance member that runs on it."""

    KIND = "resource"
    FILTERS: ClassVar = {
        "states": lambda view, values: view["state"] in values,
        "types": lambda view, values: view["type"] in values,
        "tags": lambda view, values: values <= set(view["tags"]),
        "macs": lambda view, values: bool({value.lower().replace("-", ":") for value in values} & set(view["macs"])),
    }

    CHOICES: ClassVar = {"states": RESOURCE_STATES}

    def complete(self, reader, views):
        """Add ``appliance`` and ``member``, empty and null where nothing is assigned."""
        assigned = {row.resource: row for row in reader.assignments()}
        for view in views:
            row = assigned.get(view["name"])
            view |= {"appliance": row.appliance if row else "", "member": row.member if row else None}
