#!/usr/bin/python

# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: directory_location
short_description: Prepare locations of directory volumes
version_added: 0.1.0
description:
  - Makes the directories that hold volumes, and clears away what removals that were interrupted have left there.
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
        description: Absolute path of the directory.
        type: path
        required: true
  timeout_s:
    description: Seconds that clearing one leftover may take.
    type: int
    default: 3600
  quota:
    description: What is to limit volumes. V(project) needs a file system that keeps project quotas, XFS or ext4.
    type: str
    choices: [none, project]
    default: none
attributes:
  check_mode:
    description: Can run in check mode and return what would change.
    support: full
  diff_mode:
    description: Returns what differs.
    support: full
"""

EXAMPLES = r"""
- name: Prepare a location
  openqrm.datacenter.directory_location:
    locations:
      - location: /srv/openqrm/volumes
"""

RETURN = r"""
items:
  description: One result per location, in the order of O(locations).
  returned: success
  type: list
  elements: dict
  contains:
    location:
      description: The location.
      type: str
    changed:
      description: Whether it was made.
      type: bool
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.openqrm.datacenter.plugins.module_utils.directories import Directories
from ansible_collections.openqrm.datacenter.plugins.module_utils.path_volumes import ensure_locations
from ansible_collections.openqrm.datacenter.plugins.module_utils.volume_modules import finish, location_argument


def main():
    """Run the module."""
    spec = {
        "locations": location_argument(),
        "timeout_s": {"type": "int", "default": 3600},
        "quota": {"type": "str", "choices": ["none", "project"], "default": "none"},
    }
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    backend = Directories(module.params["timeout_s"], quota=module.params["quota"])
    finish(module, lambda: ensure_locations(backend, module.params["locations"], module.check_mode))


if __name__ == "__main__":
    main()
