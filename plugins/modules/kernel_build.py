#!/usr/bin/python
# Copyright (c) 2026 openQRM.datacenter contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kernel_build
short_description: Build the boot files of a kernel
version_added: "0.1.0"
description:
  - Builds what a kernel needs to boot nodes, namely the kernel image, the universal initramfs (dracut with openQRM's
    module, drivers for all hardware, the data centre's certificate authority inside), and the kernel's module tree as
    one squashfs file.
  - The kernel comes from the running system, from a Debian package (downloaded and unpacked, never installed), from
    a directory, or from a tar archive.
  - Results are cached by the digest of everything that went into them, so that a second run only looks.
options:
  source:
    description:
      - Where the kernel comes from.
    type: str
    required: true
    choices: [running, package, directory, archive]
  package:
    description:
      - The Debian package, for O(source=package). A metapackage leads to the kernel that it depends on.
    type: str
  directory:
    description:
      - A directory laid out as an unpacked kernel package (C(boot/vmlinuz-VERSION), C(lib/modules/VERSION)), for
        O(source=directory).
    type: path
  archive:
    description:
      - A tar archive with a kernel, of a root file system for example, for O(source=archive).
    type: path
  version:
    description:
      - Which kernel of the directory or archive, where it has several.
    type: str
    default: ""
  ca_file:
    description:
      - The data centre's certificate authority (PEM), which nodes trust and nothing else.
    type: path
    required: true
  dracut_module:
    description:
      - The directory of openQRM's dracut module on this machine.
    type: path
    required: true
  cache_dir:
    description:
      - Where results are kept.
    type: path
    default: /var/cache/openqrm/kernels
  timeout_s:
    description:
      - Seconds that each program of the build may take.
    type: int
    default: 900
attributes:
  check_mode:
    description: Can run in check mode and return whether a build is needed.
    support: full
  diff_mode:
    description: Returns what is there and what is asked for.
    support: full
requirements:
  - dracut, squashfs-tools, kmod, zstd, busybox (static), curl, jq, dmidecode, nfs-common
author:
  - openQRM.datacenter contributors (@openqrm)
"""

EXAMPLES = r"""
- name: Build the boot files of Debian's cloud kernel
  openqrm.datacenter.kernel_build:
    source: package
    package: linux-image-cloud-amd64
    ca_file: /var/lib/openqrm/ca.pem
    dracut_module: /var/cache/openqrm/dracut/90openqrm
  register: kernel

- name: Build those of the running system
  openqrm.datacenter.kernel_build:
    source: running
    ca_file: /var/lib/openqrm/ca.pem
    dracut_module: /var/cache/openqrm/dracut/90openqrm
"""

RETURN = r"""
version:
  description: The kernel's release, as C(uname -r) prints it.
  returned: success
  type: str
  sample: 6.1.0-13-cloud-amd64
arch:
  description: The machine architecture.
  returned: success
  type: str
  sample: x86_64
vmlinuz:
  description: The kernel image. Digest and size are null in check mode where it is not built yet.
  returned: success
  type: dict
  contains: &file
    path:
      description: The file on this machine.
      type: str
    sha256:
      description: Its digest.
      type: str
    size:
      description: Its size in bytes.
      type: int
initramfs:
  description: The initramfs, as RV(vmlinuz).
  returned: success
  type: dict
  contains: *file
modules:
  description: The content of C(lib/modules/VERSION) as squashfs, as RV(vmlinuz).
  returned: success
  type: dict
  contains: *file
"""

import os
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.openqrm.datacenter.plugins.module_utils.kernel_build import (
    ARTIFACTS,
    KernelBuildError,
    Source,
    archive_source,
    build,
    build_key,
    cached_build,
    directory_source,
    package_source,
    require_tools,
    run_command,
    running_source,
)


def find_source(params: dict) -> Source:
    """Return the kernel that the parameters ask for."""
    if params["source"] == "running":
        return running_source(os.uname().release)
    if params["source"] == "package":
        return package_source(run_command, params["package"])
    if params["source"] == "archive":
        return archive_source(run_command, Path(params["archive"]), params["version"], params["timeout_s"])
    return directory_source(Path(params["directory"]), params["version"])


def planned(source: Source, entry: Path) -> dict:
    """Return the result of a build that is not done yet."""
    files = {name: {"path": str(entry / name), "sha256": None, "size": None} for name in ARTIFACTS}
    return {"version": source.version, "arch": os.uname().machine, **files}


def ensure_built(params: dict, check_mode: bool) -> tuple:
    """Return (changed, result): from the cache, or built now, or what would be built."""
    tools = require_tools()
    for name in ("ca_file", "dracut_module"):
        if not Path(params[name]).exists():
            raise KernelBuildError(f"{name} {params[name]} does not exist on this machine; copy it there first.")
    source = find_source(params)
    ca, dracut_module = Path(params["ca_file"]), Path(params["dracut_module"])
    entry = Path(params["cache_dir"]) / build_key(source, ca, dracut_module, tools)
    found = cached_build(entry)
    if found:
        return False, found
    if check_mode:
        return True, planned(source, entry)
    return True, build(run_command, source, ca, dracut_module, entry, params["timeout_s"])


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "source": {"type": "str", "required": True, "choices": ["running", "package", "directory", "archive"]},
            "package": {"type": "str"},
            "directory": {"type": "path"},
            "archive": {"type": "path"},
            "version": {"type": "str", "default": ""},
            "ca_file": {"type": "path", "required": True},
            "dracut_module": {"type": "path", "required": True},
            "cache_dir": {"type": "path", "default": "/var/cache/openqrm/kernels"},
            "timeout_s": {"type": "int", "default": 900},
        },
        required_if=[
            ("source", "package", ["package"]),
            ("source", "directory", ["directory"]),
            ("source", "archive", ["archive"]),
        ],
        supports_check_mode=True,
    )
    try:
        changed, result = ensure_built(module.params, module.check_mode)
    except (KernelBuildError, OSError) as error:
        module.fail_json(msg=str(error))
    before = "" if changed else f"{result['version']}: built\n"
    module.exit_json(changed=changed, diff={"before": before, "after": f"{result['version']}: built\n"}, **result)


if __name__ == "__main__":
    main()
