#!/usr/bin/python

# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: btrfs_volume
short_description: Manage volumes that are btrfs subvolumes
version_added: 0.1.0
description:
  - Makes and removes subvolumes directly below a location of a storage server, which is on btrfs.
  - Clones and snapshots are snapshots of the subvolume, made in no time whatever its size.
  - The size of a volume is the limit of its quota group, where the file system has quotas; without them sizes are not
    used and V(resized) is refused. A clone has the limit of its source.
author:
  - openQRM project (@openqrm)
extends_documentation_fragment:
  - openqrm.datacenter.volumes
"""

EXAMPLES = r"""
- name: Make a volume, and a clone of another one
  openqrm.datacenter.btrfs_volume:
    volumes:
      - {name: data, location: /srv/openqrm/volumes, size_mib: 4096}
      - {name: web01-0, location: /srv/openqrm/volumes, source: base}
"""

RETURN = r"""
items:
  description: One result per volume, in the order of O(volumes).
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
      description: Its size in MiB, where it has one.
      type: int
    changed:
      description: Whether it was made, removed or grown.
      type: bool
"""

from ansible_collections.openqrm.datacenter.plugins.module_utils.btrfs_volumes import Btrfs
from ansible_collections.openqrm.datacenter.plugins.module_utils.volume_modules import carry_out


def main():
    """Run the module."""
    carry_out(lambda options: Btrfs(options["timeout_s"]))


if __name__ == "__main__":
    main()
