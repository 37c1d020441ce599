# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans on the controller: prepare, hand out, journal, commit, undo."""

from __future__ import annotations

import os
import time

from ansible_collections.openqrm.datacenter.plugins.plugin_utils.steps import StepAction

try:
    from openqrm.planning.owner import owner_of
except ImportError:
    owner_of = None  # StepAction reports it

ARGUMENTS = {
    "step": {
        "type": "str",
        "required": True,
        "choices": ["prepare", "resume", "cancel", "begin", "end", "settle", "found", "close"],
    },
    "config": {"type": "path"},
    "verb": {"type": "str"},
    "arguments": {"type": "dict", "default": {}},
    "plan": {"type": "int"},
    "seq": {"type": "int"},
    "error": {"type": "str", "default": ""},
    "final": {"type": "bool", "default": False},
    "force": {"type": "bool", "default": False},
    "round": {"type": "int", "default": 0},
    "result": {"type": "dict", "default": {}},
}
# Verbs whose results are what the plan is for.
LISTINGS = ("status", "volume_list", "grants_list")


def facts_of(answer):
    """Return the facts from which playbooks/plan_apply.yml takes what to do and the hosts to do it on."""
    return {
        "openqrm_segments": answer["segments"],
        "openqrm_hosts": answer["hosts"],
        "openqrm_round": answer["round"],
    }


def facts_of_new(answer, check):
    """Return the facts of a plan to apply; where nothing is left but its end, the controller is its only host."""
    plan = 0 if check else answer["plan"]
    facts = facts_of(answer if plan else {"segments": [], "hosts": [], "round": 0})
    facts["openqrm_hosts"] = facts["openqrm_hosts"] or ["localhost"] * bool(plan)
    return {"openqrm_plan": plan, "openqrm_failed": bool(plan), **facts}


class ActionModule(StepAction):
    """One step in the life of a plan."""

    ARGUMENTS = ARGUMENTS
    _supports_check_mode = True

    def work(self, options):
        """Return the result of the step."""
        return getattr(self, f"_{options['step']}")(options)

    def _prepare(self, options):
        check = self._task.check_mode
        arguments = {key: value for key, value in options["arguments"].items() if value is not None}
        plan = self.ask(options, verb=options["verb"], arguments=arguments, check=check, owner=owner_of(os.getppid()))
        return self._planned(plan, options["verb"])

    def _resume(self, options):
        plan = self.ask(options, check=self._task.check_mode, owner=owner_of(os.getppid()))
        return self._planned(plan, "operation_resume")

    def _cancel(self, options):
        plan = self.ask(options, check=self._task.check_mode, owner=owner_of(os.getppid()), force=options["force"])
        return self._planned(plan, "operation_cancel")

    def _planned(self, plan, verb):
        check = self._task.check_mode
        report = {"plan": plan["plan"], "verb": verb, "unchanged": plan["unchanged"], "check": check}
        result = {
            "changed": bool(plan["plan"]),
            "plan": plan["plan"],
            "lines": plan["lines"],
            "unchanged": plan["unchanged"],
            "msg": "; ".join(plan["unchanged"]),
            "ansible_facts": self._in_inventory(facts_of_new(plan, check)),
            "ansible_stats": {"data": {"openqrm": report}, "per_host": False, "aggregate": True},
        }
        if self._task.diff and plan["lines"]:
            result["diff"] = {"before": "", "after": "".join(f"{line}\n" for line in plan["lines"])}
        return result

    def _in_inventory(self, facts):
        """Return the facts; where the inventory has none of the plan's hosts, the controller says so by settling it."""
        hosts, known = facts["openqrm_hosts"], {"localhost", *self.task_vars["groups"]["all"]}
        return facts | {"openqrm_hosts": hosts if known.intersection(hosts) else ["localhost"] * bool(hosts)}

    def _begin(self, options):
        begun = self._in_turn(options)
        if "problem" in begun:
            return {"changed": True, "count": 0, "error_of_operation": begun["problem"]}
        facts = {begun["variable"]: begun["items"], f"{begun['role']}_result": None}
        timeout_s = begun["timeout_s"]
        return {"changed": False, "count": begun["count"], "timeout_s": timeout_s, "ansible_facts": facts}

    def _in_turn(self, options):
        """Return the answer to begin once it is the plan's turn on the host, or it was waited for too long."""
        started, waited_s, told = time.monotonic(), 0.0, ""
        while "waits" in (begun := self.ask(options, seq=options["seq"], waited_s=waited_s)):
            if begun["waits"] != told:
                told = begun["waits"]
                self._display.display(told)
            time.sleep(begun["again"])
            waited_s = time.monotonic() - started
        return begun

    def _end(self, options):
        result = options["result"] or {}
        problem = options["error"]
        if not problem and ("items" not in result or result.get("unreachable")):
            problem = f"host {self.task_vars['inventory_hostname']} is unreachable"
        kept = {"items": [item for item in result.get("items", []) if isinstance(item, dict) and "sessions" in item]}
        ended = self.ask(options, seq=options["seq"], problem=problem, result=kept, final=options["final"])
        time.sleep(ended["again"])
        if ended["verb"] not in LISTINGS or problem:
            return {"changed": False, "again": bool(ended["again"])}
        found = [*self.task_vars.get("openqrm_found", []), *result["items"]]
        return {"changed": False, "ansible_facts": {"openqrm_found": found}}

    def _settle(self, options):
        plan = self.ask(options, round=options["round"])
        return {
            "changed": False,
            "ansible_facts": self._in_inventory(facts_of(plan)) | {"openqrm_failed": not plan["good"]},
        }

    def _found(self, options):
        plan = self.ask(options)
        storages = {(host, location): name for host, location, name in plan["storages"]}
        everything = self.task_vars["hostvars"]
        found = [dict(item, host=host) for host in plan["hosts"] for item in everything[host].get("openqrm_found", [])]
        for item in found:
            if "location" in item:
                item["storage"] = storages.get((item["host"], item["location"]), "")
        return {"changed": False, "found": found}

    def _close(self, options):
        self.ask(options)
        return {"changed": False}
