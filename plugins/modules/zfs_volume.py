#!/usr/bin/python

# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: zfs_volume
short_description: Manage volumes that are datasets of ZFS
version_added: 0.1.0
description:
  - Makes, grows and removes datasets directly below a location, which is a dataset that
    M(openqrm.datacenter.zfs_location) has prepared.
  - A volume presents a file system that is mounted at C(/srv/openqrm/zfs/<location>/<name>), now and after each boot of
    the server, or a block device, C(/dev/zvol/<location>/<name>).
  - Clones and snapshots take no time and no space, whatever the size of their source. In block volumes nothing is
    changed by cloning.
  - The size of a file system is its limit (C(refquota)), and it need not have one. Block volumes are sparse. Resizing
    grows ext4 and XFS in a block volume, too; it is refused while others use it.
  - A volume that is removed before its clones hands what they share to one of them (C(zfs promote)). Snapshots that
    were made of it by other means are destroyed with it.
  - New volumes, clones and growth are refused where the pool, or a quota of the location, is full to O(full_percent).
author:
  - openQRM project (@openqrm)
options:
  filesystem:
    description: File system that archives are unpacked into where they fill block volumes.
    type: str
    choices: [ext4, xfs]
    default: ext4
  full_percent:
    description: Fill of the pool in percent from which on nothing is made or grown in it.
    type: int
    default: 90
  volumes:
    suboptions:
      name:
        description: Name, up to 63 of a-z, 0-9, dot, underscore and dash, a letter or digit first.
        type: str
        required: true
      location:
        description: Dataset that holds the volumes, as V(tank/openqrm).
        type: str
        required: true
      presents:
        description: What the volume presents. The default is what it or its source presents, else V(filesystem).
        type: str
        choices: [filesystem, block]
      size_mib:
        description:
          - Size in MiB of a new volume, or to which a volume grows. A clone has the size of its source.
          - New block volumes need one.
        type: int
      archive:
        description:
          - Path on the controller of a tar archive, compressed or not, that fills a new volume.
          - It is copied to the managed host where a volume that needs it does not exist, once, and removed afterwards.
        type: path
      source:
        description: Name of the volume in the same location of which a new volume is a clone.
        type: str
      read_only:
        description: Whether a new volume is a snapshot of its O(volumes[].source), which stays as it is.
        type: bool
        default: false
  staging:
    description: Directory on the managed host for the copies of archives.
    type: path
    default: /var/cache
extends_documentation_fragment:
  - openqrm.datacenter.volumes
"""

EXAMPLES = r"""
- name: Make a volume from an archive
  openqrm.datacenter.zfs_volume:
    volumes:
      - {name: golden, location: tank/openqrm, archive: /var/cache/golden.tar.zst}

- name: Clone it
  openqrm.datacenter.zfs_volume:
    volumes:
      - {name: web01-0, location: tank/openqrm, source: golden}
      - {name: web02-0, location: tank/openqrm, source: golden}
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
      description: Its device or mount point.
      type: str
    size_mib:
      description: Its size in MiB, where it has one.
      type: int
    changed:
      description: Whether it was made, grown or removed.
      type: bool
"""

from ansible_collections.openqrm.datacenter.plugins.module_utils.volume_modules import carry_out
from ansible_collections.openqrm.datacenter.plugins.module_utils.zfs_volumes import OPTIONS, ZfsVolumes


def main():
    """Run the module."""
    carry_out(
        lambda options: ZfsVolumes(options, with_unfinished=options["state"] == "absent"),
        own=dict(OPTIONS, staging={"type": "path", "default": "/var/cache"}),
        presents=ZfsVolumes.PRESENTS,
        location="str",
    )


if __name__ == "__main__":
    main()
