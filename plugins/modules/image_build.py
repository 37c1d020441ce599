#!/usr/bin/python

# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: image_build
short_description: Build root file systems from recipes
version_added: 0.1.0
description:
  - Builds a root file system of Debian or Ubuntu with C(mmdebstrap) and packs it as a tar archive.
  - With repositories it builds one of the EL family with C(dnf --installroot).
  - An archive that is there is not built again; its name carries the digest of the recipe.
author:
  - openQRM project (@openqrm)
requirements:
  - mmdebstrap, or dnf for recipes with repositories
  - zstd
options:
  recipes:
    description: What to build.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the image, for messages.
        type: str
        required: true
      archive:
        description: Path of the archive, which ends with C(.tar.zst).
        type: path
        required: true
      suite:
        description: Suite of the distribution.
        type: str
        default: bookworm
      variant:
        description: What C(mmdebstrap) installs besides the packages.
        type: str
        choices: [minbase, apt, important, standard]
        default: minbase
      release:
        description: Release of the EL family, as C(9), with O(recipes[].repositories).
        type: str
      repositories:
        description: Repositories of RPM packages, from which C(dnf) installs.
        type: list
        elements: dict
        default: []
        suboptions:
          name:
            description: Name of the repository.
            type: str
            required: true
          url:
            description: Its URL, http, https or file.
            type: str
            required: true
          gpgkey:
            description: URL of the key that signs its packages.
            type: str
          unsigned:
            description: Whether its packages are taken without signatures.
            type: bool
            default: false
      packages:
        description: Packages to install.
        type: list
        elements: str
        default: []
      files:
        description: Files to put in, after the packages.
        type: list
        elements: dict
        default: []
        suboptions:
          path:
            description: Absolute path in the image.
            type: str
            required: true
          content:
            description: The text.
            type: str
            required: true
          mode:
            description: Permissions, octal.
            type: str
            default: "0644"
  timeout_s:
    description: How long one build may take, in seconds.
    type: int
    default: 1800
attributes:
  check_mode:
    description: Can run in check mode and return what would change.
    support: full
  diff_mode:
    description: Names the archives that would be built.
    support: full
"""

EXAMPLES = r"""
- name: Build a web server's root
  openqrm.datacenter.image_build:
    recipes:
      - name: web
        archive: /var/cache/openqrm/archives/web.tar.zst
        packages: [systemd-sysv, nginx-light]
        files:
          - {path: /var/www/html/index.html, content: "<h1>It runs</h1>"}
"""

RETURN = r"""
items:
  description: One result per recipe, in their order.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The image.
      type: str
    changed:
      description: Whether it was built.
      type: bool
    archive:
      description: Path of the archive.
      type: str
    size_mib:
      description: Size of the archive in MiB, 0 in check mode.
      type: int
