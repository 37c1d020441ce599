#!/usr/bin/python

# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: unused_files
short_description: Remove large files that nothing refers to
version_added: 0.1.0
description:
  - Removes, from directories that hold files under their digests, those that are not in use and were neither read nor
    written for a time, and what was left half-made.
  - What is called otherwise than the patterns of its directory say is never touched. What a process is making stays.
  - It is what C(openqrm.datacenter.cache_prune) is made of; other playbooks use that.
author:
  - openQRM project (@openqrm)
options:
  places:
    description: The directories. One that does not exist has nothing unused.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description: Path of the directory.
        type: path
        required: true
      names:
        description: Regular expression for the whole names of what is kept there.
        type: str
        required: true
      unfinished:
        description: Regular expression for the whole names of what making them leaves when it is killed.
        type: str
        required: true
      keep:
        description: Names that are in use.
        type: list
        elements: str
        default: []
      mentioned_in:
        description: Directory with text files. Every name that one of them has in it is in use, if it is a SHA-256.
        type: path
      smallest_mib:
        description: Files that are smaller stay.
        type: int
        default: 0
  older_than_s:
    description: Seconds for which a file was neither read nor written.
    type: int
    required: true
attributes:
  check_mode:
    description: Can run in check mode and return what would go.
    support: full
  diff_mode:
    description: Returns what goes.
    support: full
"""

EXAMPLES = r"""
- name: Remove what is old
  openqrm.datacenter.unused_files:
    places:
      - path: /var/cache/openqrm/archives
        names: "[0-9a-f]{64}[.]tar[.]zst"
        unfinished: "[.].+"
    older_than_s: 2592000
"""

RETURN = r"""
items:
  description: What went, or would go.
  returned: success
  type: list
  elements: dict
  contains:
    path:
      description: Its path.
      type: str
    what:
      description: Whether it is whole and C(unused), or C(unfinished).
      type: str
    size_mib:
      description: Its size in MiB, rounded up.
      type: int
    age_s:
      description: Seconds since it was last read or written.
      type: int
"""

import re
import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.openqrm.datacenter.plugins.module_utils.unused_files import find_unused, remove


def main():
    """Run the module."""
    place = {
        "path": {"type": "path", "required": True},
        "names": {"type": "str", "required": True},
        "unfinished": {"type": "str", "required": True},
        "keep": {"type": "list", "elements": "str", "default": [], "no_log": False},
        "mentioned_in": {"type": "path"},
        "smallest_mib": {"type": "int", "default": 0},
    }
    module = AnsibleModule(
        argument_spec={
            "places": {"type": "list", "elements": "dict", "required": True, "options": place},
            "older_than_s": {"type": "int", "required": True},
        },
        supports_check_mode=True,
    )
    now, items = time.time(), []
    try:
        for each in module.params["places"]:
            items += find_unused(each, module.params["older_than_s"], now)
        for item in [] if module.check_mode else items:
            remove(item["path"])
    except (OSError, re.error) as error:
        module.fail_json(msg=str(error))
    paths = dict.fromkeys(item["path"] for item in items)
    diff = {"before": dict.fromkeys(paths, True), "after": {}}
    module.exit_json(changed=bool(items), items=items, diff=diff)


if __name__ == "__main__":
    main()
