# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the store knows of storages."""

from __future__ import annotations

from typing import ClassVar

from ansible_collections.openqrm.datacenter.plugins.plugin_utils.store import InfoAction


class ActionModule(InfoAction):
    """Storages, filtered, each with the images on it."""

    KIND = "storage"
    FILTERS: ClassVar = {
        "types": lambda view, values: view["type"] in values,
        "hosts": lambda view, values: view["host"] in values,
    }

    def complete(self, reader, views):
        """Add ``images``: the names of the images on it."""
        images = {}
        for image in reader.images():
            images.setdefault(image.storage, []).append(image.name)
        for view in views:
            view["images"] = images.get(view["name"], [])
