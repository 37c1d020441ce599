# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What LVM knows: volume groups with their logical volumes, read by one command, and many changes in one process."""

from __future__ import annotations

import json
import re
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.openqrm.datacenter.plugins.module_utils.commands import run
from ansible_collections.openqrm.datacenter.plugins.module_utils.volumes import VolumeError

MIB = 1 << 20
LOCATION = re.compile(r"/dev/([A-Za-z0-9+_.][A-Za-z0-9+_.-]*)\Z")
# Names that LVM keeps for itself. Source: lvm(8), VALID NAMES.
RESERVED_STARTS = ("snapshot", "pvmove")
RESERVED_PARTS = (
    *("_cdata", "_cmeta", "_corig", "_cpool", "_cvol", "_imeta", "_iorig", "_mimage", "_mlog", "_pmspare", "_rimage"),
    *("_rmeta", "_tdata", "_tmeta", "_vdata", "_vorigin", "_wcorig"),
)
# Ends the name of the snapshot from which a classic volume in use is copied; no volume has it, as it has capitals.
STILL = ".STILL"
# Names of device mapper have up to 127 characters, with what LVM appends for the layers of a device.
LONGEST_NAME = 127 - len(f"{STILL}-real")

NEW = "openqrm.new"  # tag: not whole yet; a run that finds it makes the volume anew
GROWING = "openqrm.growing="  # tag, with the size in MiB that it had: the file system on it may not have all of it yet
PRESENTS = {"block": "openqrm.block", "filesystem": "openqrm.filesystem"}  # tags of volumes that were made here

GROUP_FIELDS = "vg_name,vg_size,vg_free,vg_extent_size"
VOLUME_FIELDS = (
    "lv_name,lv_attr,lv_size,lv_layout,pool_lv,origin,origin_size,data_percent,metadata_percent,lv_tags,"
    "lv_kernel_major,lv_kernel_minor"
)
REPORT = (
    *("lvm", "fullreport", "--reportformat", "json", "--units", "b", "--nosuffix"),
    *("--configreport", "vg", "--options", GROUP_FIELDS),
    *("--configreport", "lv", "--options", VOLUME_FIELDS),
    *("--configreport", "pv", "--options", "pv_name"),
    *("--configreport", "pvseg", "--options", "pv_name"),
    *("--configreport", "seg", "--options", "lv_name"),
)


@dataclass(frozen=True)
class LogicalVolume:
    """A logical volume. ``data_percent`` and ``metadata_percent`` are None where LVM knows none."""

    name: str
    size_mib: int  # of a classic snapshot: that of its origin
    layout: frozenset  # of words as linear, thin, sparse, pool, snapshot
    pool: str  # of a thin volume
    origin: str  # of a clone or snapshot, as long as that exists
    data_percent: float | None
    metadata_percent: float | None
    tags: frozenset
    writable: bool
    active: bool
    is_open: bool
    device: str  # major:minor while it is active, else empty

    @property
    def is_pool(self):
        """Whether it is a thin pool."""
        return {"thin", "pool"} <= self.layout

    @property
    def is_thin(self):
        """Whether it is a thin volume."""
        return "thin" in self.layout and not self.is_pool

    @property
    def is_classic_snapshot(self):
        """Whether it is a snapshot with a copy-on-write store of its own, which lives and dies with its origin."""
        return bool(self.origin) and not self.is_thin

    @property
    def may_change(self):
        """Whether something writes to it, so that a copy of it would be of no one moment."""
        return self.is_open and self.writable

    @property
    def is_own(self):
        """Whether it was made as a volume of this storage type."""
        return not self.tags.isdisjoint(PRESENTS.values())

    @property
    def presents(self):
        """What it was made to present; of others: block."""
        return "filesystem" if PRESENTS["filesystem"] in self.tags else "block"

    @property
    def used_mib(self):
        """The space in MiB that it takes of its pool or group, None for a thin volume that is not active."""
        if not self.is_thin:
            return self.size_mib
        return None if self.data_percent is None else round(self.size_mib * self.data_percent / 100)

    @property
    def growing(self):
        """The tag of a growth that is not finished, empty if there is none."""
        return next((tag for tag in self.tags if tag.startswith(GROWING)), "")

    @property
    def finished_mib(self):
        """The size in MiB, before a growth that is not finished."""
        return int(self.growing[len(GROWING) :]) if self.growing else self.size_mib


