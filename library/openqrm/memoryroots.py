"""Roots in memory: what an image that is deployed so says about its size, and about the archive that fills it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from openqrm.errors import InvalidValueError
from openqrm.names import check_sha256, check_size_mib

MEMORY = "memory"
"""The boot mode of deployment types that fill a root in memory."""

SIZE, ARCHIVE, FORMAT = "memory_size_mib", "archive", "archive_format"
FORMATS = {".tar.zst": "tar.zst", ".squashfs": "squashfs"}
"""The end of an archive's file name -> what nodes are told it is."""


@dataclass(frozen=True)
class MemorySettings:
    """`size_mib` bounds the root (0: half of the machine's memory). `archive` is the SHA-256 of the archive in the boot
    tree that fills it, `archive_format` what that is; empty: it is filled from the image's volume."""

    size_mib: int = 0
    archive: str = ""
    archive_format: str = ""

    @property
    def source(self) -> dict[str, object]:
        """What nodes are told of the archive; nothing where there is none."""
        return {"archive": {"digest": self.archive, "format": self.archive_format}} if self.archive else {}


def memory_settings(what: str, parameters: Mapping[str, object]) -> MemorySettings:
    """The settings of a root in memory, from the parameters of its image, which `what` names in messages.

    Raises: InvalidValueError.
    """
    size = parameters.get(SIZE)
    size_mib = check_size_mib(f"{what}: {SIZE}", size) if size is not None else 0
    archive = parameters.get(ARCHIVE)
    if archive is None:
        return MemorySettings(size_mib)
    known = sorted(FORMATS.values())
    if parameters.get(FORMAT) not in known:
        raise InvalidValueError(
            f"{what}: {FORMAT} {parameters.get(FORMAT)!r} of its archive is not known.",
            remedy=f"Use `openqrm image publish`, which sets it; known: {', '.join(known)}.",
        )
    return MemorySettings(size_mib, check_sha256(f"{what}: {ARCHIVE}", archive), str(parameters[FORMAT]))


def format_of(path: str) -> str:
    """What an archive is, by the end of its file name. Raises: InvalidValueError."""
    for end, name in FORMATS.items():
        if path.endswith(end):
            return name
    raise InvalidValueError(f"Archive {path} is of no known kind.", remedy=f"Give a file {' or '.join(FORMATS)}.")
