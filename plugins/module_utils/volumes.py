# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Volumes of a storage server: what all storage types have in common. What differs is a ``Backend``.

A volume that is wanted is a dict: ``name`` and ``location``, and as given ``size_mib``, ``archive`` (path of a tar
archive on the server), ``archive_mib`` (the size of what is in it, where it is not on the server yet), ``source`` (name
of a volume in the same location), ``read_only`` (a snapshot) and ``presents`` (filesystem or block). A volume that
exists is a ``Found``.
"""

from __future__ import annotations

import re
import time
from collections import namedtuple
from pathlib import Path
from typing import ClassVar

from ansible_collections.openqrm.datacenter.plugins.module_utils.archives import unpacked_mib
from ansible_collections.openqrm.datacenter.plugins.module_utils.differences import Differences

VOLUME_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}\Z")
MIB = 1 << 20
NAMED = 5  # of many volumes, in a message
UNPACK = (
    *("tar", "--extract", "--numeric-owner", "--same-owner", "--preserve-permissions"),
    *("--xattrs", "--xattrs-include=*", "--acls"),
)

Found = namedtuple("Found", "name path size_mib used_mib read_only presents source", defaults=(None,) * 5)
Found.__doc__ = """A volume that exists. What is None the back end cannot tell: ``size_mib``, ``used_mib`` (space that
it really occupies), ``read_only`` (whether it is a snapshot), ``presents``, ``source`` (name of what it is a clone of).
"""


Space = namedtuple("Space", "what total_mib used_mib free_mib used_percent")
Space.__doc__ = """How full a location is. ``what``: what has the room, as ``thin pool vg0/pool0``; ``used_percent``: of
what fills first, be it data or what describes it (inodes, metadata of a pool)."""

Demand = namedtuple("Demand", "mib place free_mib what remedy")
Demand.__doc__ = """Room that a volume takes at once, ``mib``, and where: ``place`` tells places apart, ``free_mib`` is
what that has, ``what`` is its name, and ``remedy`` what to do beside removing volumes, as ``extend the group``."""


class VolumeError(ValueError):
    """A volume cannot be as wanted; the message says which, what was found and what to do."""


class Backend:
    """Where volumes are and how they are changed, for one storage type.

    Lists that it is given hold volumes (dicts as above) that were checked: they have a name that is one, ``presents``
    is filled in, those to create do not exist and have their source, archive and size, those to remove or grow exist.
    A killed run is finished by the next: a volume appears whole or not at all.

    Its commands are run by ``_command`` (as ``commands.run``), each for at most ``_timeout_s`` seconds.

    ``PRESENTS``: what volumes can be, the default first. ``SIZED``: whether a new volume needs a size.
    ``NO_SIZE``: why a volume that has no size cannot be resized, and what to do.
    """

    PRESENTS: ClassVar[tuple] = ("filesystem",)
    SIZED = False
    NO_SIZE = "volumes of this storage type have no size of their own"

    def path(self, volume):
        """Return the path of a volume, a pure function of location, name and presents.

        Raises VolumeError for a location that cannot be one.
        """
        raise NotImplementedError

    def volumes(self, location):
        """Return the volumes of a location, name -> Found, read in bulk. Raises VolumeError unless it is there."""
        raise NotImplementedError

    def measure(self, found, _deadline):
        """Return ``found`` (a list of Found of one location) with ``used_mib``; those not measured by the deadline
        (of ``time.monotonic()``) have None. For back ends whose ``volumes`` does not know it."""
        return found

    def space(self, location):
        """Return the Space of a location. Raises VolumeError unless it is there."""
        raise NotImplementedError

    def unpacked_mib(self, archive):
        """Return the size in MiB of what is in an archive. Raises CommandError where it is none."""
        return unpacked_mib(archive, self._timeout_s, self._command)

    def demand(self, _state, _volume):
        """Return the Demand of a volume that is to be created (``present``) or grown (``resized``), less what a killed
        run has left of it. None where it takes room only as it is written to: sparse, thin, or blocks that are shared
        with its source."""
        raise NotImplementedError

    def size_mib(self, volume):
        """Return the size in MiB that the volume gets where its ``size_mib`` is asked for, rounded up to whole units;
        None where volumes have no size of their own."""
        return volume["size_mib"]

    def is_filled(self, _volume):
        """Return whether what is in the volume uses its whole size; asked where a volume has the wanted size, as
        growing it may have been killed half-way."""
        return True

    def check(self, state, volumes):
        """Raise VolumeError unless the volumes can be created (``present``), removed (``absent``) or grown
        (``resized``): no room, something else in their place, a file system that cannot do it. Touches nothing."""

    def create(self, volumes):
        """Make the volumes: clones or snapshots of ``source``, filled from ``archive``, or empty."""
        raise NotImplementedError

    def remove(self, volumes):
        """Remove the volumes."""
        raise NotImplementedError

    def grow(self, volumes):
        """Give the volumes their larger ``size_mib``, and the file systems in them the room."""
        raise NotImplementedError


def location_path(location):
    """Return the path of a location. Raises VolumeError unless it is absolute, plain and not the root directory."""
    path = Path(location)
    if not path.is_absolute() or ".." in path.parts or path == Path("/") or not location.isprintable():
        raise VolumeError(f"Location {location!r}: give an absolute path without '..' that is not the root directory.")
    return path


def check_name(name):
    """Raise VolumeError unless ``name`` can be that of a volume."""
    if not VOLUME_NAME.match(name):
        raise VolumeError(
            f"Volume {name!r}: not a volume name; use up to 63 of a-z, 0-9, '.', '_', '-', a letter or digit first."
        )


def ensure_volumes(backend, volumes, state, check_mode):
    """Bring the volumes to ``state`` (present, absent, resized); return the module's result.

    Raises VolumeError before anything is touched, CommandError or OSError when a change fails.
    """
    differences, known, changes, items = Differences(), {}, [], []
    check_list(backend, volumes)
    for volume in volumes:
        there = locate(backend, volume["location"], known)
        wanted = completed(backend, volume, there)
        path = str(backend.path(wanted))
        changed = differences.note(path, *compare(backend, wanted, state, there))
        if changed:
            changes.append(wanted)
        item = {"name": wanted["name"], "location": wanted["location"], "path": path, "changed": changed}
        items.append(dict(item, **size_of(backend, wanted, state, there)))
    if state == "present" and not check_mode:
        check_archives(changes)  # check mode copies none to the server, so there is none to look at
    backend.check(state, changes)
    if state == "present":
        measure_archives(backend, changes)
    check_room(backend, changes, state)
    if changes and not check_mode:
        {"present": backend.create, "absent": backend.remove, "resized": backend.grow}[state](changes)
    return differences.result(items)


def check_list(backend, volumes):
    """Raise VolumeError for a name or location that is none, a size below 1 MiB, and a volume that is listed twice."""
    seen = set()
    for volume in volumes:
        name, size_mib = volume["name"], volume.get("size_mib")
        check_name(name)
        path = backend.path(dict(volume, presents=backend.PRESENTS[0]))
        if path in seen:
            raise VolumeError(f"Volume {name} in {volume['location']} is in the list twice.")
        seen.add(path)
        if size_mib is not None and size_mib < 1:
            raise VolumeError(f"Volume {name}: its size is {size_mib} MiB; give at least 1.")


def locate(backend, location, known):
    """Return the volumes of the location, which are read once: ``known`` keeps them."""
    if location not in known:
        known[location] = backend.volumes(location)
    return known[location]


def completed(backend, volume, there):
    """Return the volume with ``presents``: as given, as found, as its source's, or the back end's default.

    Raises VolumeError where that is given otherwise.
    """
    given = volume.get("presents")
    if given and given not in backend.PRESENTS:
        known = ", ".join(backend.PRESENTS)
        raise VolumeError(f"Volume {volume['name']}: this storage type presents {known}, not {given}.")
    kin = there.get(volume["name"]) or there.get(volume.get("source"))
    found = kin.presents if kin else None
    if given and found and given != found:
        raise VolumeError(f"Volume {volume['name']}: {kin.name} is a {found} volume, not {given}; leave presents out.")
    return dict(volume, presents=given or found or backend.PRESENTS[0])


def compare(backend, volume, state, there):
    """Return the volume as (found, wanted) for the differences: None where it does not exist.

    Raises VolumeError when it cannot be as wanted.
    """
    found = there.get(volume["name"])
    if state == "resized":
        return compare_sizes(backend, volume, found)
    if state == "present" and found:
        check_found(volume, found)
    elif state == "present":
        check_new(backend, volume, there)
    return (True if found else None), (True if state == "present" else None)


def compare_sizes(backend, volume, found):
    """Return (found, wanted) sizes of a volume. Raises VolumeError unless it is there and does not shrink."""
    name, size_mib = volume["name"], volume.get("size_mib")
    if found is None:
        raise VolumeError(f"Volume {name} does not exist in {volume['location']}; create it first.")
    if found.read_only:
        raise VolumeError(f"Volume {name} is a snapshot, which keeps its size; clone it and resize the clone.")
    if size_mib is None:
        raise VolumeError(f"Volume {name}: size_mib is missing; give the new size.")
    wanted_mib = backend.size_mib(volume)
    if wanted_mib is None:
        raise VolumeError(f"Volume {name}: {backend.NO_SIZE}.")
    if found.size_mib is not None and wanted_mib < found.size_mib:
        raise VolumeError(
            f"Volume {name} has {found.size_mib} MiB and cannot shrink to {wanted_mib} MiB; give at least what it has."
        )
    before, after = {"size_mib": found.size_mib}, {"size_mib": wanted_mib}
    if before == after and not backend.is_filled(volume):
        return dict(before, filled=False), dict(after, filled=True)
    return before, after


def check_found(volume, found):
    """Raise VolumeError where a snapshot is wanted and the volume that exists can be written."""
    if volume.get("read_only") and found.read_only is False:
        raise VolumeError(
            f"Volume {volume['name']} exists in {volume['location']} and is no snapshot; choose another name."
        )


def check_new(backend, volume, there):
    """Raise VolumeError unless a new volume has what it needs: the source of a clone that exists, a size."""
    name, source, archive = volume["name"], volume.get("source"), volume.get("archive")
    if source and archive:
        raise VolumeError(f"Volume {name}: it cannot be a clone and filled from an archive; give one of both.")
    if volume.get("read_only") and not source:
        raise VolumeError(f"Volume {name}: a snapshot needs the volume that it is one of; give its source.")
    if source and source not in there:
        known = ", ".join(sorted(there)[:10]) or "none"
        raise VolumeError(f"Volume {name}: its source {source} does not exist in {volume['location']}; known: {known}.")
    if backend.SIZED and not source and volume.get("size_mib") is None:
        raise VolumeError(f"Volume {name}: size_mib is missing; a new volume of this storage type needs a size.")


def check_archives(volumes):
    """Raise VolumeError unless the archives that fill the volumes are on the server."""
    for volume in volumes:
        archive = volume.get("archive")
        if archive and not Path(archive).is_file():
            raise VolumeError(f"Volume {volume['name']}: the archive {archive} does not exist on this server.")


def check_room(backend, volumes, state):
    """Raise VolumeError unless the volumes to create or grow fit where they are made, all of them together."""
    places = {}
    for volume in volumes if state != "absent" else []:
        demand = backend.demand(state, volume)
        if demand:
            places.setdefault(demand.place, []).append((volume["name"], demand))
    for asked in places.values():
        needed_mib, place = sum(demand.mib for _name, demand in asked), asked[0][1]
        if needed_mib > place.free_mib:
            names = [name for name, _demand in asked]
            more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
            which = f"Volumes {', '.join(names[:NAMED])}{more} need" if len(names) > 1 else f"Volume {names[0]} needs"
            raise VolumeError(
                f"{which} {needed_mib} MiB, and {place.what} has {place.free_mib} MiB free; remove volumes or "
                f"{place.remedy}."
            )


def measure_archives(backend, volumes):
    """Give the volumes that are filled from archives on this server ``archive_mib``, the size of what is in them.

    Where the caller told it the archive is not on the server yet, whatever is at its path here.
    """
    known = {}
    for volume in volumes:
        archive = volume.get("archive")
        if not archive or volume.get("archive_mib") is not None or not Path(archive).is_file():
            continue
        if archive not in known:
            known[archive] = backend.unpacked_mib(archive)
        volume["archive_mib"] = known[archive]


def filling_mib(volume):
    """Return the room in MiB that what is in a volume's archive takes, 0 where nobody knows; a volume that has a size
    takes no more than that."""
    archive_mib, size_mib = volume.get("archive_mib") or 0, volume.get("size_mib")
    return archive_mib if size_mib is None else min(archive_mib, size_mib)


def size_of(backend, volume, state, there):
    """Return the ``size_mib`` of the volume's result: what it has or its source has, else what it gets, if known."""
    kin = there.get(volume["name"]) or there.get(volume.get("source"))
    if kin and state != "resized":
        size_mib = kin.size_mib
    else:
        size_mib = None if volume.get("size_mib") is None else backend.size_mib(volume)
    return {} if size_mib is None else {"size_mib": size_mib}


def list_volumes(backend, locations, measure_s):
    """Return the items of a listing, by location and name: every field of Found and the ``location``.

    What is not measured within ``measure_s`` seconds has a ``used_mib`` of None.
    """
    deadline = time.monotonic() + measure_s
    items, known = [], {}
    for location in (item["location"] for item in locations):
        found = sorted(locate(backend, location, known).values())
        for volume in backend.measure(found, deadline):
            items.append(dict(volume._asdict(), location=location, path=str(volume.path)))
    return items


def list_spaces(backend, locations):
    """Return for each location, in order, its ``location`` and every field of Space; of one that cannot be looked at
    the ``problem`` instead."""
    items = []
    for location in (item["location"] for item in locations):
        try:
            items.append(dict(backend.space(location)._asdict(), location=location))
        except (VolumeError, OSError) as error:
            items.append({"location": location, "problem": str(error)})
    return items
