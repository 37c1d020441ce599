#!/usr/bin/python

# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: resource_info
short_description: Read resources from the store
version_added: 0.1.0
description:
  - Returns resources with all that the store knows of them. Filters that are given must all pass.
extends_documentation_fragment:
  - openqrm.datacenter.store
  - openqrm.datacenter.store.info
options:
  states:
    description: Only resources in one of these states. Quote C("off"), which YAML reads as false.
    type: list
    elements: str
    choices: [new, idle, reserved, starting, active, stopping, error, "off", unknown, quarantined]
  types:
    description: Only resources of one of these types.
    type: list
    elements: str
  tags:
    description: Only resources that have all of these tags.
    type: list
    elements: str
  macs:
    description: Only resources that have one of these MAC addresses.
    type: list
    elements: str
"""

EXAMPLES = r"""
- name: Read which machines are idle
  openqrm.datacenter.resource_info:
    states: [idle]
  register: idle
"""

RETURN = r"""
resources:
  description:
    - "The resources that pass, sorted by name: the options of M(openqrm.datacenter.resource) and C(state),
      C(boot_mac), C(last_seen) and C(appliance) and C(member), the appliance member that runs on it, empty and null
      for none."
  returned: success
  type: list
  elements: dict
"""

# The work is done on the controller by the action plug-in of the same name.
