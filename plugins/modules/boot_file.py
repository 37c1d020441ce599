#!/usr/bin/python

# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: boot_file
short_description: Write or remove files of the boot tree
version_added: 0.1.0
description:
  - Writes files from text, each whole or not at all, and removes files; all of a list in one call.
  - A file below C(blobs/) is named by the SHA-256 of its content; its content is checked before anything is written.
author:
  - openQRM project (@openqrm)
options:
  entries:
    description: The files. Those of a list are written in its order.
    type: list
    elements: dict
    required: true
    suboptions:
      root:
        description: Root directory of the tree; it is made if missing.
        type: path
        required: true
      name:
        description: Path below O(entries[].root), without C(..).
        type: str
        required: true
      content:
        description: The text, of a file that is present.
        type: str
        default: ""
  state:
    description: Whether the files are there.
    type: str
    choices: [present, absent]
    default: present
attributes:
  check_mode:
    description: Can run in check mode and return what would change.
    support: full
  diff_mode:
    description: Returns the digests that differ.
    support: full
"""

EXAMPLES = r"""
- name: Publish a manifest
  openqrm.datacenter.boot_file:
    entries:
      - root: /srv/openqrm/boot
        name: manifests/default.json
        content: "{}"
"""

RETURN = r"""
items:
  description: One result per file, in the order of O(entries).
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Path below the root.
      type: str
    changed:
      description: Whether it was changed.
      type: bool
"""

import hashlib
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.openqrm.datacenter.plugins.module_utils.differences import Differences
from ansible_collections.openqrm.datacenter.plugins.module_utils.files import (
    file_digest,
    sync_directory,
    write_all_atomic,
)


class EntryError(ValueError):
    """An entry that cannot be; the message says which and why."""


def path_of(entry):
    """Return the entry's path. Raises EntryError when it is not below the root, be it by a link that is there."""
    name, root = entry["name"], Path(entry["root"])
    parts = name.split("/")
    if not name or "\0" in name or name.startswith("/") or ".." in parts or "" in parts:
        raise EntryError(f"File {name!r} would not be below {root}: give a relative path without '..'.")
    if root.resolve() not in (root / name).resolve().parents:
        raise EntryError(f"File {name!r} would not be below {root}: a link leads out of it; remove the link.")
    return root / name


def digest_of(entry):
    """Return the SHA-256 of the entry's content. Raises EntryError for a blob whose name is another."""
    digest = hashlib.sha256(entry["content"].encode()).hexdigest()
    if entry["name"].startswith("blobs/") and entry["name"] != f"blobs/{digest}":
        raise EntryError(f"File {entry['name']}: its content has the SHA-256 {digest}; a blob is named by its digest.")
    return digest


def compare(entry, state, differences):
    """Note what differs for one entry; return (entry, path, whether it differs)."""
    path = path_of(entry)
    wanted = digest_of(entry) if state == "present" else None
    return entry, path, differences.note(entry["name"], file_digest(path), wanted)


def ensure(entries, state, check_mode):
    """Bring the files to ``state``; return the module's result. Raises EntryError before anything is touched."""
    differences = Differences()
    compared = [compare(entry, state, differences) for entry in entries]
    if not check_mode:
        change({path: entry["content"] for entry, path, differs in compared if differs}, state)
    return differences.result([{"name": entry["name"], "changed": differs} for entry, _path, differs in compared])


def change(texts, state):
    """Write or remove the files of ``texts`` (path -> text), in its order, as far as to the disk."""
    directories = dict.fromkeys(path.parent for path in texts)
    if state == "absent":
        for path in texts:
            path.unlink()
    else:
        for directory in directories:
            directory.mkdir(parents=True, exist_ok=True)
        write_all_atomic(texts)
    for directory in directories:
        sync_directory(directory)


ARGUMENTS = {
    "entries": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "root": {"type": "path", "required": True},
            "name": {"type": "str", "required": True},
            "content": {"type": "str", "default": ""},
        },
    },
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
}
ERRORS = (EntryError, OSError)


def perform(options, check_mode):
    """Return the module's result. Raises ERRORS before anything is touched."""
    return ensure(options["entries"], options["state"], check_mode)


def main():
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        module.exit_json(**perform(module.params, module.check_mode))
    except ERRORS as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
