#!/usr/bin/python

# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: file_volume
short_description: Manage volumes that are files
version_added: 0.1.0
description:
  - Makes, grows and removes sparse raw files directly below a location of a storage server, named C(<volume>.raw).
  - A new volume is made under another name, written to disk and then renamed, so that a volume that exists is whole.
  - Clones and snapshots share their blocks with the source where the file system can (reflink), and are sparse copies
    where it cannot.
  - A volume that is filled from an archive has a file system. It grows with its volume, which must not be in use then.
author:
  - openQRM project (@openqrm)
extends_documentation_fragment:
  - openqrm.datacenter.volumes
options:
  filesystem:
    description: File system of volumes that are filled from an archive.
    type: str
    choices: [ext4, xfs]
    default: ext4
"""

EXAMPLES = r"""
- name: Make an empty volume, and a clone of another one
  openqrm.datacenter.file_volume:
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

from ansible_collections.openqrm.datacenter.plugins.module_utils.file_volumes import Files
from ansible_collections.openqrm.datacenter.plugins.module_utils.volume_modules import carry_out


def main():
    """Run the module."""
    own = {"filesystem": {"type": "str", "choices": ["ext4", "xfs"], "default": "ext4"}}
    carry_out(lambda options: Files(options["filesystem"], options["timeout_s"]), own)


if __name__ == "__main__":
    main()
