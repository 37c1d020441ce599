# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel's configfs: objects are directories, their settings are files, and links say what belongs to what.

What is wanted is a list of steps in the order in which they are made; a step that is as wanted already is left out:

- ``("directory", path, "")``: the object exists,
- ``("attribute", path, value)``: the file reads as ``value``,
- ``("control", path, value)``: ``value`` is written, unless the object (the directory of ``path``) is enabled,
- ``("link", path, target)``: the link exists.

Paths are relative to the root of the tree.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

# Seconds that removing one object may take beside the limit for the sessions, where many are removed.
EACH_S = 0.5


class ConfigFs:
    """A part of configfs, as /sys/kernel/config/target."""

    def __init__(self, root):
        """Keep the directory that the part is."""
        self.root = Path(root)

    def read(self, path):
        """Return the text of an attribute without blanks around it, or None where there is none."""
        try:
            with (self.root / path).open("rb", buffering=0) as stream:
                return stream.read().decode("ascii", errors="replace").strip()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def names(self, path):
        """Return the names of what is in a directory, sorted; nothing where there is no such directory."""
        try:
            return sorted(entry.name for entry in (self.root / path).iterdir())
        except FileNotFoundError:
            return []

    def has(self, path):
        """Return whether an object, attribute or link is there."""
        return os.path.lexists(f"{self.root}/{path}")

    def is_done(self, step):
        """Return whether a step is as wanted already."""
        kind, path, value = step
        if kind == "attribute":
            found = self.read(path)
            # Some attributes print what they are before their value: "T10 VPD Unit Serial Number: 1f2e".
            return found is not None and (found == value or found.endswith(f": {value}"))
        if kind == "control":
            return self.read(Path(path).parent / "enable") == "1"
        return self.has(path)

    def apply(self, steps):
        """Make what is not as wanted. What is below an object that was not there is made without looking."""
        new = ()
        for step in steps:
            if step[1].startswith(new):
                self._make(*step)
            elif not self.is_done(step):
                self._make(*step)
                new += (f"{step[1]}/",) if step[0] == "directory" else ()

    def _make(self, kind, path, value):
        if kind == "directory":
            self.make_directory(self.root / path)
        elif kind == "link":
            (self.root / path).symlink_to(self.root / value)
        else:
            self.write(path, value)

    def make_directory(self, path):
        """Make an object."""
        path.mkdir()

    def write(self, path, value):
        """Write an attribute, in one piece as the kernel wants it. Raises OSError with the attribute's name."""
        with (self.root / path).open("wb", buffering=0) as stream:
            stream.write(value.encode("ascii"))

    def disable(self, path):
        """Switch an object off, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            self.write(f"{path}/enable", "0")

    def unlink(self, path):
        """Remove a link, if it is there."""
        (self.root / path).unlink(missing_ok=True)

    def remove(self, path):
        """Remove an object, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            self.remove_directory(self.root / path)

    def remove_directory(self, path):
        """Remove the directory of an object; its attributes go with it."""
        path.rmdir()


def within(timeout_s, function):
    """Call ``function`` in a child process; return None when it is done, else what went wrong.

    The kernel ends sessions while a directory is removed, and nothing can interrupt that. So a child waits for it; one
    that is not done in time is left behind.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _run_and_exit(function, writing)
    os.close(writing)
    try:
        status = _wait(child, time.monotonic() + timeout_s)
        if status is None:
            return f"the kernel has not ended the sessions within {timeout_s} s"
        return os.read(reading, 4000).decode(errors="replace") or ("the child process failed" if status else None)
    finally:
        os.close(reading)


def _run_and_exit(function, writing):
    """Be the child. It holds nothing of the parent's open (locks, output) but the pipe on which a problem is told."""
    status = 1
    try:
        os.setsid()
        os.dup2(writing, 3)
        os.closerange(4, 1024)
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in range(3):
            os.dup2(null, descriptor)
        function()
        status = 0
    except OSError as error:
        os.write(3, str(error).encode()[:4000])
    finally:
        os._exit(status)


def _wait(child, deadline):
    """Return the status of a child that has ended, or None when it has not in time."""
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status
        if time.monotonic() >= deadline:
            return None
        time.sleep(0.005)