@dataclass(frozen=True)
class VolumeGroup:
    """A volume group; ``disks`` are its physical volumes, ``volumes`` its visible logical volumes, by name."""

    name: str
    size_mib: int
    free_mib: int
    extent_mib: float
    disks: tuple
    volumes: dict = field(default_factory=dict)


def number(text):
    """Return a report's percentage, None where it is empty."""
    return float(text) if text else None


def parse_volume(row):
    """Return the logical volume of a row of the report."""
    attributes, layout = row["lv_attr"], frozenset(row["lv_layout"].split(","))
    major, minor = row["lv_kernel_major"], row["lv_kernel_minor"]
    is_store = row["origin"] and "thin" not in layout  # then its own size is that of its copy-on-write store
    return LogicalVolume(
        name=row["lv_name"],
        size_mib=int(row["origin_size"] if is_store else row["lv_size"]) // MIB,
        layout=layout,
        pool=row["pool_lv"],
        origin=row["origin"],
        data_percent=number(row["data_percent"]),
        metadata_percent=number(row["metadata_percent"]),
        tags=frozenset(tag for tag in row["lv_tags"].split(",") if tag),
        writable=attributes[1] == "w",
        active=attributes[4] == "a",
        is_open=attributes[5] == "o",
        device=f"{major}:{minor}" if int(major) >= 0 else "",
    )


def parse_report(text):
    """Return name -> VolumeGroup of the output of REPORT."""
    groups = {}
    for part in json.loads(text)["report"]:
        for row in part.get("vg", []):
            volumes = [parse_volume(volume) for volume in part["lv"]]
            groups[row["vg_name"]] = VolumeGroup(
                name=row["vg_name"],
                size_mib=int(row["vg_size"]) // MIB,
                free_mib=int(row["vg_free"]) // MIB,
                extent_mib=int(row["vg_extent_size"]) / MIB,
                disks=tuple(sorted(disk["pv_name"] for disk in part["pv"])),
                volumes={volume.name: volume for volume in volumes},
            )
    return groups


def spare_disks(text):
    """Return the physical volumes of no group in the output of REPORT."""
    parts = [part for part in json.loads(text)["report"] if not part.get("vg")]
    return [disk["pv_name"] for part in parts for disk in part.get("pv", [])]


def read_groups(command=run, timeout_s=120):
    """Return name -> VolumeGroup of all groups of this server."""
    return parse_report(command(list(REPORT), timeout_s=timeout_s))


def group_name(location):
    """Return the volume group of a location. Raises VolumeError unless that is /dev/ and a group's name."""
    match = LOCATION.match(location)
    if not match or match[1] in (".", ".."):
        raise VolumeError(f"Location {location!r}: give the directory of a volume group, as /dev/vg0.")
    return match[1]


def check_name(group, name):
    """Raise VolumeError unless LVM takes ``name`` for a volume of ``group``. Its letters were checked before."""
    if name.startswith(RESERVED_STARTS):
        start = next(word for word in RESERVED_STARTS if name.startswith(word))
        raise VolumeError(f"Volume {name}: LVM keeps names that begin with {start!r} for itself; use another name.")
    part = next((word for word in RESERVED_PARTS if word in name), "")
    if part:
        raise VolumeError(f"Volume {name}: LVM keeps names with {part!r} for itself; use another name.")
    length = len(f"{group.replace('-', '--')}-{name.replace('-', '--')}")
    if length > LONGEST_NAME:
        raise VolumeError(
            f"Volume {name}: with its group {group} the name has {length} characters, of which each dash counts "
            f"twice; LVM takes {LONGEST_NAME}."
        )


def run_script(lines, command=run, timeout_s=600):
    """Run commands of LVM (lists of words without blanks) in one process, which ends at the first that fails.

    Source: lvm(8), "a file containing a simple script with one command per line".
    """
    with tempfile.TemporaryDirectory(prefix="openqrm-lvm-") as directory:
        script = Path(directory) / "script"
        script.write_text("".join(f"{line}\n" for line in ["#!lvm", *map(" ".join, lines)]), encoding="ascii")
        command(["lvm", str(script)], timeout_s=timeout_s)
