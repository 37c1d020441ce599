#!/usr/bin/python

# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: lab_acceleration
short_description: Find out by trial whether virtual machines run accelerated here
version_added: 0.1.0
description:
  - Boots a kernel under KVM and watches its console. A device C(/dev/kvm) alone proves nothing, since guests can hang
    under it, as nested virtualization does on some machines. Where the kernel does not boot in time, QEMU's emulation
    (TCG) is the choice.
  - The answer is kept in O(cache_dir), and holds for the running kernel of this machine.
author:
  - openQRM project (@openqrm)
options:
  choice:
    description: Whether to try, or which accelerator to take without a trial.
    type: str
    choices: [auto, kvm, tcg]
    default: auto
  vmlinuz:
    description: Kernel to boot.
    type: path
    required: true
  cache_dir:
    description: Directory in which the answer is kept.
    type: path
    required: true
  timeout_s:
    description: Seconds within which the kernel has to be up. Emulation needs about 3.
    type: int
    default: 5
attributes:
  check_mode:
    description: Can run in check mode and return what would change.
    support: full
  diff_mode:
    description: Returns what differs.
    support: none
"""

EXAMPLES = r"""
- name: Choose the accelerator
  openqrm.datacenter.lab_acceleration:
    vmlinuz: /var/cache/openqrm/lab-storage-0123456789abcdef/vmlinuz
    cache_dir: /var/cache/openqrm
"""

RETURN = r"""
accelerator:
  description: Accelerator to use.
  returned: success
  type: str
  sample: tcg
reason:
  description: Why.
  returned: success
  type: str
"""

import json
import platform
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.openqrm.datacenter.plugins.module_utils.files import (
    read_text,
    write_atomic,
)
from ansible_collections.openqrm.datacenter.plugins.module_utils.trial_machine import (
    boots,
    trial_command,
)


def machine_identity():
    """Return what the answer depends on: the running kernel, and since when it runs."""
    return {"kernel": platform.release(), "boot": (read_text("/proc/sys/kernel/random/boot_id") or "").strip()}


def cached(path, identity):
    """Return the kept answer, or None when there is none for this machine as it runs now."""
    text = read_text(path)
    found = json.loads(text) if text else {}
    return found.get("answer") if found.get("identity") == identity else None


def answer_by_trial(vmlinuz, timeout_s, device="/dev/kvm"):
    """Return accelerator and reason."""
    if not Path(device).exists():
        return {"accelerator": "tcg", "reason": f"there is no {device}"}
    if boots(trial_command(vmlinuz), timeout_s):
        return {"accelerator": "kvm", "reason": "a kernel booted under KVM"}
    return {"accelerator": "tcg", "reason": f"a kernel did not boot under KVM within {timeout_s} s"}


def ensure(params, check_mode):
    """Return the module's result."""
    if params["choice"] != "auto":
        return {"changed": False, "accelerator": params["choice"], "reason": "it was asked for"}
    path, identity = f"{params['cache_dir']}/acceleration.json", machine_identity()
    known = cached(path, identity)
    if known:
        return dict(known, changed=False)
    if check_mode and not Path(params["vmlinuz"]).exists():
        return {"changed": True, "accelerator": "tcg", "reason": "it is found out when the kernel is there"}
    answer = answer_by_trial(params["vmlinuz"], params["timeout_s"])
    if not check_mode:
        write_atomic(path, json.dumps({"identity": identity, "answer": answer}) + "\n")
    return dict(answer, changed=True)


def main():
    """Run the module."""
    path = {"type": "path", "required": True}
    module = AnsibleModule(
        argument_spec={
            "choice": {"type": "str", "choices": ["auto", "kvm", "tcg"], "default": "auto"},
            "vmlinuz": path,
            "cache_dir": path,
            "timeout_s": {"type": "int", "default": 5},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(**ensure(module.params, module.check_mode))
    except (OSError, ValueError) as error:
        module.fail_json(msg=f"Acceleration cannot be tried: {error}. It needs qemu-system-x86.")


if __name__ == "__main__":
    main()
