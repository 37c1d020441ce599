# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What OpenZFS knows: the datasets of a location, their snapshots, and how full pools are, each read by one command."""

from __future__ import annotations

import fcntl
import re
from collections import namedtuple
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.openqrm.datacenter.plugins.module_utils.commands import CommandError, run
from ansible_collections.openqrm.datacenter.plugins.module_utils.volumes import MIB, VolumeError

# A pool and a path in it. Short, as the names of datasets and snapshots have up to 255 characters.
LOCATION = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*(/[A-Za-z0-9][A-Za-z0-9_.-]*)+\Z")
LONGEST_LOCATION = 150
MOUNT_ROOT = "/srv/openqrm/zfs"
LOCK = "run/openqrm-zfs.lock"

NEW = "openqrm:new"  # property, "yes": not whole yet; a run that finds it makes the volume anew
SOURCE = "openqrm:source"  # property: guid of the volume that was cloned, which outlives renaming and promotion
SNAPSHOT = "openqrm-"  # begins the names of snapshots of which clones were made

DATASET_FIELDS = (
    *("name", "type", "guid", "volsize", "refquota", "usedbydataset", "referenced", "available", "readonly"),
    *("origin", "mountpoint", "mounted", "canmount", NEW, SOURCE),
)
SNAPSHOT_FIELDS = ("name", "clones", "defer_destroy", "userrefs")
TABLE = ("zfs", "list", "-H", "-p")
GONE = ("does not exist", "no such pool")

Snapshot = namedtuple("Snapshot", "dataset name clones deferred holds")
Snapshot.__doc__ = """A snapshot: its ``dataset``, its ``name`` after the @, the names of its ``clones``, whether it
goes with the last of them (``deferred``), and how many ``holds`` keep it."""


@dataclass(frozen=True)
class Dataset:
    """A file system or volume of ZFS. Sizes are in bytes, None where there is none."""

    name: str
    is_block: bool
    guid: str
    size: int | None  # of a volume its size, of a file system its limit
    used: int  # what goes with it: what it shares with its origin is not counted
    referenced: int
    available: int
    read_only: bool
    origin: str  # snapshot of which it is a clone, else empty
    mountpoint: str  # empty for volumes
    mounted: bool
    can_mount: bool
    is_new: bool
    source: str  # guid, empty where it was not cloned as a volume

    @property
    def presents(self):
        """What it presents."""
        return "block" if self.is_block else "filesystem"


def number(text):
    """Return a number of a report, None where it has none."""
    return None if text in ("-", "none") else int(text)


def word(text):
    """Return a word of a report, empty where it has none."""
    return "" if text == "-" else text


def rows(text, fields):
    """Return the lines of a report as dicts. Source: zfs-list(8), -H."""
    lines = [line.split("\t") for line in text.splitlines()]
    return [{field: words[place] for place, field in enumerate(fields)} for words in lines]


def parse_datasets(text):
    """Return name -> Dataset of a report with DATASET_FIELDS."""
    datasets = {}
    for row in rows(text, DATASET_FIELDS):
        is_block = row["type"] == "volume"
        datasets[row["name"]] = Dataset(
            name=row["name"],
            is_block=is_block,
            guid=row["guid"],
            size=number(row["volsize"]) if is_block else number(row["refquota"]) or None,
            used=int(row["usedbydataset"]),
            referenced=int(row["referenced"]),
            available=int(row["available"]),
            read_only=row["readonly"] == "on",
            origin=word(row["origin"]),
            mountpoint=word(row["mountpoint"]),
            mounted=row["mounted"] == "yes",
            can_mount=row["canmount"] not in ("-", "off"),
            is_new=row[NEW] == "yes",
            source=word(row[SOURCE]),
        )
    return datasets


def parse_snapshots(text):
    """Return the Snapshots of a report with SNAPSHOT_FIELDS, in its order."""
    found = []
    for row in rows(text, SNAPSHOT_FIELDS):
        dataset, _at, name = row["name"].partition("@")
        clones = tuple(word(row["clones"]).split(",")) if word(row["clones"]) else ()
        found.append(Snapshot(dataset, name, clones, row["defer_destroy"] == "on", number(row["userrefs"]) or 0))
    return found


def read_datasets(location, command=run, timeout_s=120):
    """Return name -> Dataset of the location and all below it. Raises VolumeError unless it is there."""
    try:
        text = command(
            [*TABLE, "-r", "-t", "filesystem,volume", "-o", ",".join(DATASET_FIELDS), location], timeout_s=timeout_s
        )
    except CommandError as error:
        if any(words in error.output for words in GONE):
            raise VolumeError(
                f"Location {location}: there is no such dataset on this server; run the role's prepare."
            ) from error
        raise
    return parse_datasets(text)


def read_snapshots(datasets, recursive=False, command=run, timeout_s=120):
    """Return the Snapshots of the datasets (of all below them, too: ``recursive``), by dataset, oldest first."""
    depth = ["-r"] if recursive else ["-d", "1"]
    options = ["-t", "snapshot", "-s", "createtxg", "-o", ",".join(SNAPSHOT_FIELDS)]
    return parse_snapshots(command([*TABLE, *depth, *options, *datasets], timeout_s=timeout_s)) if datasets else []


def read_pools(command=run, timeout_s=120):
    """Return name -> health of the pools that are imported."""
    text = command(["zpool", "list", "-H", "-o", "name,health"], timeout_s=timeout_s)
    return dict(line.split("\t") for line in text.splitlines())


def read_room(location, command=run, timeout_s=120):
    """Return dataset -> (bytes used, bytes that it can still use) for the location's pool and the location."""
    names = [pool_of(location), location]
    text = command([*TABLE, "-o", "name,used,available", *names], timeout_s=timeout_s)
    lines = [line.split("\t") for line in text.splitlines()]
    return {name: (int(used), int(available)) for name, used, available in lines}


def check_location(location):
    """Return the location. Raises VolumeError unless it is a pool and a path in it."""
    if not LOCATION.match(location) or len(location) > LONGEST_LOCATION:
        raise VolumeError(
            f"Location {location!r}: give a dataset, as tank/openqrm: a pool and a path in it, of letters, digits, "
            f"'_', '.' and '-', up to {LONGEST_LOCATION} characters."
        )
    return location


def pool_of(location):
    """Return the pool of a dataset."""
    return location.partition("/")[0]


def full_name(volume):
    """Return the dataset of a volume."""
    return f"{check_location(volume['location'])}/{volume['name']}"


def path_of(dataset, presents):
    """Return where a volume is: the device, or where it is mounted."""
    return f"/dev/zvol/{dataset}" if presents == "block" else f"{MOUNT_ROOT}/{dataset}"


def mib(size):
    """Return bytes in MiB, rounded up; None for None."""
    return None if size is None else -(-size // MIB)


@contextmanager
def locked(root="/"):
    """Let one process at a time take snapshots for clones or remove what has clones, as one would look like a leftover
    to the other. A process that is killed leaves no lock."""
    with (Path(root) / LOCK).open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
