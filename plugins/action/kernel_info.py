# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the store knows of kernels."""

from __future__ import annotations

from typing import ClassVar

from ansible_collections.openqrm.datacenter.plugins.plugin_utils.store import InfoAction


class ActionModule(InfoAction):
    """Kernels, with which of them is the default."""

    KIND = "kernel"
    FILTERS: ClassVar = {"arches": lambda view, values: view["arch"] in values}

    def complete(self, reader, views):
        """Add ``default``: whether idle nodes run it."""
        default = reader.setting("default_kernel")
        for view in views:
            view["default"] = view["name"] == default
