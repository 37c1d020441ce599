"""Which object stands in the way of a change that the store refused, as an error that says so."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Any

from openqrm.errors import ConflictError, InUseError, NotFoundError, OpenqrmError
from openqrm.model import Resource
from openqrm.store.kinds import Kind, Object, full_name, reference
from openqrm.store.reader import Reader

TAKE_ONE = "Take it from the one or the other."
AssignmentRow = tuple[str, int, str, str, int]
Place = tuple[object, ...]


def refuse_twins(kind: str, values: Sequence[Object]) -> None:
    """Returns if no two of the objects have one name, MAC or storage address. Raises: ConflictError."""
    names: set[str] = set()
    holders: dict[str, str] = {}
    for value in values:
        name = full_name(value)
        if name in names:
            raise ConflictError(f"{kind.capitalize()} {name} is given twice.", remedy="Give it once.")
        names.add(name)
        for label, taken in _claims(value):
            if taken in holders:
                message = f"Resource {name}: {label} {taken} is given to resource {holders[taken]} too."
                raise ConflictError(message, remedy=TAKE_ONE)
            holders[taken] = name


def refused_save(reader: Reader, kind: Kind[Any], values: Sequence[Object]) -> OpenqrmError | None:
    """The error for objects that could not be saved."""
    return _taken_name(reader, kind.name, values) or _taken_nic(reader, values) or _missing(reader, kind, values)


def _taken_name(reader: Reader, kind: str, values: Sequence[Object]) -> OpenqrmError | None:
    holders = {full_name(holder): holder.id for holder in reader.named(kind, map(full_name, values))}
    for value in values:
        if holders.get(full_name(value), value.id) != value.id:
            message = f"{kind.capitalize()} {full_name(value)} exists already."
            return ConflictError(message, remedy="Choose another name.")
    return None


def _taken_nic(reader: Reader, values: Sequence[Object]) -> OpenqrmError | None:
    claims = [(value, label, taken) for value in values for label, taken in _claims(value)]
    taken = [claim[2] for claim in claims]
    found = [*reader.resources(macs=taken), *reader.resources(storage_addresses=taken)]
    holders = {claim: holder for holder in found for _, claim in _claims(holder)}
    for value, label, claim in claims:
        holder = holders.get(claim)
        if holder is not None and holder.id != value.id:
            message = f"Resource {value.name}: {label} {claim} belongs to resource {holder.name}."
            return ConflictError(message, remedy=TAKE_ONE)
    return None


def _claims(value: Object) -> list[tuple[str, str]]:
    """What only one resource may have, as (what it is, its value)."""
    nics = value.nics if isinstance(value, Resource) else ()
    addresses = [("storage address", nic.address) for nic in nics if nic.role == "storage" and nic.address]
    return [("MAC", nic.mac) for nic in nics] + addresses


def _missing(reader: Reader, kind: Kind[Any], values: Sequence[Object]) -> OpenqrmError | None:
    for field, target in kind.refers.items():
        if missing := missing_object(reader, target, [reference(value, field) for value in values]):
            return missing
    return None


def missing_object(reader: Reader, kind: str, full_names: Sequence[str]) -> OpenqrmError | None:
    """The error for the first of the objects that does not exist, else None."""
    missing = sorted(set(full_names) - {full_name(found) for found in reader.named(kind, full_names)})
    return NotFoundError(kind, missing[0], reader.names(kind)) if missing else None


def refused_removal(reader: Reader, kind: str, full_names: Sequence[str]) -> OpenqrmError | None:
    """The error for objects that something uses, else None."""
    for name in full_names:
        if users := reader.users(kind, name):
            others = f" and {len(users) - 3} more" if len(users) > 3 else ""
            return InUseError(
                f"{kind.capitalize()} {name} is used by {', '.join(users[:3])}{others}.",
                remedy="Stop or change what uses it first.",
            )
    return None


def refused_assignment(reader: Reader, rows: Sequence[AssignmentRow]) -> OpenqrmError | None:
    """The error for assignments, as (appliance, member, resource, image, plan), that could not be made."""
    for position, kind in ((0, "appliance"), (2, "resource"), (3, "image")):
        if missing := missing_object(reader, kind, [str(row[position]) for row in rows]):
            return missing
    held = reader.assignments(appliances={row[0] for row in rows})
    held += reader.assignments(resources={row[2] for row in rows})
    held += reader.assignments(images={row[3] for row in rows})
    shared = {image.name for image in reader.images({row[3] for row in rows}) if image.shared}
    holders: dict[Place, str] = {}
    for current in held:
        row = (current.appliance, current.member, current.resource, current.image, current.plan)
        holders |= dict.fromkeys(_places(row, shared), _member(row))
    return _taken_place(rows, shared, holders)


def _taken_place(rows: Sequence[AssignmentRow], shared: Set[str], holders: dict[Place, str]) -> OpenqrmError | None:
    for row in rows:
        for place in _places(row, shared):
            if place in holders:
                what = f"{place[0]} {' '.join(map(str, place[1:]))}"
                return ConflictError(
                    f"{_member(row)} cannot be assigned: {what} is in use by {holders[place]}.",
                    remedy="Stop that member first, or choose another one.",
                )
            holders[place] = _member(row)
    return None


def _places(row: AssignmentRow, shared: Set[str]) -> list[Place]:
    """What only one assignment may have."""
    appliance, member, resource, image, _ = row
    places: list[Place] = [("resource", resource), ("appliance", appliance, "member", member)]
    return places if image in shared else [*places, ("image", image)]


def _member(row: AssignmentRow) -> str:
    return f"{row[0]} member {row[1]}"
