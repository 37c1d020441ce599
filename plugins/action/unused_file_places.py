# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where large files are that may not be in use any more."""

from __future__ import annotations

from ansible_collections.openqrm.datacenter.plugins.plugin_utils.steps import StepAction

ARGUMENTS = {"config": {"type": "path"}}


class ActionModule(StepAction):
    """Asks the library."""

    ARGUMENTS = ARGUMENTS
    _supports_check_mode = True

    def work(self, options):
        """Return the places by host, also as facts."""
        places = self.ask({"step": "unused", "plan": None, "config": options["config"]})["places"]
        facts = {"openqrm_unused_places": places, "openqrm_unused_hosts": list(places)}
        return {"changed": False, "places": places, "ansible_facts": facts}
