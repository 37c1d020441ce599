# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of images in the store."""

from __future__ import annotations

from ansible_collections.openqrm.datacenter.plugins.plugin_utils.store import StateAction


class ActionModule(StateAction):
    """Images as they are to be, or gone."""

    KIND = "image"
