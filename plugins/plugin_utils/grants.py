# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules that give grants which clients prove by a secret: the secrets are handed to the module on the controller.

So they are in no plan, no variable and no event; the module's option is ``no_log``.
"""

from __future__ import annotations

from ansible.plugins.action import ActionBase
from ansible_collections.openqrm.datacenter.plugins.plugin_utils.steps import StepError, ask


class SecretGrantsAction(ActionBase):
    """Runs the module of the action's name; grants without a ``secret`` get theirs, where option ``chap`` is true.

    A grant that names no epoch is not one of a plan: its secret is the caller's.
    """

    _supports_check_mode = True
    TRANSFERS_FILES = False

    def run(self, tmp=None, task_vars=None):
        """Return the module's result."""
        result = super().run(tmp, task_vars)
        options = dict(self._task.args)
        try:
            options["grants"] = self._with_secrets(options)
        except StepError as error:
            return result | error.result
        return result | self._execute_module(module_args=options, task_vars=task_vars)

    def _with_secrets(self, options):
        grants = [dict(grant) for grant in options.get("grants") or []]
        wanted = [grant for grant in grants if not grant.get("secret") and grant.get("epoch")]
        if wanted and options.get("state", "present") == "present" and options.get("chap", True):
            asked = [[grant["target"], grant["client"]["name"], int(grant["epoch"])] for grant in wanted]
            secrets = ask({"step": "grant_secrets", "grants": asked})["secrets"]
            for grant, secret in zip(wanted, secrets, strict=True):
                grant["secret"] = secret
        return grants
