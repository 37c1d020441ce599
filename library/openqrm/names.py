"""What names, addresses and sizes may look like. Everything that reaches a path, template or argv passes here first."""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Mapping

from openqrm.errors import InvalidValueError

NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?")
TYPE = re.compile(r"[a-z][a-z0-9_]{0,31}")
TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:=-]{0,62}")
PATH = re.compile(r"/(?:[A-Za-z0-9._+-]+/?)*")
SHA256 = re.compile(r"[0-9a-f]{64}")
MAC = re.compile(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}")
HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,252}[A-Za-z0-9_])?")
VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~+-]{0,127}")
PACKAGE = re.compile(r"[a-z0-9][a-z0-9.+:~-]{0,127}")
# One line for boot loaders and /proc/cmdline: nothing that iPXE, GRUB or a shell would take for its own.
URL = re.compile(
    r"https?://(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*/?"
)
PARAMETER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,62}")
# A command line ends at 2048 characters. None of these characters means anything to iPXE, GRUB, PXELINUX or a shell.
KERNEL_ARGS = re.compile(r"(?=.{0,1024}\Z)(?:[A-Za-z0-9._,:=/@%+\[\]-]+(?: [A-Za-z0-9._,:=/@%+\[\]-]+)*)?")
MAX_SIZE_MIB = 1 << 40
MAX_PARAMETER = 1 << 63


def _checked(pattern: re.Pattern[str], what: str, value: object, rule: str) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        shown = repr(value) if len(repr(value)) <= 80 else f"{repr(value)[:77]}..."
        raise InvalidValueError(f"{what} {shown} is not valid.", remedy=rule)
    return value


def check_name(kind: str, value: object) -> str:
    """The name, if it is one: 1 to 63 of a-z, 0-9, dot, underscore, dash; letters or digits at both ends.

    Raises: InvalidValueError.
    """
    rule = "Use 1 to 63 of a-z, 0-9, '.', '_', '-', with a letter or digit at both ends."
    name = _checked(NAME, f"{kind} name", value, rule)
    if ".." in name:
        raise InvalidValueError(
            f"{kind} name {name!r} is not valid.", remedy="Use single dots: '..' is not allowed in a name."
        )
    return name


def check_type(family: str, value: object) -> str:
    """The type's name, as `directory` or `nvme_tcp`. Raises: InvalidValueError."""
    return _checked(TYPE, f"{family} type", value, "Use a-z, 0-9 and '_', a letter first.")


def check_host(what: str, value: object) -> str:
    """An inventory host name. Raises: InvalidValueError."""
    return _checked(HOST, what, value, "Use a host name of the inventory: letters, digits, '.', '_', '-'.")


def check_tag(value: object) -> str:
    """A tag, as `rack:r12` or `gpu`. Raises: InvalidValueError."""
    return _checked(TAG, "Tag", value, "Use letters, digits and '._:=-', at most 63.")


def check_path(what: str, value: object) -> str:
    """An absolute path of plain characters without `..`. Raises: InvalidValueError."""
    path = _checked(PATH, what, value, "Use an absolute path of letters, digits, '.', '_', '+', '-'.")
    if ".." in path.split("/"):
        raise InvalidValueError(f"{what} {path!r} is not valid.", remedy="'..' is not allowed in a path.")
    return path.rstrip("/") or "/"


def check_kernel_args(what: str, value: object) -> str:
    """Kernel arguments with single blanks between them; none of their characters means anything to a boot loader.

    Raises: InvalidValueError.
    """
    return _checked(KERNEL_ARGS, what, value, "Use words of letters, digits and '._,:=/@%+-[]', a blank between two.")


def check_sha256(what: str, value: object) -> str:
    """A SHA-256 in lower-case hex. Raises: InvalidValueError."""
    return _checked(SHA256, what, value, "Use 64 lower-case hexadecimal digits.")


def check_version(what: str, value: object) -> str:
    """A kernel's version, as `6.1.0-13-cloud-amd64`. Raises: InvalidValueError."""
    return _checked(VERSION, what, value, "Use letters, digits and '._~+-'.")


def check_package(what: str, value: object) -> str:
    """The name of a package of the distribution. Raises: InvalidValueError."""
    return _checked(PACKAGE, what, value, "Use a-z, 0-9 and '.+:~-', a letter or digit first.")


def check_url(what: str, value: object, *schemes: str) -> str:
    """A plain URL, of one of the schemes if any are given. Raises: InvalidValueError."""
    rule = (
        f"Use {' or '.join(f'{scheme}://' for scheme in schemes) or 'http(s)://'}HOST[:PORT][/PATH], plain characters."
    )
    url = _checked(URL, what, value, rule)
    if schemes and url.partition(":")[0] not in schemes:
        raise InvalidValueError(f"{what} {url!r} is not valid.", remedy=rule)
    return url


def check_mac(value: object) -> str:
    """The MAC in its stored form, lower case with colons. Dashes and upper case are accepted.

    Raises: InvalidValueError, also for group addresses, which no NIC sends from.
    """
    plain = value.strip().lower().replace("-", ":") if isinstance(value, str) else value
    mac = _checked(MAC, "MAC address", plain, "Use six pairs of hexadecimal digits, as 52:54:00:12:34:56.")
    if int(mac[:2], 16) & 1 or mac == "00:00:00:00:00:00":
        raise InvalidValueError(f"MAC address {mac} is not valid.", remedy="Use the unicast address of a NIC.")
    return mac


def check_address(what: str, value: object) -> str:
    """An IPv4 or IPv6 address in canonical form, without a zone: that could be any text. Raises: InvalidValueError."""
    try:
        if "%" in str(value):
            raise ValueError("zone")
        return str(ipaddress.ip_address(str(value)))
    except ValueError as error:
        raise InvalidValueError(f"{what} {value!r} is not an IP address.", remedy="Use one as 10.77.0.50.") from error


def check_number(what: str, value: object, low: int, high: int) -> int:
    """A whole number from `low` to `high`. Raises: InvalidValueError."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InvalidValueError(f"{what} {value!r} is not valid.", remedy=f"Use a whole number from {low} to {high}.")
    return value


def check_size_mib(what: str, value: object) -> int:
    """A size in MiB, 1 to 2^40. Raises: InvalidValueError."""
    return check_number(what, value, 1, MAX_SIZE_MIB)


def _is_plain(value: object) -> bool:
    """Whether every database and every reader of JSON takes the value as it is."""
    if isinstance(value, str):
        return value.isprintable()
    return isinstance(value, (int, float)) and math.isfinite(value) and abs(value) < MAX_PARAMETER


def check_parameters(what: str, value: object) -> dict[str, object]:
    """Free parameters: a flat mapping of plain names to printable text, numbers, booleans, or lists of them.

    Raises: InvalidValueError naming the key.
    """
    if not isinstance(value, Mapping):
        raise InvalidValueError(f"{what}: parameters {value!r} are not a mapping.", remedy="Give key: value pairs.")
    for key, entry in value.items():
        _checked(PARAMETER, f"{what}: parameter", key, "Use letters, digits, '_', '.', '-', a letter first.")
        for item in entry if isinstance(entry, list) else [entry]:
            if not _is_plain(item):
                raise InvalidValueError(
                    f"{what}: parameter {key} is {entry!r}.", remedy="Use text on one line, numbers, true or false."
                )
    return dict(value)
