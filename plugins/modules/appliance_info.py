#!/usr/bin/python

# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: appliance_info
short_description: Read appliances from the store
version_added: 0.1.0
description:
  - Returns appliances with all that the store knows of them. Filters that are given must all pass.
extends_documentation_fragment:
  - openqrm.datacenter.store
  - openqrm.datacenter.store.info
options:
  states:
    description: Only appliances in one of these states.
    type: list
    elements: str
    choices: [stopped, starting, active, stopping, failed]
"""

EXAMPLES = r"""
- name: Read where an appliance runs
  openqrm.datacenter.appliance_info:
    names: [web]
  register: found
"""

RETURN = r"""
appliances:
  description:
    - "The appliances that pass, sorted by name: the options of M(openqrm.datacenter.appliance) and C(state) and
      C(assigned), a list with C(member), C(resource), C(address), C(image) and C(epoch) of each running member."
  returned: success
  type: list
  elements: dict
"""

# The work is done on the controller by the action plug-in of the same name.
