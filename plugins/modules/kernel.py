#!/usr/bin/python

# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: kernel
short_description: Kernels of the boot tree, as they are to be
version_added: 0.1.0
description:
  - Makes records of kernels, changes them, or removes them, and says which one is the default.
  - The files are put into the boot tree by the playbook C(openqrm.datacenter.kernel_add), which uses this module.
  - A kernel that is the default or that an appliance uses is not removed.
extends_documentation_fragment:
  - openqrm.datacenter.store
  - openqrm.datacenter.store.state
options:
  kernels:
    description: Several objects, each with the options of a single one. O(name), O(names) or this is required.
    type: list
    elements: dict
    suboptions:
      name:
        description: Name of the kernel.
        type: str
        required: true
      <<: &kernel
        version:
          description: Version as C(uname -r) prints it. Required for a new kernel.
          type: str
        arch:
          description: Architecture. A new kernel has V(x86_64).
          type: str
          choices: [x86_64, aarch64]
        vmlinuz:
          description: SHA-256 of the kernel file. Required for a new kernel.
          type: str
        initramfs:
          description: SHA-256 of the initramfs. Required for a new kernel.
          type: str
        modules:
          description: SHA-256 of the archive of the module tree. Required for a new kernel.
          type: str
        sizes:
          description: Sizes of C(vmlinuz), C(initramfs) and C(modules) in bytes.
          type: dict
        default:
          description: Whether it is the kernel of idle nodes and of appliances that name none. Only one kernel is.
          type: bool
        parameters:
          description: "Free parameters: a flat mapping of names to text, numbers, booleans or lists of them."
          type: dict
  <<: *kernel
"""

EXAMPLES = r"""
- name: Make a kernel the default
  openqrm.datacenter.kernel:
    name: debian12
    default: true

- name: Remove a kernel
  openqrm.datacenter.kernel:
    name: debian11
    state: absent
"""

RETURN = r"""
kernels:
  description:
    - One entry per object, in the order of the task, with all its fields and C(changed).
    - With O(state=absent), only C(name) and C(changed).
    - In check mode, as the objects would be.
  returned: success
  type: list
  elements: dict
"""

# The work is done on the controller by the action plug-in of the same name.
