# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Orders to nodes, and waiting for what they report, on the controller."""

from __future__ import annotations

from ansible_collections.openqrm.datacenter.plugins.plugin_utils.store import StoreAction, actor

try:
    from openqrm.planning import nodes
except ImportError:
    pass  # StoreAction reports it

ARGUMENTS = {
    "verb": {"type": "str", "required": True, "choices": ["order", "expect", "cancel", "wait_up", "wait_idle"]},
    "config": {"type": "path"},
    "items": {"type": "list", "elements": "dict", "required": True},
}
WRITES = {"order": "give", "expect": "expect", "cancel": "cancel"}


class ActionModule(StoreAction):
    """One verb for a list of nodes."""

    _supports_check_mode = True

    def spec(self):
        """Return the arguments of the task."""
        return {"argument_spec": ARGUMENTS}

    def work(self, datacenter, options):
        """Return `changed`, and for waits `items` with the resources that arrived."""
        verb, items = options["verb"], options["items"]
        if self._task.check_mode:
            return {"changed": False, "items": []}
        if verb in WRITES:
            with datacenter.store.write(actor(), f"node {verb}") as tx:
                getattr(nodes, WRITES[verb])(tx, items)
            return {"changed": bool(items), "items": [{"name": item["resource"]} for item in items]}
        waited = nodes.wait(datacenter.store, verb, items)
        return {
            "changed": False,
            "seconds": round(waited.seconds, 1),
            "missing": waited.missing,
            "items": [{"name": name, "changed": False} for name in waited.arrived],
        }
