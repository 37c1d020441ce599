#!/usr/bin/python

# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: lvm_location
short_description: Prepare volume groups for volumes
version_added: 0.1.0
description:
  - Makes volume groups and their thin pools, on disks that are named and on nothing else. A group that exists is left
    as it is, but for a pool whose size is given.
  - Activates and mounts volumes of the groups that are not, as after a disk came late.
  - Disks that are in use or belong to a volume group are refused, and disks with anything on them unless
    O(overwrite=true).
author:
  - openQRM project (@openqrm)
options:
  locations:
    description: The locations.
    type: list
    elements: dict
    required: true
    suboptions:
      location:
        description: Directory of the volume group's devices, as V(/dev/vg0).
        type: path
        required: true
  disks:
    description: Block devices on which a volume group that is missing is made. With none, a missing group is an error.
    type: list
    elements: path
    default: []
  overwrite:
    description: Whether what is on the O(disks) of a missing group may be destroyed.
    type: bool
    default: false
  thin:
    description: Whether the groups are to have a thin pool.
    type: bool
    default: true
  pool:
    description: Name of the thin pool.
    type: str
    default: openqrm
  pool_size_mib:
    description: Size in MiB with which a pool that is missing is made. Give this or O(pool_percent).
    type: int
    default: 0
  pool_percent:
    description: Percentage of its group's free space that a pool that is missing gets. Give this or O(pool_size_mib).
    type: int
    default: 0
attributes:
  check_mode:
    description: Can run in check mode and return what would change.
    support: full
  diff_mode:
    description: Returns what differs.
    support: full
"""

EXAMPLES = r"""
- name: Keep thin volumes on a disk
  openqrm.datacenter.lvm_location:
    locations:
      - location: /dev/vg0
    disks: [/dev/sdb]
    pool_percent: 95
"""

RETURN = r"""
items:
  description: One result per location, in the order of O(locations).
  returned: success
  type: list
  elements: dict
  contains:
    location:
      description: The location.
      type: str
    changed:
      description: Whether something of it was made, activated or mounted.
      type: bool
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.openqrm.datacenter.plugins.module_utils.lvm_groups import OPTIONS, Groups
from ansible_collections.openqrm.datacenter.plugins.module_utils.volume_modules import finish, location_argument


def main():
    """Run the module."""
    spec = dict(OPTIONS, locations=location_argument())
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    finish(module, lambda: Groups(module.params).ensure(module.params["locations"], module.check_mode))


if __name__ == "__main__":
    main()
