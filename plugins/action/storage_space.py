# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How full storages are: whom to ask, and what they answered."""

from __future__ import annotations

from ansible_collections.openqrm.datacenter.plugins.plugin_utils.steps import StepAction

ARGUMENTS = {
    "step": {"type": "str", "required": True, "choices": ["list", "note"]},
    "config": {"type": "path"},
    "storages": {"type": "list", "elements": "str", "default": []},
}


class ActionModule(StepAction):
    """One step of a check of the storages."""

    ARGUMENTS = ARGUMENTS
    _supports_check_mode = True

    def work(self, options):
        """Return the result of the step."""
        return self._list(options) if options["step"] == "list" else self._note(options)

    def _list(self, options):
        calls = self.ask({"step": "spaces", "plan": None, "config": options["config"]}, storages=options["storages"])
        by_host = {}
        for call in calls["calls"]:
            by_host.setdefault(call["host"], []).append(call)
        facts = {"openqrm_space_calls": by_host, "openqrm_space_hosts": list(by_host)}
        return {"changed": False, "calls": calls["calls"], "ansible_facts": facts}

    def _note(self, options):
        everything, asked = self.task_vars["hostvars"], []
        for host, calls in self.task_vars["openqrm_space_calls"].items():
            answers = everything[host].get("openqrm_spaces", []) if host in everything else None
            for number, call in enumerate(calls):
                asked.append(dict(call, **outcome(host, answers, number)))
        if self._task.check_mode:
            return {"changed": False, "storages": []}
        noted = self.ask({"step": "note_spaces", "plan": None, "config": options["config"]}, asked=asked)
        return {"changed": False, "storages": noted["storages"]}


def outcome(host, answers, number):
    """Return ``items`` or the ``problem`` of a host's call; ``answers`` None: the inventory does not have the host."""
    if answers is None:
        return {"problem": f"host {host} is not in the inventory"}
    answer = answers[number] if number < len(answers) else {}
    if answer.get("unreachable") or not (answer.get("items") or answer.get("problem")):
        return {"problem": f"host {host} is unreachable"}
    return {key: answer[key] for key in ("items", "problem") if answer.get(key)}
