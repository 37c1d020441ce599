"""What a user may say about each kind of object: every field, how it is checked and how it joins what is there.

A field's reader takes a label for messages, the given value and the current one, and returns the value to store.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from openqrm.errors import InvalidValueError
from openqrm.model import Appliance, Image, Kernel, Nic, Requirements, Resource, Storage
from openqrm.names import (
    check_address,
    check_host,
    check_kernel_args,
    check_mac,
    check_name,
    check_number,
    check_parameters,
    check_path,
    check_sha256,
    check_tag,
    check_type,
    check_version,
)
from openqrm.roots import ROOT_MODES

Object = Resource | Kernel | Storage | Image | Appliance
Entry = Mapping[str, object]
Read = Callable[[str, Any, Any], Any]

ARCHES = ("x86_64", "aarch64")
FIRMWARES = ("bios", "uefi")
IMAGE_KINDS = ("golden", "clone", "private")
NIC_ROLES = ("management", "storage")
SECRETS = frozenset({"password", "passwd", "secret", "token", "username", "user"})
URLS = ("address", "media")
NO_SECRETS = "Set them as inventory variables of the power host, as power_redfish_credentials."
MAX_CORES = 1 << 16
MAX_MEMBERS = 10_000


def known_keys(what: str, entry: object, known: Mapping[str, object]) -> Entry:
    """The mapping `entry`, when all its keys are in `known`. Raises: InvalidValueError naming the unknown ones."""
    if not isinstance(entry, Mapping):
        raise InvalidValueError(f"{what} {entry!r} is not a mapping.", remedy="Give key: value pairs.")
    unknown = sorted(str(key) for key in entry if key not in known)
    if unknown:
        raise InvalidValueError(f"{what} has no option {', '.join(unknown)}.", remedy=f"Known: {', '.join(known)}.")
    return entry


def listed(what: str, value: object) -> list[object]:
    """The value as a list. Raises: InvalidValueError."""
    if not isinstance(value, (list, tuple, set, frozenset)):
        raise InvalidValueError(f"{what} {value!r} is not a list.", remedy="Give a list.")
    return list(value)


def _whole(value: object) -> object:
    """Extra variables of a command line arrive as text: `8` is a number there too."""
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value


def _number(low: int, high: int) -> Read:
    return lambda what, value, _current: check_number(what, _whole(value), low, high)


def boolean(what: str, value: object, _current: object = None) -> bool:
    """The value as true or false; the words of a command line count too. Raises: InvalidValueError."""
    words = {"true": True, "yes": True, "false": False, "no": False}
    found = words.get(value.lower()) if isinstance(value, str) else value
    if not isinstance(found, bool):
        raise InvalidValueError(f"{what} {value!r} is not valid.", remedy="Use true or false.")
    return found


def _choice(choices: tuple[str, ...]) -> Read:
    def read(what: str, value: object, _current: object) -> str:
        if value not in choices:
            raise InvalidValueError(f"{what} {value!r} is not valid.", remedy=f"Use one of {', '.join(choices)}.")
        return str(value)

    return read


def _optional(check: Callable[[str, object], object]) -> Read:
    """A reader of text that may be empty, which means: none."""
    return lambda what, value, _current: "" if value == "" else check(what, value)


def _plain(check: Callable[[str, object], object]) -> Read:
    return lambda what, value, _current: check(what, value)


def _text(what: str, value: object) -> str:
    if not isinstance(value, str) or not value.isprintable() or not 1 <= len(value) <= 128:
        raise InvalidValueError(f"{what} {value!r} is not valid.", remedy="Use 1 to 128 printable characters.")
    return value


def _merged(what: str, value: object, current: Mapping[str, object]) -> dict[str, object]:
    """`current` with the given parameters; one that is given as null is taken away."""
    if not isinstance(value, Mapping):
        return check_parameters(what, value)
    given = check_parameters(what, {key: entry for key, entry in value.items() if entry is not None})
    return {**{key: entry for key, entry in current.items() if key not in value}, **given}


def _kernel_parameters(what: str, value: object, current: Mapping[str, object]) -> dict[str, object]:
    merged = _merged(what, value, current)
    check_kernel_args(f"{what}: kernel_args", merged.get("kernel_args", ""))
    return merged


def _power(what: str, value: object, current: Mapping[str, object]) -> dict[str, object]:
    secrets = sorted(SECRETS & {str(key).lower() for key in value}) if isinstance(value, Mapping) else []
    if secrets:
        raise InvalidValueError(
            f"{what} has {', '.join(secrets)}, but the store keeps no credentials.",
            remedy=NO_SECRETS,
        )
    merged = _merged(what, value, current)
    for key in URLS:
        if "@" in str(merged.get(key, "")).partition("//")[2].partition("/")[0]:
            raise InvalidValueError(f"{what}: {key} has a user, but the store keeps no credentials.", remedy=NO_SECRETS)
    return merged


def _tags(what: str, value: object, _current: object) -> frozenset[str]:
    return frozenset(_in_tag(what, tag) for tag in listed(what, value))


def _in_tag(what: str, value: object) -> str:
    return _in(what, check_tag, value)


def _interface(what: str, value: object) -> str:
    try:
        if isinstance(value, str) and "/" in value and "%" not in value:
            return str(ipaddress.ip_interface(value))
    except ValueError:
        pass
    rule = "Use an address with its prefix length, as 10.78.0.50/24."
    raise InvalidValueError(f"{what} {value!r} is not valid.", remedy=rule)


NIC: dict[str, Read] = {
    "mac": lambda what, value, _current: _in(what, check_mac, value),
    "name": _optional(_text),
    "role": _optional(lambda what, value: _choice(NIC_ROLES)(what, value, "")),
    "address": _optional(_interface),
}


def _nic(what: str, entry: object, current: Mapping[str, Nic]) -> Nic:
    given = known_keys(f"{what}: NIC", entry, NIC)
    if "mac" not in given:
        raise InvalidValueError(f"{what}: NIC {dict(given)!r} has no mac.", remedy="Give its MAC address.")
    mac = _in(what, check_mac, given["mac"])
    values = {key: NIC[key](f"{what}: NIC {mac}: {key}", given[key], None) for key in given if given[key] is not None}
    return replace(current.get(mac, Nic(mac)), **values | {"mac": mac})


def _in(what: str, check: Callable[[object], str], value: object) -> str:
    """The checked value; the error names the object too."""
    try:
        return check(value)
    except InvalidValueError as error:
        raise InvalidValueError(f"{what}: {error.message}", remedy=error.remedy) from error


def _nics(what: str, value: object, current: tuple[Nic, ...]) -> tuple[Nic, ...]:
    """The given NICs joined by MAC to those that are there, which keep their place; new ones follow."""
    have = {nic.mac: nic for nic in current}
    given = [_nic(what, entry, have) for entry in listed(what, value)]
    macs = [nic.mac for nic in given]
    twice = sorted({mac for mac in macs if macs.count(mac) > 1})
    if twice:
        raise InvalidValueError(f"{what}: {', '.join(twice)} is given twice.", remedy="Give each MAC address once.")
    return tuple((have | {nic.mac: nic for nic in given}).values())


def _requirements(what: str, value: object, current: Requirements) -> Requirements:
    given = {key: entry for key, entry in known_keys(what, value, REQUIREMENTS).items() if entry is not None}
    read = {key: REQUIREMENTS[key](f"{what}.{key}", entry, getattr(current, key)) for key, entry in given.items()}
    return replace(current, **read)


_SIZE = _number(0, 1 << 40)
_NAME = _plain(lambda what, value: check_name(what, value))
_TYPE = _plain(check_type)

REQUIREMENTS: dict[str, Read] = {
    "cores": _number(0, MAX_CORES),
    "memory_mib": _SIZE,
    "nics": _number(0, 256),
    "disk_mib": _SIZE,
    "type": _TYPE,
    "arch": _choice(ARCHES),
    "tags": _tags,
    "anti_affinity": _optional(_in_tag),
    "resource": _optional(check_name),
}
RESOURCE: dict[str, Read] = {
    "type": _TYPE,
    "arch": _choice(ARCHES),
    "cores": _number(0, MAX_CORES),
    "memory_mib": _SIZE,
    "disk_mib": _SIZE,
    "nics": _nics,
    "tags": _tags,
    "address": _optional(check_address),
    "power_driver": _optional(check_type),
    "power": _power,
    "firmware": _optional(lambda what, value: _choice(FIRMWARES)(what, value, "")),
    "monitored": boolean,
    "parameters": _merged,
}
KERNEL: dict[str, Read] = {
    "version": _plain(check_version),
    "arch": _choice(ARCHES),
    "vmlinuz": _plain(check_sha256),
    "initramfs": _plain(check_sha256),
    "modules": _plain(check_sha256),
    "sizes": _merged,
    "parameters": _kernel_parameters,
}
STORAGE: dict[str, Read] = {
    "type": _TYPE,
    "host": _plain(check_host),
    "location": _plain(check_path),
    "address": _plain(check_address),
    "parameters": _merged,
}
IMAGE: dict[str, Read] = {
    "storage": _NAME,
    "volume": _NAME,
    "deployment": _TYPE,
    "kind": _choice(IMAGE_KINDS),
    "shared": boolean,
    "parent": _optional(check_name),
    "parameters": _merged,
}
APPLIANCE: dict[str, Read] = {
    "kernel": _NAME,
    "image": _NAME,
    "members": _number(1, MAX_MEMBERS),
    "clone": boolean,
    "root_mode": _choice(ROOT_MODES),
    "requirements": _requirements,
    "sla": _merged,
    "parameters": _merged,
}
