#!/usr/bin/python

# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: btrfs_volume_info
short_description: List volumes that are btrfs subvolumes
version_added: 0.1.0
description:
  - Lists the volumes of the locations with their sizes.
author:
  - openQRM project (@openqrm)
extends_documentation_fragment:
  - openqrm.datacenter.volumes.locations
"""

EXAMPLES = r"""
- name: List the volumes
  openqrm.datacenter.btrfs_volume_info:
    locations:
      - location: /srv/openqrm/volumes
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
      description: Where it is.
      type: str
    size_mib:
      description: Its limit in MiB, or the size of the file system where it has none.
      type: int
    used_mib:
      description:
        - Space in MiB that it refers to, null without quotas.
        - With quotas of mode V(full) what clones share counts in each of them.
      type: int
    read_only:
      description: Whether it is a snapshot, which cannot be written.
      type: bool
    presents:
      description: Always V(filesystem).
      type: str
    source:
      description: Name of the volume of which it is a clone or snapshot, null where that is gone.
      type: str
"""

from ansible_collections.openqrm.datacenter.plugins.module_utils.btrfs_volumes import Btrfs
from ansible_collections.openqrm.datacenter.plugins.module_utils.volume_modules import carry_out_listing


def main():
    """Run the module."""
    carry_out_listing(lambda _options: Btrfs())


if __name__ == "__main__":
    main()
