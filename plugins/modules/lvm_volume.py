#!/usr/bin/python

# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: lvm_volume
short_description: Manage volumes that are logical volumes of LVM
version_added: 0.1.0
description:
  - Makes, grows and removes logical volumes, thin or classic.
  - A volume presents a block device, C(/dev/<group>/<name>), or a file system that is mounted at
    C(/srv/openqrm/lvm/dev/<group>/<name>), now and after each boot of the server.
  - A clone or snapshot is of the kind of its source. Of a thin volume it takes no time and no space, of a classic one a
    clone is a copy, and a snapshot has room for all of its source to change. A file system that is presented gets a
    UUID of its own; in block volumes nothing is changed.
  - Resizing grows the file system with the volume, where there is ext4 or XFS in it, also while this server has it
    mounted. It is refused while others use it.
  - New thin volumes, clones and growth are refused where the pool is full to O(full_percent).
author:
  - openQRM project (@openqrm)
options:
  thin:
    description: Whether new volumes that are no clones are thin. V(false) makes classic ones, which take their size.
    type: bool
    default: true
  pool:
    description: Name of the thin pool in which new volumes are made.
    type: str
    default: openqrm
  filesystem:
    description: File system of new volumes that present one or are filled from an archive.
    type: str
    choices: [ext4, xfs]
    default: ext4
  full_percent:
    description: Fill of a pool in percent, of its data or its metadata, from which on nothing is made or grown in it.
    type: int
    default: 90
  volumes:
    suboptions:
      name:
        description: Name, up to 63 of a-z, 0-9, dot, underscore and dash, a letter or digit first; none that LVM keeps.
        type: str
        required: true
      location:
        description: Directory of the volume group's devices, as V(/dev/vg0).
        type: path
        required: true
      presents:
        description: What the volume presents. The default is what it or its source presents, else V(block).
        type: str
        choices: [block, filesystem]
      size_mib:
        description: Size in MiB of a new volume, or to which a volume grows. A clone has the size of its source.
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
extends_documentation_fragment:
  - openqrm.datacenter.volumes
"""

EXAMPLES = r"""
- name: Make a volume from an archive
  openqrm.datacenter.lvm_volume:
    volumes:
      - {name: golden, location: /dev/vg0, presents: filesystem, size_mib: 4096, archive: /var/cache/golden.tar.zst}

- name: Clone it
  openqrm.datacenter.lvm_volume:
    volumes:
      - {name: web01-0, location: /dev/vg0, source: golden}
      - {name: web02-0, location: /dev/vg0, source: golden}
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
      description: Its size in MiB, rounded up to whole extents.
      type: int
    changed:
      description: Whether it was made, grown or removed.
      type: bool
"""

from ansible_collections.openqrm.datacenter.plugins.module_utils.lvm_volumes import OPTIONS, LvmVolumes
from ansible_collections.openqrm.datacenter.plugins.module_utils.volume_modules import carry_out


def main():
    """Run the module."""
    carry_out(
        lambda options: LvmVolumes(options, with_unfinished=options["state"] == "absent"),
        own=OPTIONS,
        presents=LvmVolumes.PRESENTS,
    )


if __name__ == "__main__":
    main()
