#!/usr/bin/python

# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: lab_disk
short_description: Make the disk images of a lab's virtual machines
version_added: 0.1.0
description:
  - Makes sparse disks, copy-on-write overlays of a base image, file systems on new disks, and disks that hold a tar
    archive.
  - A disk that exists is left alone; only the archive of an archive disk is brought to its content.
author:
  - openQRM project (@openqrm)
options:
  disks:
    description: Disk images. Each has either O(disks[].size_mib), O(disks[].backing) or O(disks[].archive).
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description: Path of the image.
        type: path
        required: true
      size_mib:
        description: Size in MiB of a sparse raw image.
        type: int
      filesystem:
        description: File system made on a new raw image.
        type: str
        choices: [xfs]
      backing:
        description: Raw image under a new qcow2 overlay.
        type: path
      archive:
        description: Files of a tar archive that is the disk's content, owned by root.
        type: list
        elements: dict
        suboptions:
          name:
            description: Path inside the archive.
            type: str
            required: true
          content:
            description: Content.
            type: str
          source:
            description: File on this machine to take the content from.
            type: path
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
- name: Make a node's disk
  openqrm.datacenter.lab_disk:
    disks:
      - {path: /var/lib/openqrm/labs/demo/images/node01.raw, size_mib: 4096}
"""

RETURN = r"""
items:
  description: One entry per disk, in the order of the input.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Path of the image.
      type: str
    changed:
      description: Whether it differed.
      type: bool
"""

import hashlib
import io
import tarfile
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.openqrm.datacenter.plugins.module_utils.commands import (
    CommandError,
    run,
)
from ansible_collections.openqrm.datacenter.plugins.module_utils.differences import Differences
from ansible_collections.openqrm.datacenter.plugins.module_utils.files import file_digest


def archive_bytes(entries):
    """Return a tar archive of the entries: the same bytes for the same content."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for entry in entries:
            data = Path(entry["source"]).read_bytes() if entry["source"] else entry["content"].encode()
            info = tarfile.TarInfo(entry["name"])
            info.size, info.mode = len(data), int(entry["mode"], 8)
            archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def make_raw(path, disk, command):
    """Make a sparse raw image, with its file system."""
    with Path(path).open("wb") as stream:
        stream.truncate(disk["size_mib"] << 20)
    if disk["filesystem"] == "xfs":
        command(["mkfs.xfs", "-q", "-m", "reflink=1", path])


def make_overlay(path, disk, command):
    """Make a qcow2 overlay of a raw image."""
    command(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", disk["backing"], path])


def make_archive(path, disk, _command):
    """Write the archive to the disk image, padded to whole sectors by tar's own block size."""
    Path(path).write_bytes(archive_bytes(disk["archive"]))
    Path(path).chmod(0o600)


def maker(disk):
    """Return the function that makes this kind of disk, or None when the disk is not described by exactly one kind."""
    makers = {"size_mib": make_raw, "backing": make_overlay, "archive": make_archive}
    given = [kind for kind in makers if disk[kind] is not None]
    return makers[given[0]] if len(given) == 1 else None


def found_and_wanted(disk):
    """Return the state of the image as found and as wanted: the digest of an archive, else only whether it is there."""
    path, archive = disk["path"], disk["archive"]
    if archive and all(Path(entry["source"]).exists() for entry in archive if entry["source"]):
        return file_digest(path), hashlib.sha256(archive_bytes(archive)).hexdigest()
    return ("present" if Path(path).exists() else None), "present"


def ensure(disks, check_mode, command=run):
    """Make the disks that are missing; return the module's result."""
    differences, items = Differences(), []
    for disk in disks:
        changed = differences.note(disk["path"], *found_and_wanted(disk))
        if changed and not check_mode:
            temporary = f"{disk['path']}.new"
            Path(temporary).unlink(missing_ok=True)
            maker(disk)(temporary, disk, command)
            Path(temporary).replace(disk["path"])
        items.append({"name": disk["path"], "changed": changed})
    return differences.result(items)


def argument_spec():
    """Return the module's argument spec."""
    path = {"type": "path", "required": True}
    entry = {
        "name": {"type": "str", "required": True},
        "content": {"type": "str"},
        "source": {"type": "path"},
        "mode": {"type": "str", "default": "0644"},
    }
    archive = {
        "type": "list",
        "elements": "dict",
        "options": entry,
        "mutually_exclusive": [("content", "source")],
        "required_one_of": [("content", "source")],
    }
    options = {
        "path": path,
        "size_mib": {"type": "int"},
        "filesystem": {"type": "str", "choices": ["xfs"]},
        "backing": {"type": "path"},
        "archive": archive,
    }
    return {"disks": {"type": "list", "elements": "dict", "required": True, "options": options}}


def main():
    """Run the module."""
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    for disk in module.params["disks"]:
        if maker(disk) is None:
            module.fail_json(msg=f"Disk {disk['path']}: give exactly one of size_mib, backing and archive.")
    try:
        module.exit_json(**ensure(module.params["disks"], module.check_mode))
    except (CommandError, OSError) as error:
        module.fail_json(msg=f"The lab's disks cannot be made: {error}. Check free space, qemu-utils and xfsprogs.")


if __name__ == "__main__":
    main()
