#!/usr/bin/python

# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: oci_archive
short_description: Make root file systems of OCI images
version_added: 0.1.0
description:
  - Unpacks an image of an OCI image layout, a directory or a tar file, and packs its root file system as a tar archive.
  - The work is that of C(skopeo), which checks every digest and chooses this machine's architecture, and of
    C(umoci), which applies the layers with whiteouts, hard links, owners, extended attributes and capabilities.
  - An archive that is there is not made again; its name carries the digest of the image.
author:
  - openQRM project (@openqrm)
requirements:
  - skopeo
  - umoci
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
        description: Name of the image in the data centre, for messages.
        type: str
        required: true
      layout:
        description: Path of the layout, a directory or a tar file of one.
        type: path
        required: true
      tag:
        description: Which image of the layout; empty where it has only one.
        type: str
        default: ""
      digest:
        description: SHA-256 of what the layout's index names, a manifest or an index. Anything else is refused.
        type: str
        required: true
      archive:
        description: Path of the archive, which ends with C(.tar.zst).
        type: path
        required: true
  timeout_s:
    description: How long each program may take, in seconds.
    type: int
    default: 1800
attributes:
  check_mode:
    description: Can run in check mode and return what would change.
    support: full
  diff_mode:
    description: Names the archives that would be made.
    support: full
"""

EXAMPLES = r"""
- name: Make a root file system of an OCI image
  openqrm.datacenter.oci_archive:
    images:
      - name: web
        layout: /srv/oci/web
        tag: stable
        digest: f9339b172afd42e0ed07bcfda34fd4cb9606931d89eef84f0c31a8607d06291a
        archive: /var/cache/openqrm/archives/web.tar.zst
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
      description: Whether the archive was made.
      type: bool
    archive:
      description: Path of the archive.
      type: str
"""

import hashlib
import re
import shutil
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.openqrm.datacenter.plugins.module_utils.archives import pack
from ansible_collections.openqrm.datacenter.plugins.module_utils.builds import workspace
from ansible_collections.openqrm.datacenter.plugins.module_utils.commands import CommandError, run
from ansible_collections.openqrm.datacenter.plugins.module_utils.differences import Differences

TAG = re.compile(r"([A-Za-z0-9][A-Za-z0-9._~+-]{0,127})?\Z")
DIGEST = re.compile(r"[0-9a-f]{64}\Z")
TOOLS = ("skopeo", "umoci", "tar", "zstd")
# skopeo wants a policy of signatures; without one of this machine the digest that was asked for decides.
POLICIES = (Path("/etc/containers/policy.json"), Path.home() / ".config/containers/policy.json")


class OciError(ValueError):
    """An image that cannot be unpacked; the message says which and why."""


def check(image):
    """Raise OciError unless what is said of the image may reach a command."""
    name, layout = image["name"], image["layout"]
    if not Path(layout).is_absolute() or ":" in layout:
        raise OciError(f"Image {name}: layout {layout!r} is not valid: use an absolute path without ':'.")
    if not TAG.match(image["tag"]):
        raise OciError(f"Image {name}: tag {image['tag']!r} is not valid: use letters, digits and '._~+-'.")
    if not DIGEST.match(image["digest"]):
        raise OciError(f"Image {name}: digest {image['digest']!r} is not a SHA-256 in lower-case hex.")
    if not image["archive"].endswith(".tar.zst"):
        raise OciError(f"Image {name}: archive {image['archive']} does not end with .tar.zst.")


def require_tools():
    """Raise OciError that names the programs that are missing."""
    missing = [name for name in TOOLS if shutil.which(name) is None]
    if missing:
        raise OciError(f"This machine lacks {', '.join(missing)}; install them, in Debian as packages of these names.")


def skopeo(*words):
    """Return the arguments of a call of skopeo."""
    policy = [] if any(path.exists() for path in POLICIES) else ["--insecure-policy"]
    return ["skopeo", *policy, *words]


def reference(image):
    """Return how skopeo names the image."""
    transport = "oci" if Path(image["layout"]).is_dir() else "oci-archive"
    return f"{transport}:{image['layout']}" + (f":{image['tag']}" if image["tag"] else "")


def make(image, timeout_s):
    """Make one archive; it appears whole or not at all. Raises CommandError, OciError."""
    with workspace(image["archive"]) as directory:
        if directory is None:
            return
        layout, bundle = directory / "layout", directory / "bundle"
        run(skopeo("copy", "--quiet", reference(image), f"oci:{layout}:root"), timeout_s=timeout_s)
        check_digest(image, timeout_s)
        run(["umoci", "unpack", "--image", f"{layout}:root", str(bundle)], timeout_s=timeout_s)
        pack(bundle / "rootfs", Path(image["archive"]), timeout_s)


def check_digest(image, timeout_s):
    """Raise OciError unless the layout names the image by the digest that was asked for."""
    raw = run(skopeo("inspect", "--raw", reference(image)), timeout_s=timeout_s)
    found = hashlib.sha256(raw.encode()).hexdigest()
    if found != image["digest"]:
        raise OciError(
            f"Image {image['name']}: {reference(image)} is sha256:{found}, not sha256:{image['digest']}; "
            "it has changed meanwhile, or is damaged. Run the command again."
        )


def ensure(images, timeout_s, check_mode):
    """Make what is missing; return the module's result. Raises OciError before anything is made."""
    for image in images:
        check(image)
    differences, items = Differences(), []
    for image in images:
        archive = Path(image["archive"])
        missing = differences.note(image["name"], str(archive) if archive.exists() else None, str(archive))
        if missing and not check_mode:
            require_tools()
            make(image, timeout_s)
        items.append({"name": image["name"], "changed": missing, "archive": str(archive)})
    return differences.result(items)


def main():
    """Run the module."""
    image = {
        "name": {"type": "str", "required": True},
        "layout": {"type": "path", "required": True},
        "tag": {"type": "str", "default": ""},
        "digest": {"type": "str", "required": True},
        "archive": {"type": "path", "required": True},
    }
    module = AnsibleModule(
        argument_spec={
            "images": {"type": "list", "elements": "dict", "required": True, "options": image},
            "timeout_s": {"type": "int", "default": 1800},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(**ensure(module.params["images"], module.params["timeout_s"], module.check_mode))
    except (OciError, CommandError, OSError) as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
