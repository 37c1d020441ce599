"""What is said about machines' own disks: the parameters of appliances and resources. Pure rules."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from openqrm.errors import InvalidValueError

ROOT_DEVICE = "root_device"
DISK, OVERWRITE, GRAB, WIPE = "disk", "disk_overwrite", "disk_grab", "disk_wipe"
ALL = "all"
WIPES = ("none", "quick", "full")
# As the kernel names whole disks: sda, vdb, nvme0n1, mmcblk0.
DISK_NAME = re.compile(r"[a-z][a-z0-9]{1,31}")
DEVICE = re.compile(r"/dev/[A-Za-z0-9][A-Za-z0-9/_.:-]{0,200}|(LABEL|UUID|PARTUUID|PARTLABEL)=[A-Za-z0-9_.:-]{1,64}")
WORDS = {"true": True, "yes": True, "false": False, "no": False}


@dataclass(frozen=True)
class DiskSettings:
    """Of an appliance that runs from machines' own disks. `disk`: the one to write to; `all`: each disk of the image to
    that of the same name; empty: the only one. `overwrite`: whatever is on it. `grab`: read it back at each stop."""

    disk: str = ""
    overwrite: bool = False
    grab: bool = False


def disk_settings(what: str, parameters: Mapping[str, object]) -> DiskSettings:
    """The settings in an appliance's parameters. `what` names it in messages. Raises: InvalidValueError."""
    return DiskSettings(
        check_disk(f"{what}: {DISK}", parameters.get(DISK, "")),
        _flag(f"{what}: {OVERWRITE}", parameters.get(OVERWRITE, False)),
        _flag(f"{what}: {GRAB}", parameters.get(GRAB, False)),
    )


def check_disk(what: str, value: object) -> str:
    """The name of a disk, `all`, or empty. Raises: InvalidValueError."""
    if value in ("", None):
        return ""
    if not isinstance(value, str) or not DISK_NAME.fullmatch(value):
        raise InvalidValueError(
            f"{what} {value!r} is not valid.", remedy="Give the disk as the kernel names it, as sda; or all."
        )
    return value


def check_device(what: str, value: object) -> str:
    """A path below /dev, LABEL=, UUID=, PARTUUID= or PARTLABEL= with a value, or empty. Raises: InvalidValueError."""
    if value in ("", None):
        return ""
    if not isinstance(value, str) or not DEVICE.fullmatch(value) or ".." in value.split("/"):
        raise InvalidValueError(
            f"{what} {value!r} is not valid.", remedy="Give it as /dev/sda2, LABEL=root or UUID=..."
        )
    return value


def check_wipe(what: str, value: object) -> str:
    """One of WIPES. Raises: InvalidValueError."""
    if value not in WIPES:
        raise InvalidValueError(f"{what} {value!r} is not valid.", remedy=f"Use one of {', '.join(WIPES)}.")
    return str(value)


def _flag(what: str, value: object) -> bool:
    found = WORDS.get(value.lower()) if isinstance(value, str) else value
    if not isinstance(found, bool):
        raise InvalidValueError(f"{what} {value!r} is not valid.", remedy="Use true or false.")
    return found
