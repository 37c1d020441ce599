# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the store knows of appliances."""

from __future__ import annotations

from typing import ClassVar

from ansible_collections.openqrm.datacenter.plugins.plugin_utils.store import InfoAction

try:
    from openqrm.states import APPLIANCE_STATES
except ImportError:
    APPLIANCE_STATES = None  # InfoAction reports it


class ActionModule(InfoAction):
    """Appliances, filtered, each with the resources that its members run on."""

    KIND = "appliance"
    FILTERS: ClassVar = {"states": lambda view, values: view["state"] in values}

    CHOICES: ClassVar = {"states": APPLIANCE_STATES}

    def complete(self, reader, views):
        """Add ``assigned``: one entry per running member."""
        rows = reader.assignments([view["name"] for view in views])
        addresses = {item.name: item.address for item in reader.resources([row.resource for row in rows])}
        assigned = {}
        for row in rows:
            entry = {
                "member": row.member,
                "resource": row.resource,
                "address": addresses[row.resource],
                "image": row.image,
                "epoch": row.epoch,
            }
            assigned.setdefault(row.appliance, []).append(entry)
        for view in views:
            view["assigned"] = assigned.get(view["name"], [])
