#!/usr/bin/python

# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: image_grab
short_description: Copy running Linux systems into volumes
version_added: 0.1.0
description:
  - Copies the files of running Linux systems into volumes of this storage server, by C(rsync) over C(ssh).
  - Owners, hard links, ACLs, extended attributes, capabilities, sparse files and times are kept. The content of
    C(/proc), C(/sys), C(/dev), C(/run) and C(/tmp), and swap files, are left out.
  - It is copied twice, so that what changed during the first pass arrives with the second one.
  - A copy that broke is gone on with. A volume that holds anything else is refused.
  - The source's host key must be known; it is never accepted without that.
author:
  - openQRM project (@openqrm)
requirements:
  - rsync, here and on the source
  - ssh
options:
  systems:
    description: The systems.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the image.
        type: str
        required: true
      path:
        description: Path of its volume.
        type: path
        required: true
      presents:
        description: What the volume is.
        type: str
        choices: [filesystem, block]
        required: true
      host:
        description: Name or address of the running system, as this server reaches it.
        type: str
        required: true
      user:
        description: Who logs in there; it must be able to read all files.
        type: str
        default: root
      port:
        description: Port of its ssh server.
        type: int
        default: 22
      identity:
        description: Path of the private key on this server; empty for what ssh finds.
        type: str
        default: ""
      host_keys:
        description: Its host keys, type and base64, of which it must have one; empty for those that this server knows.
        type: list
        elements: str
        default: []
      mounts:
        description: Mount points whose file systems are copied too.
        type: list
        elements: str
        default: []
      excludes:
        description: Patterns of C(rsync), from the root on, of what is left out.
        type: list
        elements: str
        default: []
  filesystem:
    description: File system that an empty block volume gets.
    type: str
    choices: [ext4, xfs]
    default: ext4
  timeout_s:
    description: How long each pass may take, in seconds.
    type: int
    default: 86400
attributes:
  check_mode:
    description: Can run in check mode and return what would change.
    support: full
  diff_mode:
    description: Names what would be copied.
    support: full
"""

EXAMPLES = r"""
- name: Copy a running server
  openqrm.datacenter.image_grab:
    systems:
      - name: shop
        path: /srv/openqrm/volumes/shop
        presents: filesystem
        host: shop.example
        identity: /root/.ssh/grab
        host_keys: ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJQ9mmUSTa3TaI1FEZd5WnHZHsxxODDVIIMqJhIqPmkg"]
        mounts: [/var]
"""

RETURN = r"""
items:
  description: One result per system, in their order.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The image.
      type: str
    changed:
      description: Whether anything was copied; always, as only rsync can tell.
      type: bool
    vanished:
      description: Files that the source removed before they could be copied.
      type: int
"""

import fcntl
import os
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.openqrm.datacenter.plugins.module_utils import system_copy
from ansible_collections.openqrm.datacenter.plugins.module_utils.block_volumes import Contents, read_file_system
from ansible_collections.openqrm.datacenter.plugins.module_utils.commands import CommandError, run
from ansible_collections.openqrm.datacenter.plugins.module_utils.differences import Differences
from ansible_collections.openqrm.datacenter.plugins.module_utils.system_copy import CopyError
from ansible_collections.openqrm.datacenter.plugins.module_utils.volume_contents import files_of
from ansible_collections.openqrm.datacenter.plugins.module_utils.volumes import VolumeError

PASSES = 2
SYSTEM = {
    "name": {"type": "str", "required": True},
    "path": {"type": "path", "required": True},
    "presents": {"type": "str", "required": True, "choices": ["filesystem", "block"]},
    "host": {"type": "str", "required": True},
    "user": {"type": "str", "default": "root"},
    "port": {"type": "int", "default": 22},
    "identity": {"type": "str", "default": ""},
    "host_keys": {"type": "list", "elements": "str", "default": [], "no_log": False},
    "mounts": {"type": "list", "elements": "str", "default": []},
    "excludes": {"type": "list", "elements": "str", "default": []},
}


@contextmanager
def only_one(progress, timeout_s):
    """Give a file descriptor that is held while the copy runs; wait for a copy of an earlier run that goes on."""
    progress.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    deadline = time.monotonic() + timeout_s
    with progress.with_suffix(".lock").open("w") as stream:
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise CopyError(f"{stream.name} is held by another copy after {timeout_s} s.") from error
                time.sleep(1)
        yield stream.fileno()


@contextmanager
def ssh_of(system):
    """Give the words of ssh for this system; its host keys are in a file meanwhile."""
    if not system["host_keys"]:
        yield system_copy.ssh_command(system, None)
        return
    with tempfile.NamedTemporaryFile("w", prefix="openqrm-", suffix=".hosts") as stream:
        stream.write(system_copy.known_hosts_text(system))
        stream.flush()
        yield system_copy.ssh_command(system, stream.name)


def swaps(system, ssh):
    """Return what the source's /proc/swaps says. Raises CopyError where it cannot be reached."""
    try:
        return run([*ssh, f"{system['user']}@{system['host']}", "cat", "/proc/swaps"], timeout_s=60)
    except CommandError as error:
        raise CopyError(
            f"Image {system['name']}: {system['host']} cannot be reached as {system['user']}: {error.output or error}"
        ) from error


