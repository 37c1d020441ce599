# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Volumes that are directories below a location of a storage server.

A volume appears and disappears by one rename. What a killed run leaves has a name that starts with a dot, which no
volume has: ``.new.<volume>`` is made anew by the next run that wants the volume, ``.trash.*`` is cleared away.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
import time
from pathlib import Path

from ansible_collections.openqrm.datacenter.plugins.module_utils.commands import CommandError, run
from ansible_collections.openqrm.datacenter.plugins.module_utils.differences import Differences
from ansible_collections.openqrm.datacenter.plugins.module_utils.files import sync_directory

VOLUME_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}\Z")
TRASH = ".trash."
MIB = 1 << 20
CLONE = ("cp", "--archive", "--reflink=auto", "--one-file-system", "--no-target-directory")


class VolumeError(ValueError):
    """A volume cannot be as wanted; the message says which, what was found and what to do."""


def location_path(location):
    """Return the path of a location. Raises VolumeError unless it is absolute, plain and not the root directory."""
    path = Path(location)
    if not path.is_absolute() or ".." in path.parts or path == Path("/") or not location.isprintable():
        raise VolumeError(f"Location {location!r}: give an absolute path without '..' that is not the root directory.")
    return path


def volume_path(volume):
    """Return the path of a volume, which is directly below its location. Raises VolumeError for any other name."""
    if not VOLUME_NAME.match(volume["name"]):
        raise VolumeError(
            f"Volume {volume['name']!r}: not a volume name; "
            "use up to 63 of a-z, 0-9, '.', '_', '-', a letter or digit first."
        )
    return location_path(volume["location"]) / volume["name"]