"""

import os
import re
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.openqrm.datacenter.plugins.module_utils import dnf_build
from ansible_collections.openqrm.datacenter.plugins.module_utils.builds import contained, workspace
from ansible_collections.openqrm.datacenter.plugins.module_utils.commands import CommandError, run
from ansible_collections.openqrm.datacenter.plugins.module_utils.differences import Differences

WORD = re.compile(r"[a-z0-9][a-z0-9.+:~-]*")
FILE = re.compile(r"(/[A-Za-z0-9._@+-]+)+")
# What a server does not read, and what only fills a root that is copied for each member.
LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")


class RecipeError(ValueError):
    """A recipe that cannot be; the message says which and why."""


def check(recipe):
    """Raise RecipeError unless each word of the recipe is one that may reach a command."""
    name = recipe["name"]
    if recipe.get("repositories"):
        problem = dnf_build.check(recipe)
        if problem:
            raise RecipeError(problem)
    for word in [] if recipe.get("repositories") else [recipe["suite"], *recipe["packages"]]:
        if not WORD.fullmatch(word):
            raise RecipeError(f"Image {name}: {word!r} is no suite or package: use a-z, 0-9 and '.+:~-'.")
    for entry in recipe["files"]:
        if not FILE.fullmatch(entry["path"]) or ".." in entry["path"].split("/"):
            raise RecipeError(f"Image {name}: file path {entry['path']!r} is not valid: use an absolute plain path.")
        if not re.fullmatch(r"0?[0-7]{3}", entry["mode"]):
            raise RecipeError(f"Image {name}: mode {entry['mode']!r} of {entry['path']} is not octal.")
    if not recipe["archive"].endswith(".tar.zst"):
        raise RecipeError(f"Image {name}: archive {recipe['archive']} does not end with .tar.zst.")


def command(recipe, overlay, target):
    """Return the arguments of mmdebstrap; ``overlay`` is a directory whose content goes over the root."""
    excludes = [f"--dpkgopt=path-exclude={pattern}" for pattern in LEFT_OUT]
    include = [f"--include={','.join(recipe['packages'])}"] if recipe["packages"] else []
    hooks = [f"--customize-hook=copy-in {path} /" for path in sorted(map(str, Path(overlay).iterdir()))]
    return [
        "mmdebstrap",
        f"--variant={recipe['variant']}",
        "--aptopt=Acquire::Retries \"5\"",
        "--format=tar",
        *excludes,
        *include,
        *hooks,
        recipe["suite"],
        str(target),
    ]  # fmt: skip


def write_overlay(recipe, overlay):
    """Write the recipe's files below the directory ``overlay``, with usual permissions of directories."""
    for entry in recipe["files"]:
        path = Path(overlay, entry["path"].lstrip("/"))
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        path.write_text(entry["content"], encoding="utf-8")
        path.chmod(int(entry["mode"], 8))


def build(recipe, timeout_s):
    """Build one archive; it appears whole or not at all. Raises CommandError."""
    with workspace(recipe["archive"]) as directory:
        if directory is None:
            return
        overlay = directory / "overlay"
        overlay.mkdir()
        write_overlay(recipe, overlay)
        if recipe.get("repositories"):
            dnf_build.build(recipe, directory, overlay, recipe["archive"], timeout_s)
            return
        target = directory / "root.tar.zst"
        # Not root, mmdebstrap builds as another user, who may not come to this directory.
        environment = {"TMPDIR": str(directory)} if os.geteuid() == 0 else {}
        run(contained(command(recipe, overlay, target)), timeout_s=timeout_s, environment=environment)
        target.replace(recipe["archive"])


def ensure(recipes, timeout_s, check_mode):
    """Build what is missing; return the module's result. Raises RecipeError before anything is built."""
    for recipe in recipes:
        check(recipe)
    differences = Differences()
    items = []
    for recipe in recipes:
        archive = Path(recipe["archive"])
        missing = differences.note(recipe["name"], str(archive) if archive.exists() else None, str(archive))
        if missing and not check_mode:
            build(recipe, timeout_s)
        size = archive.stat().st_size >> 20 if archive.exists() else 0
        items.append({"name": recipe["name"], "changed": missing, "archive": str(archive), "size_mib": size})
    return differences.result(items)


def main():
    """Run the module."""
    files = {
        "path": {"type": "str", "required": True},
        "content": {"type": "str", "required": True},
        "mode": {"type": "str", "default": "0644"},
    }
    repository = {
        "name": {"type": "str", "required": True},
        "url": {"type": "str", "required": True},
        "gpgkey": {"type": "str", "no_log": False},
        "unsigned": {"type": "bool", "default": False},
    }
    recipe = {
        "name": {"type": "str", "required": True},
        "archive": {"type": "path", "required": True},
        "suite": {"type": "str", "default": "bookworm"},
        "variant": {"type": "str", "choices": ["minbase", "apt", "important", "standard"], "default": "minbase"},
        "release": {"type": "str"},
        "repositories": {"type": "list", "elements": "dict", "default": [], "options": repository},
        "packages": {"type": "list", "elements": "str", "default": []},
        "files": {"type": "list", "elements": "dict", "default": [], "options": files},
    }
    module = AnsibleModule(
        argument_spec={
            "recipes": {"type": "list", "elements": "dict", "required": True, "options": recipe},
            "timeout_s": {"type": "int", "default": 1800},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(**ensure(module.params["recipes"], module.params["timeout_s"], module.check_mode))
    except (RecipeError, CommandError, OSError) as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
