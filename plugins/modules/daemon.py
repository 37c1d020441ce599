#!/usr/bin/python

# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: daemon
short_description: Keep a daemon running, with or without systemd
version_added: 0.1.0
description:
  - Keeps a daemon that runs in the foreground, as a systemd service C(openqrm-<name>) or, on machines without systemd,
    as a detached process whose process id is noted in O(run_dir).
  - Restarts it when its command or one of O(restart_files) changed since its start, and has it read its files again
    (C(SIGHUP)) when one of O(reload_files) changed.
author:
  - openQRM project (@openqrm)
options:
  name:
    description: Name of the daemon.
    type: str
    required: true
  argv:
    description: The command, which must stay in the foreground. Required when O(state=started).
    type: list
    elements: str
    default: []
  state:
    description: Whether the daemon is to run.
    type: str
    choices: [started, stopped]
    default: started
  supervisor:
    description: Who keeps the daemon.
    type: str
    choices: [systemd, process]
    default: systemd
  run_dir:
    description: Directory for process ids and the record of the last start.
    type: path
    default: /run/openqrm
  log_dir:
    description: Directory of the log, C(<name>.log).
    type: path
    default: /var/log/openqrm
  network_namespace:
    description: Name of the network namespace to run in, with O(supervisor=process). Empty for that of the caller.
    type: str
    default: ""
  restart_files:
    description: Files whose change needs a restart.
    type: list
    elements: path
    default: []
  reload_files:
    description: Files whose change needs a C(SIGHUP).
    type: list
    elements: path
    default: []
  ready_ports:
    description: Ports, as C(tcp:80) or C(udp:69), that are open once the daemon serves.
    type: list
    elements: str
    default: []
  stop_signal:
    description: What ends the daemon. V(KILL) is for one that does not obey C(SIGTERM) and loses nothing by it.
    type: str
    choices: [TERM, KILL]
    default: TERM
  timeout_s:
    description: Seconds to wait for the daemon to serve, and to end.
    type: int
    default: 20
attributes:
  check_mode:
    description: Can run in check mode and return what would change.
    support: full
  diff_mode:
    description: Returns what differs.
    support: full
"""

EXAMPLES = r"""
- name: Serve a directory on a machine without systemd
  openqrm.datacenter.daemon:
    name: files
    argv: [/usr/sbin/nginx, -g, "daemon off;"]
    supervisor: process
    ready_ports: ["tcp:80"]
"""

RETURN = r"""
action:
  description: What was done, or would be in check mode. Empty when nothing.
  returned: success
  type: str
  sample: restart
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.openqrm.datacenter.plugins.module_utils.commands import CommandError
from ansible_collections.openqrm.datacenter.plugins.module_utils.daemons import (
    Daemon,
    DaemonControl,
    DaemonError,
    ProcessSupervisor,
    SystemdSupervisor,
)

SUPERVISORS = {"process": ProcessSupervisor, "systemd": SystemdSupervisor}


def daemon_of(params):
    """Return the daemon that the module's parameters describe."""
    namespace = ["ip", "netns", "exec", params["network_namespace"]] if params["network_namespace"] else []
    return Daemon(
        name=params["name"],
        argv=namespace + params["argv"],
        run_dir=params["run_dir"],
        log_path=f"{params['log_dir']}/{params['name']}.log",
        restart_files=params["restart_files"],
        reload_files=params["reload_files"],
        ready_ports=params["ready_ports"],
        timeout_s=params["timeout_s"],
        stop_signal=params["stop_signal"],
    )


def ensure(params, check_mode):
    """Bring the daemon to its state; return the module's result."""
    daemon = daemon_of(params)
    control = DaemonControl(daemon, SUPERVISORS[params["supervisor"]](daemon))
    action = control.action(params["state"])
    if action and not check_mode:
        control.apply(action)
    diff = {"before": "", "after": f"{action} {daemon.name}\n"} if action else {"before": "", "after": ""}
    return {"changed": bool(action), "action": action, "diff": diff}


def main():
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "argv": {"type": "list", "elements": "str", "default": []},
            "state": {"type": "str", "choices": ["started", "stopped"], "default": "started"},
            "supervisor": {"type": "str", "choices": ["systemd", "process"], "default": "systemd"},
            "run_dir": {"type": "path", "default": "/run/openqrm"},
            "log_dir": {"type": "path", "default": "/var/log/openqrm"},
            "network_namespace": {"type": "str", "default": ""},
            "restart_files": {"type": "list", "elements": "path", "default": []},
            "reload_files": {"type": "list", "elements": "path", "default": []},
            "ready_ports": {"type": "list", "elements": "str", "default": []},
            "stop_signal": {"type": "str", "choices": ["TERM", "KILL"], "default": "TERM"},
            "timeout_s": {"type": "int", "default": 20},
        },
        supports_check_mode=True,
    )
    if module.params["state"] == "started" and not module.params["argv"]:
        module.fail_json(msg=f"Daemon {module.params['name']} has no command: set argv.")
    if module.params["network_namespace"] and module.params["supervisor"] == "systemd":
        module.fail_json(msg="network_namespace needs supervisor: process; with systemd use NetworkNamespacePath=.")
    try:
        module.exit_json(**ensure(module.params, module.check_mode))
    except (DaemonError, CommandError, OSError) as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
