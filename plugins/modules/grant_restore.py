#!/usr/bin/python

# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: grant_restore
short_description: Have the grants of a block method served again after a reboot
version_added: 0.1.0
description:
  - Serves what is granted over iSCSI, NVMe/TCP or AoE and is not served, as after a reboot.
  - With O(supervisor=systemd) it installs a systemd unit that does so at boot, with the same program code. Volumes over
    AoE have units of their own, so that there O(supervisor=process) is enough.
options:
  method:
    description: The deployment method.
    type: str
    choices: [aoe, iscsi, nvme_tcp]
    required: true
  settings:
    description: Options of the method's module that are not its defaults, as C(addresses).
    type: dict
    default: {}
  supervisor:
    description: Who serves the grants at boot, systemd or nobody.
    type: str
    choices: [systemd, process]
    default: systemd
  program_dir:
    description: Directory of the program that the unit runs.
    type: path
    default: /usr/local/lib/openqrm
  unit_dir:
    description: Directory of the unit.
    type: path
    default: /etc/systemd/system
  wait_s:
    description: Seconds to wait for volumes that are granted and missing.
    type: int
    default: 0
attributes:
  check_mode:
    description: Can run in check mode and return what would change.
    support: full
  diff_mode:
    description: Returns what differs.
    support: full
author:
  - openQRM project (@openqrm)
"""

EXAMPLES = r"""
- name: Have iSCSI targets served at boot
  openqrm.datacenter.grant_restore:
    method: iscsi
    settings:
      addresses: [10.78.0.10]
"""

RETURN = r"""
items:
  description: Empty.
  returned: success
  type: list
  elements: dict
problems:
  description: Volumes that are granted and cannot be served, with the reason.
  returned: success
  type: dict
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.openqrm.datacenter.plugins.module_utils.block_grants import restore
from ansible_collections.openqrm.datacenter.plugins.module_utils.block_restore import (
    unit_name,
    wanted_files,
    wanting_units,
)
from ansible_collections.openqrm.datacenter.plugins.module_utils.block_servers import SETTINGS, server_of
from ansible_collections.openqrm.datacenter.plugins.module_utils.commands import CommandError, run
from ansible_collections.openqrm.datacenter.plugins.module_utils.differences import Differences
from ansible_collections.openqrm.datacenter.plugins.module_utils.files import read_text, write_all_atomic
from ansible_collections.openqrm.datacenter.plugins.module_utils.grants import GrantError


def settings_of(method, given):
    """Return all settings of a method, defaults filled in. Raises GrantError for what it does not know."""
    checked = ArgumentSpecValidator(SETTINGS[method]).validate(given)
    if checked.error_messages:
        raise GrantError(f"Settings of {method}: {'; '.join(checked.error_messages)}")
    return checked.validated_parameters


def is_enabled(unit, unit_dir, daemon):
    """Return whether systemd starts the unit at boot, and with the daemon if there is one."""
    return all(Path(unit_dir, f"{other}.wants", unit).is_symlink() for other in wanting_units(daemon))


def install(files, unit, unit_dir, daemon):
    """Write the files and have systemd start the unit at boot, and with the daemon."""
    for path in files:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    write_all_atomic(files)
    run(["systemctl", "daemon-reload"])
    if not is_enabled(unit, unit_dir, daemon):
        run(["systemctl", "enable", unit])


def ensure(params, check_mode):
    """Install what serves the grants at boot, and serve them now; return the module's result."""
    settings = settings_of(params["method"], params["settings"])
    server = server_of(params["method"], settings)
    differences, problems = Differences(), {}
    if params["supervisor"] == "systemd":
        unit = unit_name(params["method"])
        wanted = wanted_files(params["method"], settings, params["program_dir"], params["unit_dir"], server.unit)
        files = {path: text for path, text in wanted.items() if read_text(path) != text}
        for path in files:
            differences.note(path, "missing or different", "as wanted")
        enabled = is_enabled(unit, params["unit_dir"], server.unit)
        differences.note(unit, "enabled" if enabled else "disabled", "enabled")
        if differences.changed and not check_mode:
            install(files, unit, params["unit_dir"], server.unit)
    for path, client in sorted(server.unserved(server.written())):
        differences.note(f"{path} {client}", "not served", "served")
    if not check_mode:
        problems = restore(server, params["wait_s"])
    return dict(differences.result([]), problems=problems)


def main():
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "method": {"type": "str", "choices": ["aoe", "iscsi", "nvme_tcp"], "required": True},
            "settings": {"type": "dict", "default": {}},
            "supervisor": {"type": "str", "choices": ["systemd", "process"], "default": "systemd"},
            "program_dir": {"type": "path", "default": "/usr/local/lib/openqrm"},
            "unit_dir": {"type": "path", "default": "/etc/systemd/system"},
            "wait_s": {"type": "int", "default": 0},
        },
        supports_check_mode=True,
    )
    try:
        result = ensure(module.params, module.check_mode)
    except (GrantError, CommandError, OSError) as error:
        module.fail_json(msg=str(error))
    for path, problem in result["problems"].items():
        module.warn(f"{path} is granted, but cannot be served: {problem}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
