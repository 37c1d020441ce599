# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of the boot tree, without a module round trip on the controller itself."""

from __future__ import annotations

from ansible_collections.openqrm.datacenter.plugins.modules import boot_file
from ansible_collections.openqrm.datacenter.plugins.plugin_utils.in_process import InProcessAction


class ActionModule(InProcessAction):
    """Runs the module where its host is."""

    MODULE = boot_file
