"""What differs between the objects that a user describes and those that are there. Pure: nothing is read or written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from openqrm.desired import fields
from openqrm.desired.fields import Entry, Object, Read
from openqrm.desired.views import View, chosen
from openqrm.errors import InvalidValueError
from openqrm.model import Appliance, Image, Kernel, Resource, Storage
from openqrm.names import check_mac, check_name


@dataclass(frozen=True)
class Kind:
    """One kind of object: its fields, those without which it cannot be made, and what it is before any is given."""

    name: str
    fields: Mapping[str, Read]
    required: tuple[str, ...]
    blank: Object
    switches: tuple[str, ...] = ()

    @property
    def options(self) -> tuple[str, ...]:
        """All keys of an entry."""
        return ("name", *self.fields, *self.switches)


KINDS = {
    kind.name: kind
    for kind in (
        Kind("resource", fields.RESOURCE, (), Resource(0, ""), ("macs", "purge_nics")),
        Kind(
            "kernel",
            fields.KERNEL,
            ("version", "vmlinuz", "initramfs", "modules"),
            Kernel(0, "", "", "x86_64", "", "", ""),
            ("default",),
        ),
        Kind(
            "storage",
            fields.STORAGE,
            ("type", "host", "location", "address"),
            Storage(0, "", "", "", "", ""),
            ("appliance", "resource"),
        ),
        Kind("image", fields.IMAGE, ("storage", "volume", "deployment"), Image(0, "", "", "", "")),
        Kind("appliance", fields.APPLIANCE, ("image",), Appliance(0, "", "", "")),
    )
}


@dataclass(frozen=True)
class Change:
    """One object as found and as wanted (None: it does not exist). `default`: it becomes the default kernel."""

    kind: str
    name: str
    before: Object | None
    after: Object | None
    default: bool = False

    @property
    def changed(self) -> bool:
        """Whether there is a difference."""
        return self.before != self.after or self.default

    def difference(self) -> tuple[View | None, View | None]:
        """Before and after as a user sees them."""
        known = KINDS[self.kind].fields
        before, after = (chosen(item, known) if item else None for item in (self.before, self.after))
        if self.default:
            before = before and before | {"default": False}
            after = after and after | {"default": True}
        return before, after


def label(kind: str, name: str) -> str:
    """How messages name an object: `Resource node1`."""
    return f"{kind.capitalize()} {name}"


def names_of(kind: str, entries: Sequence[object]) -> list[str]:
    """The names of the entries, each a mapping with a valid name that occurs once. Raises: InvalidValueError."""
    for number, entry in enumerate(entries, start=1):
        if not isinstance(entry, Mapping) or "name" not in entry:
            what = f"{kind.capitalize()} number {number} of the list"
            raise InvalidValueError(f"{what} has no name: {entry!r}.", remedy="Give its name.")
    names = [check_name(kind.capitalize(), entry["name"]) for entry in entries if isinstance(entry, Mapping)]
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        what = label(kind, ", ".join(twice))
        raise InvalidValueError(f"{what} is in the list twice.", remedy="Describe each object once.")
    return names


def compare(
    kind: Kind, entries: Iterable[Entry], existing: Mapping[str, Object], default: object = None
) -> list[Change]:
    """One change per entry; an object that is as described is in it unchanged. `default`: the default kernel's name.

    Keys that are absent or None leave the object's field as it is, or at its default where it is new.
    Raises: InvalidValueError naming object, value and remedy.
    """
    return [_change(kind, entry, existing.get(str(entry["name"])), default) for entry in entries]


def _change(kind: Kind, entry: Entry, before: Object | None, default: object) -> Change:
    name = str(entry["name"])
    what = label(kind.name, name)
    given = _given(kind, what, entry)
    missing = [key for key in kind.required if key not in given] if before is None else []
    if missing:
        remedy = "Give them, or correct the name."
        raise InvalidValueError(f"{what} is new and has no {', '.join(missing)}.", remedy=remedy)
    base = before or _new(kind, name, default)
    wanted = [key for key in given if key in kind.fields]
    values = {key: kind.fields[key](f"{what}: {key}", given[key], getattr(base, key)) for key in wanted}
    after = _purged(what, given, replace(base, **values))
    return Change(kind.name, name, before, after, _becomes_default(what, given, default, name))


def _given(kind: Kind, what: str, entry: Entry) -> dict[str, object]:
    """The options that have a value, all of them known."""
    known = fields.known_keys(what, entry, dict.fromkeys(kind.options))
    return _with_switches(what, {key: value for key, value in known.items() if value is not None})


def _new(kind: Kind, name: str, default: object) -> Object:
    """The object before any field is given; an appliance has the default kernel, if there is one."""
    blank = replace(kind.blank, name=name)
    return replace(blank, kernel=default) if isinstance(blank, Appliance) and isinstance(default, str) else blank


def _with_switches(what: str, given: dict[str, object]) -> dict[str, object]:
    """`macs` is the short form of `nics`."""
    if "macs" not in given:
        return given
    if "nics" in given:
        raise InvalidValueError(f"{what} has both macs and nics.", remedy="Give one of them.")
    macs = fields.listed(f"{what}: macs", given["macs"])
    return given | {"nics": [{"mac": mac} for mac in macs]}


def _purged(what: str, given: Mapping[str, object], after: Object) -> Object:
    """`after` without the NICs that were not given, where that is wanted."""
    purge = fields.boolean(f"{what}: purge_nics", given.get("purge_nics", False))
    if not isinstance(after, Resource) or not purge:
        return after
    if "nics" not in given:
        remedy = "Give the NICs that it is to keep."
        raise InvalidValueError(f"{what} has purge_nics, but no macs or nics.", remedy=remedy)
    keep = {check_mac(entry["mac"]) for entry in fields.listed(what, given["nics"]) if isinstance(entry, Mapping)}
    return replace(after, nics=tuple(nic for nic in after.nics if nic.mac in keep))


def _becomes_default(what: str, given: Mapping[str, object], default: object, name: str) -> bool:
    if "default" not in given:
        return False
    wanted = fields.boolean(f"{what}: default", given["default"])
    if not wanted and default == name:
        raise InvalidValueError(f"{what} is the default kernel.", remedy="Make another kernel the default instead.")
    return wanted and default != name
