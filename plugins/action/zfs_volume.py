# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Volumes that are datasets of ZFS, filled from archives of the controller."""

from __future__ import annotations

from ansible_collections.openqrm.datacenter.plugins.plugin_utils.volumes import VolumeAction


class ActionModule(VolumeAction):
    """Runs the module. A location is no directory."""

    STAGING = "/var/cache"
