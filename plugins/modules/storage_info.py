#!/usr/bin/python

# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: storage_info
short_description: Read storages from the store
version_added: 0.1.0
description:
  - Returns storages with all that the store knows of them. Filters that are given must all pass.
extends_documentation_fragment:
  - openqrm.datacenter.store
  - openqrm.datacenter.store.info
options:
  types:
    description: Only storages of one of these types.
    type: list
    elements: str
  hosts:
    description: Only storages on one of these inventory hosts.
    type: list
    elements: str
"""

EXAMPLES = r"""
- name: Read the storages of a type
  openqrm.datacenter.storage_info:
    types: [directory]
  register: found
"""

RETURN = r"""
storages:
  description:
    - "The storages that pass, sorted by name: the options of M(openqrm.datacenter.storage) and C(images), the names of
      the images on it."
  returned: success
  type: list
  elements: dict
"""

# The work is done on the controller by the action plug-in of the same name.
