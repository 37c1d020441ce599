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
author:
  - openQRM project (@openqrm)
options:
  volumes:
    description: The volumes.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name, up to 63 of a-z, 0-9, dot, underscore and dash, a letter or digit first.
        type: str
        required: true
      location:
        description: Absolute path of the directory that holds the volumes. It must exist.
        type: path
        required: true
      size_mib:
        description: Wanted size in MiB. Directories have no size of their own, so it is not used.
        type: int
      archive:
        description: A tar archive on the managed host, compressed or not, that fills a new volume.
        type: path
      source:
        description: Name of the volume in the same location of which a new volume is a clone.
        type: str
  state:
    description: Whether the volumes are to exist. V(absent) destroys their data.
    type: str
    choices: [present, absent]
    default: present
  archives:
    description:
      - Where the archives are on the managed host, by their path in O(volumes[].archive). Others are where that says.
    type: dict
    default: {}
  timeout_s:
    description: Seconds that one copy may take.
    type: int
    default: 3600
attributes:
  check_mode:
    description: Can run in check mode and return what would change.
    support: full
  diff_mode:
    description: Returns what differs.
    support: full
"""

EXAMPLES = r"""
- name: Make a volume from an archive, and a clone of another one
  openqrm.datacenter.directory_volume:
    volumes:
      - {name: golden, location: /srv/openqrm/volumes, archive: /var/tmp/golden.tar.zst}
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
      description: Its directory.
      type: str
    changed:
      description: Whether it was made or removed.
      type: bool
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.openqrm.datacenter.plugins.module_utils.commands import CommandError
from ansible_collections.openqrm.datacenter.plugins.module_utils.directories import VolumeError, ensure_volumes

VOLUME = {
    "name": {"type": "str", "required": True},
    "location": {"type": "path", "required": True},
    "size_mib": {"type": "int"},
    "archive": {"type": "path"},
    "source": {"type": "str"},
}


def main():
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "volumes": {"type": "list", "elements": "dict", "required": True, "options": VOLUME},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "archives": {"type": "dict", "default": {}},
            "timeout_s": {"type": "int", "default": 3600},
        },
        supports_check_mode=True,
    )
    options = module.params
    for volume in options["volumes"]:
        copied = options["archives"].get(volume["archive"], volume["archive"])
        volume["archive"] = None if module.check_mode else copied  # check mode copies none, so there is none to look at
    try:
        result = ensure_volumes(options["volumes"], options["state"], module.check_mode, options["timeout_s"])
    except (VolumeError, CommandError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