def grab(system, filesystem, timeout_s):
    """Copy one system; return how many files vanished. Raises CopyError, CommandError, VolumeError, OSError."""
    progress = system_copy.progress_file(system["name"])
    with only_one(progress, timeout_s) as lock, ssh_of(system) as ssh:
        excludes = system_copy.excludes_of(system, system_copy.swap_files_of(swaps(system, ssh)))
        if system["presents"] == "block" and Path(system["path"]).exists() and read_file_system(system["path"]) is None:
            make_file_system(system, filesystem)
        with files_of(system["name"], system["path"], system["presents"], read_only=False) as directory:
            system_copy.claim(system, directory)
            gone = [copy_all(system, ssh, excludes, directory, progress, lock, timeout_s) for _number in range(PASSES)]
            system_copy.prepare(directory)
            if not system_copy.is_whole(directory):
                raise CopyError(f"Image {system['name']}: {system['host']} has no /sbin/init, so it cannot be booted.")
            run(["sync", "--file-system", str(directory)], timeout_s=timeout_s)
        progress.unlink()
        return gone[-1]


def make_file_system(system, filesystem):
    """Make a file system on a block volume that has nothing. Raises CopyError where it has anything."""
    try:
        found = run(["blkid", "-p", "--", system["path"]])
    except CommandError as error:
        if error.code != 2:  # 2: nothing is found
            raise
        Contents(filesystem).make(system["path"])
        return
    raise CopyError(f"Image {system['name']}: its volume is not empty, blkid says {found.strip()}; use another volume.")


def copy_all(system, ssh, excludes, directory, progress, lock, timeout_s):
    """Copy the root and the further mounts once; return how many files vanished."""
    gone = 0
    for source in ("/", *sorted(system["mounts"])):
        target = directory if source == "/" else directory / source.lstrip("/")
        base = "" if source == "/" else source  # rsync takes what is left out from the copied directory on
        left_out = [each[len(base) :] for each in excludes if each.startswith(f"{base}/") and each != f"{base}/*"]
        target.mkdir(parents=True, exist_ok=True)
        argv = system_copy.rsync_command(system, ssh, left_out, source, target)
        gone += system_copy.vanished(system, *system_copy.run_rsync(argv, progress, lock, timeout_s))
    return gone


def ensure(systems, filesystem, timeout_s, check_mode):
    """Copy the systems; return the module's result. Raises CopyError before anything is copied."""
    for system in systems:
        system_copy.check(system)
    differences, items = Differences(), []
    for system in systems:
        differences.note(system["name"], None, f"{system['user']}@{system['host']}")
        gone = 0 if check_mode else grab(system, filesystem, timeout_s)
        items.append({"name": system["name"], "changed": True, "vanished": gone})
    return differences.result(items)


def main():
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "systems": {"type": "list", "elements": "dict", "required": True, "options": SYSTEM},
            "filesystem": {"type": "str", "choices": ["ext4", "xfs"], "default": "ext4"},
            "timeout_s": {"type": "int", "default": 86400},
        },
        supports_check_mode=True,
    )
    os.umask(0o022)
    options = module.params
    try:
        result = ensure(options["systems"], options["filesystem"], options["timeout_s"], module.check_mode)
    except (CopyError, CommandError, VolumeError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
