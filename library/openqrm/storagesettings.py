"""What the parameters of a storage say of its server: how much happens there at once, when its space is short, and at
which further addresses nodes reach it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from openqrm.errors import InvalidValueError
from openqrm.model import Storage
from openqrm.names import check_address, check_number

MAX_OPERATIONS = 1000
MORE_ADDRESSES = "more_addresses"


@dataclass(frozen=True)
class StorageSettings:
    """`concurrent_operations`: how many plans work on the server at the same time, each by one call for all of its
    volumes. `space_warning_percent`, `space_error_percent`: how full its location may be before an event says so.
    `more_addresses`: of the server, beside the storage's `address`, for deployments that reach it by several ways."""

    concurrent_operations: int = 4
    space_warning_percent: int = 80
    space_error_percent: int = 90
    more_addresses: tuple[str, ...] = ()


def storage_settings(what: str, parameters: Mapping[str, object]) -> StorageSettings:
    """The settings among the free parameters of a storage. Raises: InvalidValueError naming the parameter."""
    highest = {"concurrent_operations": MAX_OPERATIONS, "space_warning_percent": 100, "space_error_percent": 100}
    given = {
        key: check_number(f"{what}: {key}", _whole(parameters[key]), 1, high)
        for key, high in highest.items()
        if key in parameters
    }
    settings = StorageSettings(**given, more_addresses=_addresses(what, parameters.get(MORE_ADDRESSES, "")))
    if settings.space_warning_percent > settings.space_error_percent:
        raise InvalidValueError(
            f"{what}: space_warning_percent {settings.space_warning_percent} is above space_error_percent "
            f"{settings.space_error_percent}.",
            remedy="Give the level of the warning first, as 80 and 90.",
        )
    return settings


def all_addresses(storage: Storage) -> tuple[str, ...]:
    """The addresses at which nodes reach the storage, each once, its `address` first. Raises: InvalidValueError."""
    settings = storage_settings(f"Storage {storage.name}", storage.parameters)
    return tuple(dict.fromkeys((storage.address, *settings.more_addresses)))


def _addresses(what: str, value: object) -> tuple[str, ...]:
    """The addresses of a list, or of text with commas between."""
    words = value.split(",") if isinstance(value, str) else value if isinstance(value, list | tuple) else [value]
    return tuple(check_address(f"{what}: {MORE_ADDRESSES}", _text(word)) for word in words if word != "")


def _text(value: object) -> object:
    return value.strip() if isinstance(value, str) else value


def _whole(value: object) -> object:
    """The value of a command line, which is text, as a number."""
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value
