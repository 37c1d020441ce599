#!/usr/bin/python

# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: lvm_volume_info
short_description: List volumes that are logical volumes of LVM
version_added: 0.1.0
description:
  - Lists the logical volumes of volume groups that can be volumes, and how full the thin pools are, by one command.
  - Left out are pools, what a run that was killed has left unfinished, and volumes that the server uses for itself, as
    its own root.
author:
  - openQRM project (@openqrm)
extends_documentation_fragment:
  - openqrm.datacenter.volumes.locations
"""

EXAMPLES = r"""
- name: List the volumes
  openqrm.datacenter.lvm_volume_info:
    locations:
      - location: /dev/vg0
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
      description: Its size in MiB.
      type: int
    used_mib:
      description:
        - Space in MiB that it takes; null for a thin volume that is not active.
        - Blocks that clones share count in each of them.
      type: int
    read_only:
      description: Whether it is a snapshot.
      type: bool
    presents:
      description: V(block) or V(filesystem).
      type: str
    source:
      description: The volume of which it is a clone or snapshot, as long as that exists.
      type: str
pools:
  description: The thin pools of the locations.
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
      description: Its size in MiB.
      type: int
    used_percent:
      description: How full its data is, null while it is not active.
      type: float
    metadata_percent:
      description: How full its metadata is, null while it is not active.
      type: float
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.openqrm.datacenter.plugins.module_utils.lvm_volumes import OPTIONS, LvmVolumes
from ansible_collections.openqrm.datacenter.plugins.module_utils.volume_modules import finish, listing_arguments
from ansible_collections.openqrm.datacenter.plugins.module_utils.volumes import list_spaces, list_volumes


def listing(backend, locations, space):
    """Return the module's result."""
    if space:
        return {"changed": False, "items": list_spaces(backend, locations)}
    names = [item["location"] for item in locations]
    items = list_volumes(backend, locations, 0)
    taken = {(location, name) for location in names for name in backend.used_by_server(location)}
    return {
        "changed": False,
        "items": [item for item in items if (item["location"], item["name"]) not in taken],
        "pools": [pool for location in names for pool in backend.pools(location)],
    }


def main():
    """Run the module."""
    module = AnsibleModule(argument_spec=listing_arguments(), supports_check_mode=True)
    options = {name: option["default"] for name, option in OPTIONS.items()}
    backend = LvmVolumes(dict(options, timeout_s=120))
    finish(module, lambda: listing(backend, module.params["locations"], module.params["space"]))


if __name__ == "__main__":
    main()
