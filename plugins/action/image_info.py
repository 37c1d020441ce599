# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the store knows of images."""

from __future__ import annotations

from typing import ClassVar

from ansible_collections.openqrm.datacenter.plugins.plugin_utils.store import InfoAction


class ActionModule(InfoAction):
    """Images, filtered, each with the appliances that use it."""

    KIND = "image"
    FILTERS: ClassVar = {
        "kinds": lambda view, values: view["kind"] in values,
        "storages": lambda view, values: view["storage"] in values,
    }

    def complete(self, reader, views):
        """Add ``appliances``: the names of the appliances that use it."""
        appliances = {}
        for appliance in reader.appliances():
            appliances.setdefault(appliance.image, []).append(appliance.name)
        for view in views:
            view["appliances"] = appliances.get(view["name"], [])
