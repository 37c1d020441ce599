#!/usr/bin/python

# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: directory_volume_info
short_description: List volumes that are directories
version_added: 0.1.0
description:
  - Lists the volumes of the locations and how much space each of them occupies.
author:
  - openQRM project (@openqrm)
options:
  locations:
    description: The locations.
    type: list
    elements: dict
    required: true
    suboptions:
      location:
        description: Absolute path of the directory that holds the volumes.
        type: path
        required: true
  measure_s:
    description: Seconds to spend on measuring, for all volumes together. V(0) measures none.
    type: int
    default: 30
attributes:
  check_mode:
    description: Changes nothing, so that it runs in check mode as it does else.
    support: full
  diff_mode:
    description: Changes nothing.
    support: none
"""

EXAMPLES = r"""
- name: List the volumes
  openqrm.datacenter.directory_volume_info:
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
      description: Its directory.
      type: str
    size_mib:
      description: Size in MiB of the file system that holds it.
      type: int
    used_mib:
      description:
        - Space in MiB that its files occupy, null when it was not measured in time.
        - Blocks that clones share count in each of them.
      type: int
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.openqrm.datacenter.plugins.module_utils.directories import VolumeError, list_volumes


def main():
    """Run the module."""
    location = {"location": {"type": "path", "required": True}}
    module = AnsibleModule(
        argument_spec={
            "locations": {"type": "list", "elements": "dict", "required": True, "options": location},
            "measure_s": {"type": "int", "default": 30},
        },
        supports_check_mode=True,
    )
    try:
        items = list_volumes(module.params["locations"], module.params["measure_s"])
    except (VolumeError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, items=items)


if __name__ == "__main__":
    main()
