#!/usr/bin/python

# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: lab_file
short_description: Write the directories and files of a lab
version_added: 0.1.0
description:
  - Brings a list of directories and text files to their content and mode, all in one call.
author:
  - openQRM project (@openqrm)
options:
  directories:
    description: Directories, parents before children.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Path of the directory.
        type: path
        required: true
      mode:
        description: Mode in octal digits.
        type: str
        default: "0755"
  files:
    description: Text files. Their directories must exist, or be in O(directories).
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Path of the file.
        type: path
        required: true
      content:
        description: What the file is to contain.
        type: str
        required: true
      mode:
        description: Mode in octal digits.
        type: str
        default: "0644"
attributes:
  check_mode:
    description: Can run in check mode and return what would change.
    support: full
  diff_mode:
    description: Returns what differs.
    support: full
"""

EXAMPLES = r"""
- name: Write a lab's configuration
  openqrm.datacenter.lab_file:
    directories:
      - path: /var/lib/openqrm/labs/demo
    files:
      - path: /var/lib/openqrm/labs/demo/openqrm.yml
        content: "{{ lookup('ansible.builtin.template', 'openqrm.yml.j2') }}"
"""

RETURN = r"""
items:
  description: One entry per directory, then one per file, in the order of the input.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The path.
      type: str
    changed:
      description: Whether it differed.
      type: bool
"""

import stat
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.openqrm.datacenter.plugins.module_utils.differences import Differences
from ansible_collections.openqrm.datacenter.plugins.module_utils.files import (
    read_text,
    write_atomic,
)


def found_mode(path):
    """Return the mode of ``path`` as four octal digits, or None when it does not exist."""
    try:
        return f"{stat.S_IMODE(Path(path).stat().st_mode):04o}"
    except FileNotFoundError:
        return None


def found_file(path):
    """Return content and mode of the file ``path``, or None when it does not exist."""
    mode = found_mode(path)
    return None if mode is None else {"content": read_text(path), "mode": mode}


def found_directory(path):
    """Return the mode of the directory ``path``, or None when it does not exist."""
    mode = found_mode(path)
    return None if mode is None else {"mode": mode}


def make_directory(item):
    """Make the directory, or set its mode."""
    path = Path(item["path"])
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(int(item["mode"], 8))


def ensure(directories, files, check_mode):
    """Bring directories and files to their state; return the module's result."""
    differences, items = Differences(), []
    for item in directories:
        differs = differences.note(item["path"], found_directory(item["path"]), {"mode": item["mode"]})
        if differs and not check_mode:
            make_directory(item)
        items.append({"name": item["path"], "changed": differs})
    for item in files:
        wanted = {"content": item["content"], "mode": item["mode"]}
        differs = differences.note(item["path"], found_file(item["path"]), wanted)
        if differs and not check_mode:
            write_atomic(item["path"], item["content"], int(item["mode"], 8))
        items.append({"name": item["path"], "changed": differs})
    return differences.result(items)


def main():
    """Run the module."""
    path, mode = {"type": "path", "required": True}, {"type": "str", "default": "0755"}
    content = {"type": "str", "required": True}
    file_options = {"path": path, "content": content, "mode": {"type": "str", "default": "0644"}}
    lists = {"type": "list", "elements": "dict", "default": []}
    module = AnsibleModule(
        argument_spec={
            "directories": dict(lists, options={"path": path, "mode": mode}),
            "files": dict(lists, options=file_options),
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(**ensure(module.params["directories"], module.params["files"], module.check_mode))
    except (OSError, UnicodeDecodeError) as error:
        module.fail_json(msg=f"The lab's files cannot be written: {error}. Check permissions and free space.")


if __name__ == "__main__":
    main()
