# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""File systems that this server mounts, now and after a reboot: lines of fstab, and what is mounted."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import tempfile
from pathlib import Path

from ansible_collections.openqrm.datacenter.plugins.module_utils.commands import run
from ansible_collections.openqrm.datacenter.plugins.module_utils.files import read_text, write_atomic

# Devices and programs in a volume are not for this server. A volume that is missing does not keep it from booting; what
# serves volumes starts after they are mounted.
OPTIONS = "nosuid,nodev,nofail,x-systemd.before=nfs-server.service,x-systemd.before=openqrm-ganesha.service"
ESCAPE = re.compile(r"\\([0-7]{3})")


def fstab_line(device, path, kind, mode="rw"):
    """Return the line of fstab that mounts ``device`` with the file system ``kind`` at ``path``, as ``mode`` says."""
    return f"{device} {path} {kind} {mode},{OPTIONS} 0 0"


def mount_point(line):
    """Return the mount point of a line of fstab, empty for a comment or an empty line."""
    words = line.split()
    return words[1] if len(words) > 1 and not words[0].startswith("#") else ""


def with_lines(text, lines, gone=()):
    """Return fstab's ``text`` with ``lines``, without other lines of their mount points and those of ``gone``."""
    replaced = {*map(mount_point, lines), *gone}
    kept = [line for line in text.splitlines() if line in lines or mount_point(line) not in replaced]
    return "".join(f"{line}\n" for line in [*kept, *(line for line in lines if line not in kept)])


class Mounts:
    """The mounts of this server; commands run for at most ``timeout_s`` each."""

    def __init__(self, timeout_s=120, command=run, root="/"):
        """Keep how commands are run, and below which directory the files of the system are."""
        self._timeout_s = timeout_s
        self._command = command
        self._root = Path(root)

    def places(self):
        """Return major:minor -> where that device is mounted or, as "swap", used; innermost mounts last."""
        found = {}
        for line in (read_text(self._root / "proc/self/mountinfo") or "").splitlines():
            words = line.split()
            found.setdefault(words[2], []).append(ESCAPE.sub(lambda code: chr(int(code[1], 8)), words[4]))
        for line in (read_text(self._root / "proc/swaps") or "").splitlines()[1:]:
            with contextlib.suppress(OSError):
                number = self._directory(line.split()[0]).stat().st_rdev
                found.setdefault(f"{os.major(number)}:{os.minor(number)}", []).append("swap")
        return found

    def lines(self):
        """Return mount point -> line of fstab."""
        return {mount_point(line): line for line in self._fstab().splitlines() if mount_point(line)}

    def add(self, lines):
        """Mount what the lines of fstab say, where it is not mounted, now and after each boot."""
        self._rewrite(lines, ())
        self.mount(lines)

    def mount(self, lines):
        """Mount what the lines say, where it is not mounted. One command mounts all."""
        for line in lines:
            self._directory(mount_point(line)).mkdir(mode=0o755, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", prefix="openqrm-fstab-", encoding="utf-8") as table:
            # With nofail, mount(8) would not say that a device is missing.
            table.writelines(f"{line.replace('nofail,', '', 1)}\n" for line in lines)
            table.flush()
            if lines:
                self._run("mount", "--all", "--fstab", table.name)

    def unmount(self, paths):
        """Unmount the paths. Raises CommandError for one that is in use; those before it are unmounted."""
        if paths:
            self._run("umount", "--", *paths)

    def drop(self, paths):
        """Remove the paths, which are not mounted, from fstab."""
        self._rewrite((), paths)

    def remove_points(self, paths):
        """Remove the directories of mounts that are gone, where they are empty."""
        for path in paths:
            with contextlib.suppress(OSError):
                self._directory(path).rmdir()

    def _directory(self, path):
        return self._root / path.lstrip("/")

    def _fstab(self):
        return read_text(self._root / "etc/fstab") or ""

    def _rewrite(self, lines, gone):
        """Have fstab hold ``lines`` and nothing for ``gone``; others that do so wait for each other."""
        lock = self._root / "run/openqrm-fstab.lock"
        with lock.open("w") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            before = self._fstab()
            after = with_lines(before, list(lines), gone)
            if after != before:
                write_atomic(self._root / "etc/fstab", after)

    def _run(self, *argv):
        return self._command(list(argv), timeout_s=self._timeout_s)
