# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the Redfish modules of community.general for a list of machines."""

from __future__ import annotations

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.openqrm.datacenter.plugins.plugin_utils.redfish import Redfish, RedfishError, ensure

ENDPOINT = {
    "name": {"type": "str", "required": True},
    "address": {"type": "str", "required": True},
    "system": {"type": "str"},
    "mac": {"type": "str"},
    "device": {"type": "str", "choices": ["pxe", "disk"]},
}
ARGUMENTS = {
    "verb": {"type": "str", "required": True, "choices": ["on", "off", "reset", "status", "boot_device"]},
    "endpoints": {"type": "list", "elements": "dict", "required": True, "options": ENDPOINT},
    "username": {"type": "str", "default": ""},
    "password": {"type": "str", "default": "", "no_log": True},
    "credentials": {"type": "dict", "default": {}, "no_log": True},
    "validate_certs": {"type": "bool", "default": True},
    "ca_path": {"type": "path"},
    "timeout_s": {"type": "int", "default": 60},
    "request_timeout_s": {"type": "int", "default": 10},
}


class ActionModule(ActionBase):
    """Does one power verb on many machines."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        """Return the result of the verb, one item per machine."""
        super().run(tmp, task_vars)
        _result, options = self.validate_argument_spec(argument_spec=ARGUMENTS)
        missing = [
            item["name"] for item in options["endpoints"] if options["verb"] == "boot_device" and not item["device"]
        ]
        if missing:
            raise AnsibleActionFail(f"Resource {missing[0]}: verb boot_device needs a device, pxe or disk.")
        redfish = Redfish(
            lambda module, arguments: self._execute(module, arguments, task_vars),
            self._connection_options(options),
            options["credentials"],
            options["timeout_s"],
        )
        try:
            return ensure(redfish, options["verb"], options["endpoints"], self._task.check_mode)
        except RedfishError as error:
            raise AnsibleActionFail(str(error)) from error

    def _connection_options(self, options):
        names = ("username", "password", "validate_certs", "ca_path")
        chosen = {name: options[name] for name in names if options[name] not in (None, "")}
        return dict(chosen, timeout=options["request_timeout_s"])

    def _execute(self, module, arguments, task_vars):
        return self._execute_module(module_name=module, module_args=arguments, task_vars=task_vars)
