#!/usr/bin/python

# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: kernel_files
short_description: Pack the kernels in volumes
version_added: 0.1.0
description:
  - Packs, of volumes of this storage server, the kernel that each system has, with its module tree, as a tar archive.
  - Looks for C(/boot/vmlinuz-VERSION) or C(/lib/modules/VERSION/vmlinuz), and C(/lib/modules/VERSION).
  - The volumes are only read; block volumes are mounted read-only, for the module alone, and must not be in use.
author:
  - openQRM project (@openqrm)
requirements:
  - tar
  - zstd
options:
  images:
    description: The images.
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
      version:
        description: Which kernel, where there are several.
        type: str
        default: ""
      archive:
        description: Path of the archive on the controller, for the role.
        type: path
        required: true
  staging:
    description: Directory of this server for the archives.
    type: path
    default: /var/tmp
  timeout_s:
    description: How long packing one may take, in seconds.
    type: int
    default: 900
attributes:
  check_mode:
    description: Can run in check mode; then nothing is packed.
    support: full
  diff_mode:
    description: Changes nothing that lasts.
    support: none
"""

EXAMPLES = r"""
- name: Pack the kernel of an image
  openqrm.datacenter.kernel_files:
    images:
      - name: web
        path: /srv/openqrm/volumes/web
        presents: filesystem
        archive: /var/cache/openqrm/kernels/image-web.tar.zst
"""

RETURN = r"""
items:
  description: One result per image, in their order.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The image.
      type: str
    changed:
      description: Always false; the archive is for one use.
      type: bool
    version:
      description: The kernel's version.
      type: str
    packed:
      description: Path of the archive on this server.
      type: str
    archive:
      description: Path that it is to have on the controller.
      type: str
"""

import re
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.openqrm.datacenter.plugins.module_utils.archives import pack
from ansible_collections.openqrm.datacenter.plugins.module_utils.commands import CommandError
from ansible_collections.openqrm.datacenter.plugins.module_utils.volume_contents import files_of
from ansible_collections.openqrm.datacenter.plugins.module_utils.volumes import VolumeError, check_name

VERSION = re.compile(r"[0-9][A-Za-z0-9._+~-]{0,127}\Z")


class KernelError(ValueError):
    """An image whose kernel cannot be taken; the message says which and why."""


def is_plain(root, path):
    """Return whether ``path`` (relative) is there below ``root``, and leads through no symbolic link out of it."""
    parts = Path(path).parts
    steps = [root.joinpath(*parts[: number + 1]) for number in range(len(parts))]
    return steps[-1].exists() and not any(step.is_symlink() for step in steps)


def kernels_in(root):
    """Return the kernels below ``root``: version -> the members of an archive of it."""
    found = {}
    for base in ("usr/lib/modules", "lib/modules"):
        if not is_plain(root, base):
            continue
        for directory in sorted((root / base).iterdir()):
            version, modules = directory.name, f"{base}/{directory.name}"
            if not VERSION.match(version) or not directory.is_dir() or directory.is_symlink():
                continue
            boot = f"boot/vmlinuz-{version}"
            if (root / modules / "vmlinuz").is_file() and is_plain(root, f"{modules}/vmlinuz"):
                found[version] = (modules,)
            elif is_plain(root, boot) and (root / boot).is_file():
                found[version] = (boot, modules)
    return found


def choose(image, found):
    """Return the version that is asked for, or the only one. Raises KernelError."""
    wanted = image["version"]
    chosen = [version for version in found if wanted in ("", version)]
    if len(chosen) != 1:
        known = ", ".join(sorted(found)) or "none"
        asked = f" {wanted}" if wanted else ""
        raise KernelError(
            f"Image {image['name']}: expected one kernel{asked} as boot/vmlinuz-VERSION with lib/modules/VERSION, "
            f"found: {known}; name the version, or install a kernel in the image."
        )
    return chosen[0]


def ensure(images, staging, timeout_s, check_mode):
    """Pack the kernels; return the module's result. Raises KernelError, VolumeError, CommandError, OSError."""
    items = []
    for image in images:
        check_name(image["name"])
        packed = Path(staging, f"openqrm-kernel-{image['name']}.tar.zst")
        with files_of(image["name"], image["path"], image["presents"], read_only=True) as root:
            found = kernels_in(root)
            version = choose(image, found)
            if not check_mode:
                pack(root, packed, timeout_s, found[version])
        items.append(
            {
                "name": image["name"],
                "changed": False,
                "version": version,
                "packed": str(packed),
                "archive": image["archive"],
            }
        )
    return {"changed": False, "items": items}


def main():
    """Run the module."""
    image = {
        "name": {"type": "str", "required": True},
        "path": {"type": "path", "required": True},
        "presents": {"type": "str", "required": True, "choices": ["filesystem", "block"]},
        "version": {"type": "str", "default": ""},
        "archive": {"type": "path", "required": True},
    }
    module = AnsibleModule(
        argument_spec={
            "images": {"type": "list", "elements": "dict", "required": True, "options": image},
            "staging": {"type": "path", "default": "/var/tmp"},  # noqa: S108 - the name is fixed, root's file
            "timeout_s": {"type": "int", "default": 900},
        },
        supports_check_mode=True,
    )
    options = module.params
    try:
        result = ensure(options["images"], options["staging"], options["timeout_s"], module.check_mode)
    except (KernelError, VolumeError, CommandError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
