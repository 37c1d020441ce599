# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Root file systems of the EL family, installed by dnf from the repositories that a recipe names."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from ansible_collections.openqrm.datacenter.plugins.module_utils.archives import pack
from ansible_collections.openqrm.datacenter.plugins.module_utils.commands import run

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}\Z")
PACKAGE = re.compile(r"@?[A-Za-z0-9][A-Za-z0-9.+_~-]{0,127}\Z")
RELEASE = re.compile(r"[0-9][0-9A-Za-z.]{0,15}\Z")
URL = re.compile(r"(?:https?|file)://[A-Za-z0-9._~:/$+-]+\Z")
# What dnf and the packages' scripts expect below /dev: name -> minor number of the memory devices, major 1.
DEVICES = {"null": 3, "zero": 5, "full": 7, "random": 8, "urandom": 9}
# Debian's rpm keeps its database below $HOME, where the new system would not look for it.
MACROS = "%_dbpath /var/lib/rpm\n"
MAIN = "[main]\ninstall_weak_deps=False\ntsflags=nodocs\nkeepcache=0\nbest=True\n"
# What only the installation needed.
LEFT = ("var/cache/dnf", "var/log/dnf.log", "var/log/dnf.rpm.log", "var/log/dnf.librepo.log")


def check(recipe):
    """Return what is wrong with the recipe, empty if nothing is."""
    name = recipe["name"]
    if shutil.which("dnf") is None:
        return f"Image {name}: this machine lacks dnf, which builds from repositories; install it (package dnf)."
    if not RELEASE.match(recipe.get("release") or ""):
        return f"Image {name}: release {recipe.get('release')!r} is not valid: give it as '9'."
    for repository in recipe["repositories"]:
        label = f"Image {name}: repository {repository['name']!r}"
        if not NAME.match(repository["name"]):
            return f"{label} is not a name: use a-z, 0-9 and '._-'."
        if not all(URL.match(url) for url in (repository["url"], repository["gpgkey"] or repository["url"])):
            return f"{label}: use http://, https:// or file:// URLs of plain characters."
        if bool(repository["gpgkey"]) == repository["unsigned"]:
            return f"{label}: give the URL of its key as gpgkey, or unsigned to take its packages without signatures."
    for package in recipe["packages"]:
        if not PACKAGE.match(package):
            return f"Image {name}: {package!r} is no package: use letters, digits and '.+_~-', @ before a group."
    return "" if recipe["packages"] else f"Image {name}: packages is empty; name what to install, as '@core'."


def repositories_text(recipe):
    """Return the text of the file that names the repositories."""
    lines = []
    for repository in recipe["repositories"]:
        key = repository["gpgkey"]
        lines += [f"[{repository['name']}]", f"name={repository['name']}", f"baseurl={repository['url']}"]
        lines += ["gpgcheck=1", f"gpgkey={key}"] if key else ["gpgcheck=0"]
        lines.append("")
    return "\n".join(lines)


def build(recipe, work, overlay, archive, timeout_s):
    """Install the packages below the directory ``work``, lay the overlay over them, and pack it."""
    home, repositories, root = work / "home", work / "repositories", work / "root"
    for directory in (home, repositories, root):
        directory.mkdir(mode=0o755)
    (home / ".rpmmacros").write_text(MACROS)
    (work / "dnf.conf").write_text(MAIN)
    (repositories / "recipe.repo").write_text(repositories_text(recipe))
    make_devices(root)
    (root / "proc").mkdir(mode=0o555)
    run(
        [
            # Its processes and mounts end with it, and it ends with this process.
            *("setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child"),
            *(f"--mount-proc={root}/proc", "dnf", "--assumeyes", "--quiet", f"--config={work / 'dnf.conf'}"),
            *(f"--setopt=reposdir={repositories}", f"--installroot={root}", f"--releasever={recipe['release']}"),
            *("install", "--", *recipe["packages"]),
        ],
        timeout_s=timeout_s,
        environment={"HOME": str(home)},
    )
    for name in LEFT:
        run(["rm", "--recursive", "--force", "--one-file-system", "--", str(root / name)])
    run(["cp", "--archive", "--no-target-directory", "--", str(overlay), str(root)])
    root.chmod(0o755)
    pack(root, Path(archive), timeout_s)


def make_devices(root):
    """Make the devices that scripts of packages use, before the package that owns /dev comes."""
    (root / "dev").mkdir(mode=0o755)
    for name, minor in DEVICES.items():
        os.mknod(root / "dev" / name, 0o020666, os.makedev(1, minor))
        (root / "dev" / name).chmod(0o666)
