#!/usr/bin/python

# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: storage_space
short_description: How full storages are, and the events that follow
version_added: 0.1.0
description:
  - Says whom to ask how full the storages are, or notes what they answered, with an event for each storage that has
    crossed a level since it was asked last.
  - It is what C(openqrm.datacenter.storage_check) is made of; other playbooks use that.
options:
  step:
    description:
      - V(list) returns the calls to make, and sets the facts C(openqrm_space_calls) (by host) and
        C(openqrm_space_hosts).
      - V(note) reads the fact C(openqrm_spaces) of each of these hosts, a result for each of its calls, in order.
    type: str
    choices: [list, note]
    required: true
  storages:
    description: Names of storages, for O(step=list). Left out for all.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    support: full
    description: The servers are asked as well; nothing is noted.
  diff_mode:
    support: none
    description: Nothing of the data centre is changed.
extends_documentation_fragment:
  - openqrm.datacenter.store
"""

EXAMPLES = r"""
- name: Find out whom to ask
  openqrm.datacenter.storage_space:
    step: list
"""

RETURN = r"""
calls:
  description: What to ask of whom, each with C(host), C(role), C(locations) and C(storages).
  returned: O(step=list)
  type: list
  elements: dict
storages:
  description:
    - "The storages that were asked: C(name), C(level) (ok, warning, error, unknown), the level C(before), C(what),
      C(total_mib), C(used_mib), C(free_mib), C(used_percent), C(checked), and the C(message) of one that is unknown."
  returned: O(step=note)
  type: list
  elements: dict
"""
