# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules of every start and stop, which need not be sent anywhere where their host is this controller."""

from __future__ import annotations

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.vars import transform_to_native_types


class InProcessAction(ActionBase):
    """Runs MODULE (its ``perform``) in this process where the connection is local, else on the host."""

    MODULE = None
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        """Return the module's result."""
        result = super().run(tmp, task_vars)
        if self._connection.transport != "local" or self._play_context.become:
            return result | self._execute_module(task_vars=task_vars)
        given = self.validate_argument_spec(argument_spec=self.MODULE.ARGUMENTS)[1]
        try:
            return result | self.MODULE.perform(transform_to_native_types(given, redact=False), self._task.check_mode)
        except self.MODULE.ERRORS as error:
            raise AnsibleActionFail(str(error)) from error
