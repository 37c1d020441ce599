#!/usr/bin/python

# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: directory_volume
short_description: Manage volumes that are directories
version_added: 0.1.0
description:
  - Makes and removes directories directly below a location of a storage server.
  - A new volume is filled under another name, written to disk and then renamed, so that a volume that exists is whole.
  - Clones share their blocks with the source where the file system can (reflink), and are copies where it cannot.
    Hard links, owners, ACLs and extended attributes are kept.
  - Snapshots are clones that share blocks, so they need a file system that can. They are marked as such; the server
    itself can write to them.
  - A size is the limit of the volume's project quota, with O(quota=project). Else directories have no size of their
    own, O(volumes[].size_mib) is not used and V(resized) is refused.
author:
  - openQRM project (@openqrm)
extends_documentation_fragment:
  - openqrm.datacenter.volumes
options:
  quota:
    description:
      - What limits volumes. V(project) makes a project of each new volume, on XFS and ext4 that keep project quotas;
        other file systems are refused before anything is touched.
    type: str
    choices: [none, project]
    default: none
"""

EXAMPLES = r"""
- name: Make a volume from an archive, and a clone of another one
  openqrm.datacenter.directory_volume:
    volumes:
      - {name: golden, location: /srv/openqrm/volumes, archive: /var/cache/golden.tar.zst}
      - {name: web01-0, location: /srv/openqrm/volumes, source: base}
      - {name: base-monday, location: /srv/openqrm/volumes, source: base, read_only: true}
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
      description: Its directory.
      type: str
    changed:
      description: Whether it was made or removed.
      type: bool
"""

from ansible_collections.openqrm.datacenter.plugins.module_utils.directories import Directories
from ansible_collections.openqrm.datacenter.plugins.module_utils.volume_modules import carry_out

QUOTA = {"quota": {"type": "str", "choices": ["none", "project"], "default": "none"}}


def main():
    """Run the module."""
    carry_out(lambda options: Directories(options["timeout_s"], quota=options["quota"]), own=QUOTA)


if __name__ == "__main__":
    main()
