#!/usr/bin/python

# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: file_volume_info
short_description: List volumes that are files
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
  openqrm.datacenter.file_volume_info:
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
      description: Size in MiB.
      type: int
    used_mib:
      description: Space in MiB that its blocks occupy; those that clones share count in each of them.
      type: int
    read_only:
      description: Whether it is a snapshot.
      type: bool
    presents:
      description: Always V(block).
      type: str
    source:
      description: Always null, as a file does not keep of what it is a clone.
      type: str
"""

from ansible_collections.openqrm.datacenter.plugins.module_utils.file_volumes import Files
from ansible_collections.openqrm.datacenter.plugins.module_utils.volume_modules import carry_out_listing


def main():
    """Run the module."""
    carry_out_listing(lambda _options: Files())


if __name__ == "__main__":
    main()
