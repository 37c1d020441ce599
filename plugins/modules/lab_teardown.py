#!/usr/bin/python

# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: lab_teardown
short_description: Remove a lab, whole or half built
version_added: 0.1.0
description:
  - Ends every process inside the lab's network namespace, then removes the namespace, mounts below the lab's directory,
    and the directory. A process is known as the lab's by the namespace it is in, never by its name or by a noted
    process id alone.
author:
  - openQRM project (@openqrm)
options:
  namespace:
    description: Name of the lab's network namespace.
    type: str
    required: true
  lab_dir:
    description: Directory of the lab. It is removed only if it holds C(lab.json) or nothing.
    type: path
    required: true
  timeout_s:
    description: Seconds that processes have to end after C(SIGTERM), and after C(SIGKILL).
    type: int
    default: 10
attributes:
  check_mode:
    description: Can run in check mode and return what would change.
    support: full
  diff_mode:
    description: Returns what differs.
    support: full
"""

EXAMPLES = r"""
- name: Remove a lab
  openqrm.datacenter.lab_teardown:
    namespace: openqrm-demo
    lab_dir: /var/lib/openqrm/labs/demo
"""

RETURN = r"""
processes:
  description: Number of processes that were ended, or would be in check mode.
  returned: success
  type: int
"""

import os
import shutil
import signal
import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.openqrm.datacenter.plugins.module_utils.commands import (
    CommandError,
    run,
)
from ansible_collections.openqrm.datacenter.plugins.module_utils.differences import Differences
from ansible_collections.openqrm.datacenter.plugins.module_utils.files import read_text

MARKER = "lab.json"
WAIT_S = 0.05


class TeardownError(Exception):
    """The lab cannot be removed; the message says what is left."""


def identity(path):
    """Return device and inode of what ``path`` leads to, or None when it is gone or closed to us."""
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def members(namespace_path):
    """Return the ids of the processes inside the network namespace."""
    wanted = identity(namespace_path)
    if wanted is None:
        return []
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [pid for pid in pids if identity(f"/proc/{pid}/ns/net") == wanted]


def send(pid, number, namespace_path):
    """Send a signal to a process if it is still the one inside the namespace: the handle rules out a reused id."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if identity(f"/proc/{pid}/ns/net") == identity(namespace_path):
            signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        pass
    finally:
        os.close(handle)


def end_processes(namespace_path, timeout_s):
    """End every process inside the namespace; raise TeardownError when some do not end."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + timeout_s
        for pid in members(namespace_path):
            send(pid, number, namespace_path)
        while members(namespace_path) and time.monotonic() < deadline:
            time.sleep(WAIT_S)
    left = members(namespace_path)
    if left:
        raise TeardownError(
            f"processes {left} in {namespace_path} do not end. Look at them with ps, then run this again."
        )


def mounts_below(directory, table):
    """Return the mount points below ``directory`` in the text of /proc/self/mounts, innermost first."""
    points = [line.split()[1].replace("\\040", " ") for line in table.splitlines()]
    below = [point for point in points if point == directory or point.startswith(f"{directory}/")]
    return below[::-1]


def remove_directory(lab_dir):
    """Remove the lab's directory, its marker last, so that a run that is cut short can be run again."""
    for entry in sorted(Path(lab_dir).iterdir()):
        if entry.name == MARKER:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    Path(lab_dir, MARKER).unlink(missing_ok=True)
    Path(lab_dir).rmdir()


def check_directory(lab_dir):
    """Raise TeardownError when the directory is not a lab's."""
    found = [entry.name for entry in Path(lab_dir).iterdir()] if Path(lab_dir).is_dir() else []
    if found and MARKER not in found:
        raise TeardownError(
            f"it holds {len(found)} entries but no {MARKER}: no lab was built there. Name a lab's directory."
        )


def ensure(params, check_mode, command=run):
    """Remove the lab; return the module's result."""
    namespace_path, lab_dir = f"/run/netns/{params['namespace']}", params["lab_dir"]
    check_directory(lab_dir)
    differences, pids = Differences(), members(namespace_path)
    mounts = mounts_below(lab_dir, read_text("/proc/self/mounts"))
    differences.note("processes", len(pids), 0)
    has_namespace = differences.note("namespace", Path(namespace_path).exists(), False)
    differences.note("mounts", mounts, [])
    has_directory = differences.note("directory", Path(lab_dir).is_dir(), False)
    if not check_mode:
        end_processes(namespace_path, params["timeout_s"])
        if has_namespace:
            command(["ip", "netns", "delete", params["namespace"]])
        for point in mounts:
            command(["umount", point])
        if has_directory:
            remove_directory(lab_dir)
    return dict(differences.result([]), processes=len(pids))


def main():
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "namespace": {"type": "str", "required": True},
            "lab_dir": {"type": "path", "required": True},
            "timeout_s": {"type": "int", "default": 10},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(**ensure(module.params, module.check_mode))
    except (TeardownError, CommandError, OSError) as error:
        module.fail_json(msg=f"Lab {module.params['lab_dir']}: {error}")


if __name__ == "__main__":
    main()
