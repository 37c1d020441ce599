#!/usr/bin/python

# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: published_file
short_description: Manage files below the root of a TFTP or HTTP server
version_added: 0.1.0
description:
  - Copies files of the managed host below O(root), each written whole or not at all.
author:
  - openQRM project (@openqrm)
options:
  root:
    description: The directory that the server serves. It must exist.
    type: path
    required: true
  entries:
    description: The files.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Path below O(root), without C(..).
        type: str
        required: true
      source:
        description: Path of the file on the managed host, of an entry that is present.
        type: path
  state:
    description: Whether the files are to be served.
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
- name: Serve iPXE to firmware
  openqrm.datacenter.published_file:
    root: /srv/openqrm/boot/ipxe
    entries:
      - {name: undionly.kpxe, source: /usr/lib/ipxe/undionly.kpxe}
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

import os
import shutil
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.openqrm.datacenter.plugins.module_utils.differences import Differences
from ansible_collections.openqrm.datacenter.plugins.module_utils.files import file_digest, sync_directory


class PublishError(ValueError):
    """An entry cannot be served; the message says which and why."""


def target_of(root, name):
    """Return the path of the file ``name`` below ``root``. Raises PublishError when it would be elsewhere."""
    if "\0" not in name:
        base = Path(root).resolve()
        path = (base / name).resolve()
        if base in path.parents:
            return path
    raise PublishError(f"File {name!r} would not be below {root}: give a relative path without '..'.")


def source_digest(entry):
    """Return the digest of the entry's source. Raises PublishError when there is none."""
    digest = file_digest(entry["source"]) if entry["source"] else None
    if digest is None:
        raise PublishError(f"File {entry['name']}: its source {entry['source']} does not exist on this host.")
    return digest


def copy_whole(source, target):
    """Copy a file so that readers see the old or the new one, never a part."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}~")
    try:
        with Path(source).open("rb") as reader, temporary.open("wb") as writer:
            shutil.copyfileobj(reader, writer)
            writer.flush()
            os.fchmod(writer.fileno(), 0o644)
            os.fsync(writer.fileno())
        temporary.replace(target)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(target)) from error
    sync_directory(target.parent)


def compare(root, entry, state, differences):
    """Note what differs for one entry; return (entry, path, whether it differs)."""
    target = target_of(root, entry["name"])
    wanted = source_digest(entry) if state == "present" else None
    return entry, target, differences.note(entry["name"], file_digest(target), wanted)


def ensure(root, entries, state, check_mode):
    """Bring the files to ``state``; return the module's result. Raises PublishError before anything is touched."""
    differences = Differences()
    compared = [compare(root, entry, state, differences) for entry in entries]
    for entry, target, differs in compared:
        if differs and not check_mode:
            if state == "absent":
                target.unlink()
            else:
                copy_whole(entry["source"], target)
    return differences.result([{"name": entry["name"], "changed": differs} for entry, _target, differs in compared])


def main():
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "root": {"type": "path", "required": True},
            "entries": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {"name": {"type": "str", "required": True}, "source": {"type": "path"}},
            },
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        supports_check_mode=True,
    )
    options = module.params
    try:
        module.exit_json(**ensure(options["root"], options["entries"], options["state"], module.check_mode))
    except (PublishError, OSError) as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
