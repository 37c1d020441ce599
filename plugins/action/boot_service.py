# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where boot services run."""

from __future__ import annotations

from ansible_collections.openqrm.datacenter.plugins.plugin_utils.store import StoreAction, actor

try:
    from openqrm import services
except ImportError:
    services = None  # StoreAction says so


class ActionModule(StoreAction):
    """Attaches boot services to scopes, or detaches them."""

    _supports_check_mode = True

    def spec(self):
        """Return the arguments of the task."""
        return {
            "argument_spec": {
                "config": {"type": "path"},
                "services": {"type": "list", "elements": "str", "required": True},
                "scopes": {"type": "list", "elements": "str", "required": True},
                "state": {"type": "str", "choices": ["attached", "detached"], "default": "attached"},
            }
        }

    def work(self, datacenter, options):
        """Compare the scopes with the store, and write the differences unless this is check mode."""
        plugins = datacenter.types.family("plugin")
        wanted = (options["services"], options["scopes"], options["state"] == "attached")
        if self._task.check_mode:
            with datacenter.store.read() as reader:
                before, after = services.plan_scopes(reader, plugins, *wanted)
        else:
            with datacenter.store.write(actor(), self.reason) as writer:
                before, after = services.plan_scopes(writer, plugins, *wanted)
                services.write_scopes(writer, after)
        result = {
            "changed": before != after,
            "services": [{"name": name, "scopes": after[name]} for name in dict.fromkeys(options["services"])],
        }
        if self._task.diff:
            result["diff"] = {"before": before, "after": after}
        return result
