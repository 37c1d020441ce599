"""Transfers: what the next start of an appliance copies into its root, or from its root elsewhere, once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from openqrm.errors import InvalidValueError
from openqrm.model import Appliance, Parameters
from openqrm.names import check_name

PARAMETER = "transfer"
"""The parameter of an appliance that holds its transfer until that succeeded."""

KINDS = ("install_from", "transfer_to", "install_from_disk", "transfer_to_disk")
OVERWRITE = "overwrite"
DEVICE = re.compile(r"/dev/(?:[A-Za-z0-9_][A-Za-z0-9_.:+-]*/)*[A-Za-z0-9_][A-Za-z0-9_.:+-]*")


@dataclass(frozen=True)
class Transfer:
    """`other` is the name of an image or, for kinds that end in `_disk`, a device of the machine. `number` tells it
    from others: the same transfer, tried again, has the same one. `overwrite`: the target may hold data."""

    kind: str
    other: str
    overwrite: bool = False
    number: int = 0

    @property
    def installs(self) -> bool:
        """Whether the root is the target."""
        return self.kind.startswith("install_from")

    @property
    def is_disk(self) -> bool:
        """Whether the other side is a device of the machine."""
        return self.kind.endswith("_disk")

    @property
    def text(self) -> str:
        """As the parameter holds it."""
        return " ".join([self.kind, self.other, str(self.number), *([OVERWRITE] if self.overwrite else [])])


def asked(arguments: Mapping[str, object]) -> Transfer | None:
    """The transfer that the arguments of a start ask for. Raises: InvalidValueError."""
    given = [kind for kind in KINDS if arguments.get(kind)]
    overwrite = bool(arguments.get(OVERWRITE))
    if len(given) > 1:
        raise InvalidValueError(f"{given[0]} and {given[1]} are both given.", remedy="A start does one transfer.")
    if not given:
        if overwrite:
            raise InvalidValueError("overwrite is given without a transfer.", remedy=f"Give one of {', '.join(KINDS)}.")
        return None
    (kind,) = given
    return Transfer(kind, _other(kind, arguments[kind]), overwrite)


def _other(kind: str, value: object) -> str:
    if not kind.endswith("_disk"):
        return check_name("Image", value)
    if not isinstance(value, str) or not DEVICE.fullmatch(value) or len(value) > 255:
        raise InvalidValueError(f"{kind} {value!r} is no device.", remedy="Give it as /dev/sda1 or /dev/disk/by-id/...")
    return value


def pending(appliance: Appliance) -> Transfer | None:
    """The transfer that the appliance's next start does. Raises: InvalidValueError where the parameter is damaged."""
    text = appliance.parameters.get(PARAMETER)
    if text is None:
        return None
    words = str(text).split(" ")
    if (
        len(words) not in (3, 4)
        or words[0] not in KINDS
        or not words[2].isdecimal()
        or words[3:] not in ([], [OVERWRITE])
    ):
        raise InvalidValueError(
            f"Appliance {appliance.name}: parameter {PARAMETER} {text!r} is none that a start has set.",
            remedy=f"Run `openqrm appliance set {appliance.name} --parameter {PARAMETER}=`.",
        )
    return Transfer(words[0], _other(words[0], words[1]), bool(words[3:]), int(words[2]))


def without(parameters: Parameters) -> dict[str, object]:
    """The parameters without the transfer."""
    return {key: value for key, value in parameters.items() if key != PARAMETER}
