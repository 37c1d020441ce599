#!/usr/bin/python

# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: fake_storage
short_description: Volumes that exist in a file only
version_added: 0.1.0
description:
  - Does one verb of the family storage on a list of volumes that exist in a JSON file of the controller only.
  - Runs on the controller without a connection. Faults are shown on demand.
author:
  - openQRM project (@openqrm)
options:
  verb:
    description: What to do.
    type: str
    choices: [prepare, volume_create, volume_clone, volume_snapshot, volume_resize, volume_remove, volume_list,
              space]
    required: true
  objects:
    description: The items of the verb, as the contract of the family storage has them.
    type: list
    elements: dict
    default: []
  state_dir:
    description: Directory of the state, C(storage.<host>.json).
    type: path
    default: /var/lib/openqrm/fake
  faults:
    description: Faults to show when the turn of their item comes. What came before is done and stays.
    type: list
    elements: dict
    default: []
    suboptions:
      verb:
        description: The verb that fails.
        type: str
        required: true
      item:
        description: Name of the object that fails. Left out for every one.
        type: str
      fault:
        description: Fail, or hang for an hour.
        type: str
        choices: [fail, hang]
        required: true
      times:
        description: How often. Left out for every time.
        type: int
attributes:
  check_mode:
    description: Can run in check mode and return what would change.
    support: full
  diff_mode:
    description: Returns what differs.
    support: none
"""

EXAMPLES = r"""
- name: Do one verb
  openqrm.datacenter.fake_storage:
    verb: volume_create
    objects:
      - {name: web01-0, location: /srv/volumes, size_mib: 1024}
"""

RETURN = r"""
items:
  description: One result per object, as the contract of the family storage has them.
  returned: success
  type: list
  elements: dict
"""
