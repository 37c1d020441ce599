# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans on the controller: prepare, hand out, journal, commit, undo."""

from __future__ import annotations

import os

from ansible_collections.openqrm.datacenter.plugins.plugin_utils.store import StoreAction, actor

try:
    from openqrm.planning import changes
    from openqrm.planning import verbs as _verbs
    from openqrm.planning.operations import NODE
    from openqrm.planning.owner import owner_of
except ImportError:
    pass  # StoreAction reports it
else:
    _verbs.known()  # imported here once, in the process that forks the workers

ARGUMENTS = {
    "step": {"type": "str", "required": True, "choices": ["prepare", "begin", "end", "finish", "found", "close"]},
    "config": {"type": "path"},
    "verb": {"type": "str"},
    "arguments": {"type": "dict", "default": {}},
    "plan": {"type": "int"},
    "seq": {"type": "int"},
    "error": {"type": "str", "default": ""},
    "result": {"type": "dict", "default": {}},
}
# Verbs whose results are what the plan is for.
LISTINGS = ("status", "volume_list", "grants_list")


def facts_of(segments):
    """Return the facts from which playbooks/plan_apply.yml takes what to do and the hosts to do it on."""
    hosts = dict.fromkeys(host for segment in segments for host in segment["hosts"])
    return {"openqrm_segments": list(segments), "openqrm_hosts": list(hosts)}


class ActionModule(StoreAction):
    """One step in the life of a plan."""

    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        """Return the result of the step."""
        self._task_vars = task_vars
        return super().run(tmp, task_vars)

    def spec(self):
        """Return the arguments of the task."""
        return {"argument_spec": ARGUMENTS}

    def work(self, datacenter, options):
        """Return the result of the step."""
        return getattr(self, f"_{options['step']}")(datacenter, options)

    def _prepare(self, center, options):
        check = self._task.check_mode
        arguments = {key: value for key, value in options["arguments"].items() if value is not None}
        owner = owner_of(os.getppid())
        if options["plan"] is None:
            plan = changes.prepare(center, options["verb"], arguments, owner=owner, actor=actor(), check=check)
        else:
            plan = changes.adopt(center, options["plan"], owner=owner, actor=actor())
        unchanged = list(plan.unchanged.values())
        report = {"plan": plan.plan, "verb": options["verb"], "unchanged": unchanged, "check": check}
        stats = {"data": {"openqrm": report}, "per_host": False, "aggregate": True}
        result = {
            "changed": bool(plan.plan),
            "plan": plan.plan,
            "lines": list(plan.lines),
            "unchanged": unchanged,
            "msg": "; ".join(unchanged),
            "ansible_facts": {
                "openqrm_plan": 0 if check else plan.plan,
                "openqrm_failed": False,
                **facts_of([] if check else plan.segments),
            },
            "ansible_stats": stats,
        }
        if self._task.diff and plan.lines:
            result["diff"] = {"before": "", "after": "".join(f"{line}\n" for line in plan.lines)}
        return result

    def _begin(self, center, options):
        with center.store.write(actor(), f"plan {options['plan']}") as tx:
            operation, items = changes.begin(tx, options["plan"], options["seq"])
        if operation.role == NODE and items:
            error = changes.perform(center, options["plan"], operation, items, actor())
            return {"changed": True, "count": 0, "error_of_operation": error}
        role = operation.role.rsplit(".", 1)[-1]
        facts = {operation.variable: [dict(item) for item in items], f"{role}_result": None}
        return {"changed": False, "count": len(items), "ansible_facts": facts}

    def _end(self, center, options):
        result = options["result"] or {}
        error = options["error"]
        if not error and ("items" not in result or result.get("unreachable")):
            error = f"host {self._task_vars['inventory_hostname']} is unreachable"
        with center.store.write(actor(), f"plan {options['plan']}") as tx:
            verb = changes.end(tx, options["plan"], options["seq"], error)
        if verb not in LISTINGS or error:
            return {"changed": False}
        found = [*self._task_vars.get("openqrm_found", []), *result["items"]]
        return {"changed": False, "ansible_facts": {"openqrm_found": found}}

    def _finish(self, center, options):
        plan = changes.finish(center, options["plan"], actor())
        facts = facts_of(plan.segments) | {"openqrm_failed": bool(plan.lines)}
        return {"changed": False, "errors": list(plan.lines), "ansible_facts": facts}

    def _found(self, center, options):
        with center.store.read() as tx:
            hosts = dict.fromkeys(operation.host for operation in tx.plan(options["plan"]).operations)
            storages = {(item.host, item.location): item.name for item in tx.storages()}
        everything = self._task_vars["hostvars"]
        found = [dict(item, host=host) for host in hosts for item in everything[host].get("openqrm_found", [])]
        for item in found:
            if "location" in item:
                item["storage"] = storages.get((item["host"], item["location"]), "")
        return {"changed": False, "found": found}

    def _close(self, center, options):
        changes.close(center, options["plan"], actor())
        return {"changed": False}
