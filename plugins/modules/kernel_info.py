#!/usr/bin/python

# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: kernel_info
short_description: Read kernels from the store
version_added: 0.1.0
description:
  - Returns kernels with all that the store knows of them. Filters that are given must all pass.
extends_documentation_fragment:
  - openqrm.datacenter.store
  - openqrm.datacenter.store.info
options:
  arches:
    description: Only kernels for one of these architectures.
    type: list
    elements: str
"""

EXAMPLES = r"""
- name: Read all kernels
  openqrm.datacenter.kernel_info:
  register: found
"""

RETURN = r"""
kernels:
  description:
    - "The kernels that pass, sorted by name: the options of M(openqrm.datacenter.kernel) and C(default), whether idle
      nodes run it."
  returned: success
  type: list
  elements: dict
"""

# The work is done on the controller by the action plug-in of the same name.
