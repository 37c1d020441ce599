# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action plug-ins that ask the library for steps of plans."""

from __future__ import annotations

import gc
import os
import traceback

from ansible.errors import AnsibleActionFail
from ansible.module_utils.basic import missing_required_lib
from ansible.plugins.action import ActionBase
from ansible.utils.vars import transform_to_native_types

try:
    from openqrm import stepping
    from openqrm.errors import OpenqrmError

    if not stepping.is_served():
        from openqrm.planning import steps as _steps

        _steps.load()  # here once, in the process that forks the workers
except ImportError:
    OPENQRM_IMPORT_ERROR = traceback.format_exc()
else:
    OPENQRM_IMPORT_ERROR = None
    gc.freeze()  # workers leave what they inherit alone: collecting it would copy every page of it


class StepError(Exception):
    """A step failed; ``result`` is the failed task's result."""

    def __init__(self, result):
        """Keep the result."""
        super().__init__(result["msg"])
        self.result = result


class StepAction(ActionBase):
    """An action whose ``work`` asks for steps. Subclasses set ARGUMENTS, which have ``config``."""

    ARGUMENTS = None
    _requires_connection = False

    def run(self, tmp=None, task_vars=None):
        """Return the task's result; errors of the library become a failed result with their parts."""
        result = super().run(tmp, task_vars)
        if OPENQRM_IMPORT_ERROR:
            raise AnsibleActionFail(missing_required_lib("openqrm"), result={"exception": OPENQRM_IMPORT_ERROR})
        self.task_vars = task_vars
        given = self.validate_argument_spec(argument_spec=self.ARGUMENTS)[1]
        try:
            return result | self.work(transform_to_native_types(given, redact=False))
        except StepError as error:
            return result | error.result

    def work(self, options):
        """Return the result of the action."""
        raise NotImplementedError

    def ask(self, options, **more):
        """Return the answer to the task's step. Raise StepError."""
        return ask({"step": options["step"], "plan": options["plan"]} | more, options["config"])


def ask(request, config=None):
    """Return the answer to a request. Raise StepError."""
    try:
        answer = stepping.ask(request | {"actor": actor()}, config)
    except OpenqrmError as error:
        answer = {"error": error.parts()}
    if "error" in answer:
        parts = answer["error"]
        raise StepError({"failed": True, "msg": f"{parts['message']} {parts['remedy']}".strip(), "error": parts})
    return answer


def actor():
    """Return who acts, for the audit log."""
    return os.environ.get("OPENQRM_ACTOR") or os.environ.get("SUDO_USER") or os.environ.get("USER") or "unknown"
