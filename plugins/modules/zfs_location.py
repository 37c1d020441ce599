#!/usr/bin/python

# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: zfs_location
short_description: Prepare pools and datasets of ZFS for volumes
version_added: 0.1.0
description:
  - Makes pools on disks that are named and on nothing else, and the datasets in them that hold volumes. A pool that
    exists is left as it is; one that is on disks of the server and not imported is imported.
  - Mounts volumes of the locations that are not mounted, and removes what cloning that was killed has left.
  - Disks that are in use are refused, and disks with anything on them unless O(overwrite=true). So is a dataset that
    exists and is mounted elsewhere.
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
        description: Dataset that holds the volumes, a pool and a path in it, as V(tank/openqrm).
        type: str
        required: true
  disks:
    description: Block devices on which a pool that is missing is made. With none, a missing pool is an error.
    type: list
    elements: path
    default: []
  layout:
    description:
      - How a new pool uses its disks. With V(stripe) all data are lost with one disk. V(mirror) loses nothing while
        one of them works, V(raidz1), V(raidz2) and V(raidz3) while one, two or three fail.
    type: str
    choices: [stripe, mirror, raidz1, raidz2, raidz3]
    default: stripe
  overwrite:
    description: Whether what is on the O(disks) of a missing pool may be destroyed.
    type: bool
    default: false
  timeout_s:
    description: Seconds that one command may take, the import of a pool for example.
    type: int
    default: 600
attributes:
  check_mode:
    description: Can run in check mode and return what would change.
    support: full
  diff_mode:
    description: Returns what differs.
    support: full
"""

EXAMPLES = r"""
- name: Keep volumes on two disks
  openqrm.datacenter.zfs_location:
    locations:
      - location: tank/openqrm
    disks: [/dev/sdb, /dev/sdc]
    layout: mirror
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
      description: Whether something of it was made, imported, set or mounted.
      type: bool
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.openqrm.datacenter.plugins.module_utils.volume_modules import finish, location_argument
from ansible_collections.openqrm.datacenter.plugins.module_utils.zfs_locations import OPTIONS, Locations


def main():
    """Run the module."""
    spec = dict(OPTIONS, locations=location_argument("str"))
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    finish(module, lambda: Locations(module.params).ensure(module.params["locations"], module.check_mode))


if __name__ == "__main__":
    main()
