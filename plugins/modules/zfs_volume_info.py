#!/usr/bin/python

# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: zfs_volume_info
short_description: List volumes that are datasets of ZFS
version_added: 0.1.0
description:
  - Lists the datasets directly below locations that are volumes, and how full the pools are.
  - Left out are what a run that was killed has left unfinished, and file systems that are not mounted at a volume's
    path.
author:
  - openQRM project (@openqrm)
options:
  locations:
    suboptions:
      location:
        description: Dataset that holds the volumes, as V(tank/openqrm).
        type: str
        required: true
extends_documentation_fragment:
  - openqrm.datacenter.volumes.locations
"""

EXAMPLES = r"""
- name: List the volumes
  openqrm.datacenter.zfs_volume_info:
    locations:
      - location: tank/openqrm
"""

RETURN = r"""
items:
  description: The volumes, by location and name.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the volume.
      type: str
    location:
      description: Its location.
      type: str
    path:
      description: Its device or mount point.
      type: str
    size_mib:
      description: Its size in MiB; of a file system without a limit, what it holds and could get.
      type: int
    used_mib:
      description: Space in MiB that it takes. What it shares with the volume that it was cloned from counts there.
      type: int
    read_only:
      description: Whether it is a snapshot.
      type: bool
    presents:
      description: V(filesystem) or V(block).
      type: str
    source:
      description: The volume of which it is a clone or snapshot, as long as that exists.
      type: str
pools:
  description: The pools of the locations.
  returned: success
  type: list
  elements: dict
  contains:
    location:
      description: The location.
      type: str
    pool:
      description: Name of the pool.
      type: str
    size_mib:
      description: Its size in MiB, without what its redundancy takes.
      type: int
    used_percent:
      description: How full it is.
      type: float
    health:
      description: Its health, as V(ONLINE).
      type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.openqrm.datacenter.plugins.module_utils.volume_modules import finish, listing_arguments
from ansible_collections.openqrm.datacenter.plugins.module_utils.volumes import list_spaces, list_volumes
from ansible_collections.openqrm.datacenter.plugins.module_utils.zfs_volumes import OPTIONS, ZfsVolumes


def listing(backend, locations, space):
    """Return the module's result."""
    if space:
        return {"changed": False, "items": list_spaces(backend, locations)}
    items = list_volumes(backend, locations, 0)
    return {
        "changed": False,
        "items": items,
        "pools": [pool for item in locations for pool in backend.pools(item["location"])],
    }


def main():
    """Run the module."""
    module = AnsibleModule(argument_spec=listing_arguments("str"), supports_check_mode=True)
    options = {name: option["default"] for name, option in OPTIONS.items()}
    backend = ZfsVolumes(dict(options, timeout_s=120))
    finish(module, lambda: listing(backend, module.params["locations"], module.params["space"]))


if __name__ == "__main__":
    main()
