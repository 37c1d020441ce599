"""Storage servers that the product itself deployed: a storage whose server is an appliance, wherever that runs.

Such a storage has the parameter APPLIANCE. Its host is the appliance's host of the inventory plug-in; the address at
which nodes reach it is that of the resource that runs the appliance now.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from openqrm.errors import InUseError, InvalidValueError, StateError
from openqrm.model import Resource, Storage
from openqrm.names import check_name
from openqrm.store import Reader

APPLIANCE = "appliance"


def appliance_of(storage: Storage) -> str:
    """The appliance that is the storage's server, empty where the server is a host of the user's own."""
    return str(storage.parameters.get(APPLIANCE) or "")


def following(reader: Reader, storages: Iterable[Storage]) -> list[Storage]:
    """The storages, those that follow an appliance with its address now; empty where that does not run."""
    found = list(storages)
    wanted = {appliance_of(storage) for storage in found} - {""}
    addresses = _addresses(reader, sorted(wanted)) if wanted else {}
    return [
        replace(storage, address=addresses.get(name, "")) if (name := appliance_of(storage)) else storage
        for storage in found
    ]


def described(reader: Reader, entry: Mapping[str, object]) -> Mapping[str, object]:
    """What a user says of a storage, with `appliance` or `resource` as host, address and parameter.

    `resource` stands for the appliance that it runs now. Raises: InvalidValueError, NotFoundError, StateError.
    """
    given = {key: value for key, value in entry.items() if value is not None}
    chosen = [key for key in (APPLIANCE, "resource") if given.get(key)]
    if not chosen:
        return {key: value for key, value in entry.items() if key not in (APPLIANCE, "resource")}
    what = f"Storage {entry['name']}"
    others = [key for key in ("host", "address") if given.get(key)]
    if len(chosen) > 1 or others:
        raise InvalidValueError(
            f"{what} has {' and '.join([*chosen, *others])}.",
            remedy="Give host and address of a server of your own, or an appliance, or the resource that runs it.",
        )
    name = check_name(f"{what}: {chosen[0]}", given.pop(chosen[0]))
    appliance = name if chosen == [APPLIANCE] else _run_by(reader, what, name)
    addresses = _addresses(reader, [_single(reader, what, appliance)])
    if appliance not in addresses:
        raise StateError(f"{what}: its appliance {appliance} does not run.", remedy="Start the appliance first.")
    parameters = given.get("parameters") or {}
    if not isinstance(parameters, Mapping):
        return given
    return given | {
        "host": appliance,
        "address": addresses[appliance],
        "parameters": {**parameters, APPLIANCE: appliance},
    }


def refuse_serving(reader: Reader, names: Collection[str]) -> None:
    """Returns if no appliance that runs has its root on one of these appliances. Raises: InUseError."""
    served = {storage.name: appliance_of(storage) for storage in reader.storages() if appliance_of(storage) in names}
    images = [image.name for image in reader.images() if image.storage in served] if served else []
    rows = reader.assignments(images=images) if images else []
    if rows:
        storage = next(image.storage for image in reader.images([rows[0].image]))
        users = ", ".join(sorted({row.appliance for row in rows})[:5])
        raise InUseError(
            f"Appliance {served[storage]} is the server of storage {storage}, from which appliance {users} runs.",
            remedy="Stop what runs from it first.",
        )


def _single(reader: Reader, what: str, name: str) -> str:
    """The name of the appliance, which has one member. Raises: NotFoundError, InvalidValueError."""
    appliance = reader.appliance(name)
    if appliance.members != 1:
        raise InvalidValueError(
            f"{what}: appliance {name} has {appliance.members} members.", remedy="A storage server is one machine."
        )
    return name


def _run_by(reader: Reader, what: str, resource: str) -> str:
    """The appliance that a resource runs. Raises: NotFoundError, StateError."""
    rows = reader.assignments(resources=[reader.resource(resource).name])
    if not rows:
        raise StateError(
            f"{what}: resource {resource} runs no appliance.",
            remedy="Start the appliance that is to be the storage server on it, or give host and address.",
        )
    return rows[0].appliance


def _addresses(reader: Reader, appliances: list[str]) -> dict[str, str]:
    """Where nodes reach the appliances that run: on the storage network, else on the management network."""
    rows = {row.resource: row.appliance for row in reader.assignments(appliances=appliances)}
    return {rows[r.name]: _address(r) for r in reader.resources(sorted(rows))} if rows else {}


def _address(resource: Resource) -> str:
    storage = [nic.address.partition("/")[0] for nic in resource.nics if nic.role == "storage" and nic.address]
    return storage[0] if storage else resource.address
