# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies of running systems, which take long: they go on by themselves on the storage server, and are looked at."""

from __future__ import annotations

import re
import shlex
import time

from ansible.plugins.action import ActionBase
from ansible_collections.openqrm.datacenter.plugins.module_utils.system_copy import progress_file
from ansible_collections.openqrm.datacenter.plugins.plugin_utils.progress import EVERY_S, Notes

# How rsync tells how far it is: bytes, percent, speed, time.
LINE = re.compile(r"^\s*([0-9.,]+[KMGT]?)\s+([0-9]+)%\s+(\S+)")
FIRST_S = 1
STATUS = "ansible.legacy.async_status"


class ActionModule(ActionBase):
    """Runs the module as a job of the storage server, and says how far it is."""

    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        """Return the module's result."""
        result = super().run(tmp, task_vars)
        if self._task.check_mode:
            return result | self._execute_module(task_vars=task_vars)
        job = self._started(task_vars)
        if job.get("failed") or "ansible_job_id" not in job:
            return result | job
        return result | self._finished(job["ansible_job_id"], task_vars)

    def _started(self, task_vars):
        """Start the module as a job; return what Ansible says of the job."""
        self._task.async_val = 2 * int(self._task.args.get("timeout_s", 86400)) + 600
        try:
            return self._execute_module(task_vars=task_vars, wrap_async=True)
        finally:
            self._task.async_val = 0

    def _finished(self, job, task_vars):
        """Return the result of the job, once it is over."""
        directory = self._remote_expand_user(self.get_shell_option("async_dir", default="~/.ansible_async"))
        arguments = {"jid": job, "_async_dir": directory}
        pause = FIRST_S
        while True:
            time.sleep(pause)
            state = self._execute_module(module_name=STATUS, module_args=arguments, task_vars=task_vars)
            if state.get("finished") or "started" not in state:
                break
            self._tell()
            pause = EVERY_S
        cleanup = dict(arguments, mode="cleanup")
        self._execute_module(module_name=STATUS, module_args=cleanup, task_vars=task_vars)
        return {
            key: value for key, value in state.items() if not key.startswith(("ansible_job", "started", "finished"))
        }

    def _tell(self):
        """Say how far each copy is that runs."""
        for system in self._task.args["systems"]:
            path = shlex.quote(str(progress_file(system["name"])))
            answer = self._low_level_execute_command(f"tail -c 400 {path} 2>/dev/null", sudoable=True)
            found = [LINE.match(line) for line in re.split(r"[\r\n]+", answer.get("stdout", ""))]
            last = next((match for match in reversed(found) if match), None)
            if last:
                notes = Notes(self._display, f"Image {system['name']} from {system['host']}")
                notes.say(f"{last[1]} bytes, {last[2]} %, {last[3]}")
