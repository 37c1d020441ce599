# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which plug-ins are enabled for the data centre."""

from __future__ import annotations

from ansible_collections.openqrm.datacenter.plugins.plugin_utils.store import StoreAction, actor


class ActionModule(StoreAction):
    """Enables or disables plug-ins."""

    _supports_check_mode = True

    def spec(self):
        """Return the arguments of the task."""
        return {
            "argument_spec": {
                "config": {"type": "path"},
                "names": {"type": "list", "elements": "str", "required": True},
                "state": {"type": "str", "choices": ["enabled", "disabled"], "default": "enabled"},
            }
        }

    def work(self, datacenter, options):
        """Return which plug-ins were switched. Raises NotFoundError for one that no role provides."""
        names, wanted = list(dict.fromkeys(options["names"])), options["state"] == "enabled"
        for name in names:
            datacenter.types.get("plugin", name)
        with datacenter.store.write(actor(), self.reason) as tx:
            known = tx.plugins()
            switched = [name for name in names if bool(known.get(name, {}).get("enabled")) != wanted]
            for name in () if self._task.check_mode else switched:
                tx.set_plugin(name, enabled=wanted)
        before = dict.fromkeys(switched, not wanted)
        result = {"changed": bool(switched), "plugins": [{"name": name, "enabled": wanted} for name in names]}
        if self._task.diff:
            result["diff"] = {"before": before, "after": dict.fromkeys(switched, wanted)}
        return result
