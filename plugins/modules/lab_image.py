#!/usr/bin/python

# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: lab_image
short_description: Build the system disk of a lab's storage server, once per recipe
version_added: 0.1.0
description:
  - Builds a Debian system with C(mmdebstrap) and makes of it a raw disk image, its kernel and its initramfs.
  - The result is kept in O(cache_dir) under the digest of the recipe, so that it is built once.
author:
  - openQRM project (@openqrm)
options:
  recipe_dir:
    description:
      - Directory of the recipe. C(packages) holds one package per line, C(root/) the files that are there before the
        packages are configured, C(customize.sh) what runs in the new root at the end.
    type: path
    required: true
  additions:
    description:
      - Directories of recipes that are added to it, in order. Each may also have C(components), the components of the
        Debian archive that it needs besides C(main), one per line.
    type: list
    elements: path
    default: []
  suite:
    description: Debian release.
    type: str
    required: true
  size_mib:
    description: Size in MiB of the disk.
    type: int
    required: true
  cache_dir:
    description: Directory of the built images.
    type: path
    required: true
  timeout_s:
    description: Seconds that the build may take.
    type: int
    default: 1800
attributes:
  check_mode:
    description: Can run in check mode and return what would change.
    support: full
  diff_mode:
    description: Returns what differs.
    support: full
"""

EXAMPLES = r"""
- name: Build the storage server's disk
  openqrm.datacenter.lab_image:
    recipe_dir: "{{ role_path }}/files/storage-server"
    suite: bookworm
    size_mib: 2048
    cache_dir: /var/cache/openqrm
"""

RETURN = r"""
image:
  description: Path of the raw disk image.
  returned: success
  type: str
vmlinuz:
  description: Path of the kernel.
  returned: success
  type: str
initrd:
  description: Path of the initramfs.
  returned: success
  type: str
digest:
  description: Digest of the recipe.
  returned: success
  type: str
"""

import hashlib
import shutil
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.openqrm.datacenter.plugins.module_utils.builds import contained, workspace
from ansible_collections.openqrm.datacenter.plugins.module_utils.commands import CommandError, run

ARTIFACTS = ("image", "vmlinuz", "initrd")
APT_OPTIONS = ('APT::Install-Recommends "false"', 'Acquire::Languages "none"')
DPKG_OPTIONS = (
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/doc/*",
    "path-exclude=/usr/share/locale/*",
    "force-unsafe-io",
)


def recipe_digest(recipe_dirs, settings):
    """Return the digest of the recipes' files (names, modes, contents) and the given settings."""
    digest = hashlib.sha256(repr(settings).encode())
    for recipe_dir in recipe_dirs:
        for path in sorted(Path(recipe_dir).rglob("*")):
            if path.is_file():
                executable = bool(path.stat().st_mode & 0o100)
                digest.update(f"{path.relative_to(recipe_dir)}\0{executable}\0".encode())
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def recipes(params):
    """Return the directories of the recipe and its additions."""
    return [params["recipe_dir"], *params["additions"]]


def packages(text):
    """Return the names in a recipe's list: one per line, without comments."""
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]


def listed(recipe_dirs, file):
    """Return the names in ``file`` of all recipes, in order. A recipe need not have it."""
    paths = [Path(directory, file) for directory in recipe_dirs]
    return [name for path in paths if path.exists() for name in packages(path.read_text(encoding="utf-8"))]


def bootstrap_command(recipe_dirs, suite, root):
    """Return the C(mmdebstrap) command that makes the file system tree ``root`` from recipes, in order."""
    argv = ["mmdebstrap", "--quiet", "--variant=apt", f"--include={','.join(listed(recipe_dirs, 'packages'))}"]
    argv.append("--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr")
    argv.append(f"--components={','.join(['main', *listed(recipe_dirs, 'components')])}")
    argv += [f"--aptopt={option}" for option in APT_OPTIONS]
    argv += [f"--dpkgopt={option}" for option in DPKG_OPTIONS]
    for recipe_dir in recipe_dirs:
        argv.append(f"--setup-hook=sync-in {recipe_dir}/root /")
        argv.append(f"--customize-hook=upload {recipe_dir}/customize.sh /customize.sh")
        argv.append('--customize-hook=chroot "$1" sh /customize.sh && rm "$1/customize.sh"')
    return [*argv, suite, root]


def disk_command(root, path):
    """Return the C(mkfs.ext4) command that fills the image ``path`` from the tree ``root``, without mounting it."""
    options = ["-N", "65536", "-E", "lazy_itable_init=1,lazy_journal_init=1"]
    return ["mkfs.ext4", "-q", "-F", *options, "-L", "openqrm-lab", "-d", root, path]


def build(params, directory, command):
    """Build the image, kernel and initramfs in ``directory``."""
    root = f"{directory}/root"
    command(contained(bootstrap_command(recipes(params), params["suite"], root)), timeout_s=params["timeout_s"])
    with Path(directory, "image").open("wb") as stream:
        stream.truncate(params["size_mib"] << 20)
    command(disk_command(root, f"{directory}/image"), timeout_s=params["timeout_s"])
    shutil.copyfile(f"{root}/boot/vmlinuz", f"{directory}/vmlinuz")
    shutil.copyfile(f"{root}/boot/initrd.img", f"{directory}/initrd")
    shutil.rmtree(root)


def ensure(params, check_mode, command=run):
    """Build the image if the cache lacks it; return the module's result."""
    digest = recipe_digest(recipes(params), (params["suite"], params["size_mib"], APT_OPTIONS, DPKG_OPTIONS))
    target = f"{params['cache_dir']}/lab-storage-{digest[:16]}"
    result = {name: f"{target}/{name}" for name in ARTIFACTS}
    result.update(digest=digest, changed=False, diff={"before": "", "after": ""})
    if Path(target).is_dir():
        return result
    result.update(changed=True, diff={"before": "", "after": f"{target}\n"})
    if not check_mode:
        with workspace(target) as directory:
            if directory is not None:
                build(params, directory, command)
                directory.replace(target)
    return result


def main():
    """Run the module."""
    path, text = {"type": "path", "required": True}, {"type": "str", "required": True}
    module = AnsibleModule(
        argument_spec={
            "recipe_dir": path,
            "additions": {"type": "list", "elements": "path", "default": []},
            "suite": text,
            "size_mib": {"type": "int", "required": True},
            "cache_dir": path,
            "timeout_s": {"type": "int", "default": 1800},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(**ensure(module.params, module.check_mode))
    except (CommandError, OSError) as error:
        remedy = "It needs mmdebstrap and a Debian mirror."
        module.fail_json(msg=f"The storage server's disk cannot be built: {error}. {remedy}")


if __name__ == "__main__":
    main()