def is_volume(path):
    """Return whether ``path`` is a directory. Raises VolumeError when it is something else, a link for example."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return False
    if not stat.S_ISDIR(mode):
        raise VolumeError(f"Volume {path.name}: {path} exists and is not a directory; move it away.")
    return True


def check_location(volume):
    """Raise VolumeError unless the location of ``volume`` is there."""
    location = location_path(volume["location"])
    if not location.is_dir():
        raise VolumeError(
            f"Volume {volume['name']}: location {location} does not exist on this server; run the role's prepare."
        )


def check_content(volume):
    """Raise VolumeError unless what fills the new ``volume`` is there: the source of a clone, an archive."""
    source, archive = volume.get("source"), volume.get("archive")
    if source and archive:
        raise VolumeError(
            f"Volume {volume['name']}: it cannot be a clone and filled from an archive; give one of both."
        )
    if source and not is_volume(volume_path(dict(volume, name=source))):
        known = ", ".join(volume_names(volume["location"])[:10]) or "none"
        raise VolumeError(
            f"Volume {volume['name']}: its source {source} does not exist in {volume['location']}; known: {known}."
        )
    if archive and not Path(archive).is_file():
        raise VolumeError(f"Volume {volume['name']}: the archive {archive} does not exist on this server.")


def volume_names(location):
    """Return the names of the volumes in ``location``, sorted."""
    with os.scandir(location) as entries:
        return sorted(e.name for e in entries if VOLUME_NAME.match(e.name) and e.is_dir(follow_symlinks=False))


class Volumes:
    """Changes the volumes of a server; ``command`` runs cp, tar, rm and sync, each for at most ``timeout_s``."""

    def __init__(self, timeout_s, command=run):
        """Keep how commands are run."""
        self._timeout_s = timeout_s
        self._command = command

    def _run(self, *argv):
        return self._command(list(argv), timeout_s=self._timeout_s)

    def create(self, volume):
        """Make one volume: a clone, filled from an archive, or empty. It appears whole, on disk, or not at all."""
        path = volume_path(volume)
        new = path.with_name(f".new.{path.name}")
        self._delete(new)
        try:
            self._fill(volume, new)
            self._run("sync", "--file-system", str(new))
            new.rename(path)
        except (CommandError, OSError):
            self._delete(new)
            raise
        sync_directory(path.parent)

    def _fill(self, volume, new):
        if volume.get("source"):
            source = volume_path(dict(volume, name=volume["source"]))
            self._run(*CLONE, str(source), str(new))
            return
        new.mkdir()
        new.chmod(0o755)
        if volume.get("archive"):
            self._run(
                *("tar", "--extract", f"--file={volume['archive']}", f"--directory={new}", "--numeric-owner"),
                *("--same-owner", "--preserve-permissions", "--xattrs", "--xattrs-include=*", "--acls"),
            )

    def remove(self, volume):
        """Remove one volume: it is gone by name at once, then its files are deleted."""
        path = volume_path(volume)
        trash = path.with_name(f"{TRASH}{path.name}.{secrets.token_hex(4)}")
        path.rename(trash)
        sync_directory(path.parent)
        self._delete(trash)

    def clear_trash(self, location):
        """Delete what removals that were killed have left in ``location``."""
        for trash in location.glob(f"{TRASH}*"):
            self._delete(trash)

    def _delete(self, path):
        if path.is_dir() and not path.is_symlink():
            self._run("rm", "--recursive", "--force", "--one-file-system", "--", str(path))

    def used_mib(self, path):
        """Return the space that the files of ``path`` occupy, in MiB; blocks that clones share count in each."""
        fields = self._run("du", "--summarize", "--one-file-system", "--block-size=1M", "--", str(path)).split()
        return int(fields[0])


def compare(volumes, state):
    """Return (differences, results per volume). Raises VolumeError when one of the volumes cannot be as wanted."""
    differences, items, paths = Differences(), [], set()
    for volume in volumes:
        path = volume_path(volume)
        if path in paths:
            raise VolumeError(f"Volume {volume['name']} in {volume['location']} is in the list twice.")
        paths.add(path)
        check_location(volume)
        found = is_volume(path)
        if state == "present" and not found:
            check_content(volume)
        changed = differences.note(str(path), found or None, (state == "present") or None)
        items.append({"name": volume["name"], "location": volume["location"], "path": str(path), "changed": changed})
    return differences, items


def ensure_volumes(volumes, state, check_mode, timeout_s=3600, command=run):
    """Bring the volumes to ``state`` (present, absent); return the module's result.

    Raises VolumeError before anything is touched, CommandError when a copy fails.
    """
    differences, items = compare(volumes, state)
    server = Volumes(timeout_s, command)
    apply = server.create if state == "present" else server.remove
    changed = {item["path"] for item in items if item["changed"] and not check_mode}
    for volume in volumes:
        if str(volume_path(volume)) in changed:
            apply(volume)
    return differences.result(items)


def ensure_locations(locations, check_mode, timeout_s=3600, command=run):
    """Make the locations (dicts with ``location``) and clear their leftovers; return the module's result."""
    paths = [location_path(item["location"]) for item in locations]
    differences = Differences()
    items = [
        {"name": str(path), "location": str(path), "changed": differences.note(str(path), path.is_dir() or None, True)}
        for path in paths
    ]
    for path in [] if check_mode else paths:
        path.mkdir(mode=0o755, parents=True, exist_ok=True)
        Volumes(timeout_s, command).clear_trash(path)
    return differences.result(items)


def list_volumes(locations, measure_s, command=run):
    """Return what is known of every volume of the locations: name, location, path, size_mib, used_mib.

    ``size_mib`` is what the file system could hold. Volumes that are not measured within ``measure_s`` seconds have
    a ``used_mib`` of None.
    """
    deadline = time.monotonic() + measure_s
    items = []
    for location in (location_path(item["location"]) for item in locations):
        if not location.is_dir():
            raise VolumeError(f"Location {location} does not exist on this server; run the role's prepare.")
        space = os.statvfs(location)
        size_mib = space.f_blocks * space.f_frsize // MIB
        for name in volume_names(location):
            used_mib = measure(location / name, deadline - time.monotonic(), command)
            item = {"name": name, "location": str(location), "path": str(location / name)}
            items.append(dict(item, size_mib=size_mib, used_mib=used_mib))
    return items


def measure(path, timeout_s, command):
    """Return the space a volume occupies in MiB, None when it cannot be told in ``timeout_s`` seconds."""
    if timeout_s <= 0:
        return None
    try:
        return Volumes(timeout_s, command).used_mib(path)
    except CommandError:
        return None  # Out of time, or the volume was removed meanwhile.
