"""The types of the families: found by reading `roles/*/meta/openqrm.yml` of this and of configured collections."""

from __future__ import annotations

import difflib
import re
import string
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from openqrm.errors import ConfigError, NotFoundError
from openqrm.model import LOCAL, SAN
from openqrm.paths import COLLECTION, collection_root

FAMILIES = ("storage", "deployment", "hypervisor", "power", "service", "plugin")
VERBS: Mapping[str, tuple[str, ...]] = {
    "storage": ("prepare", "volume_create", "volume_remove", "volume_list", "space"),
    "deployment": ("prepare", "authorize", "revoke", "grants_list"),
    "hypervisor": ("prepare", "vm_create", "vm_remove", "vm_start", "vm_stop", "vm_reboot", "vm_list"),
    "power": ("on", "off", "reset", "status", "boot_device"),
    "service": ("prepare", "present", "absent"),
    "plugin": (),
}
"""The verbs that every type of a family has. A storage type has one more for each of its capabilities."""

HOOKS = (
    "appliance_add", "appliance_start", "appliance_stop", "appliance_remove", "resource_add", "resource_remove",
    "kernel_add", "assign", "monitor", "ha", "billing",
)  # fmt: skip
MANIFEST_PLACEHOLDERS = frozenset({
    "storage_address", "storage_addresses", "volume_path", "volume", "location", "target", "aoe_shelf", "aoe_slot",
    "client_address", "client_iqn", "client_nqn", "client_mac", "appliance", "member", "root_device",
})  # fmt: skip

_KEYS = {
    "storage": ("presents", "capabilities", "volume_path"),
    "deployment": ("needs", "boot_mode", "hook", "manifest", "secret"),
    "hypervisor": (),
    "power": ("read_back", "boot_device"),
    "service": (),
    "plugin": ("hooks", "after", "host", "boot_services"),
}
_REQUIRED = {
    "storage": ("presents", "volume_path"),
    "deployment": ("needs", "boot_mode"),
    "power": ("read_back",),
    "plugin": ("hooks",),
}
_CHOICES = {
    "presents": ("filesystem", "block"),
    "needs": ("filesystem", "block", "nothing"),
    "boot_mode": ("network_root", SAN, LOCAL, "memory"),
    "capabilities": ("clone", "snapshot", "resize"),
    "hooks": HOOKS,
}
_PLACEHOLDERS = {
    "volume_path": frozenset({"location", "volume"}),
    "manifest": MANIFEST_PLACEHOLDERS,
    "host": frozenset({"controller", "boot_host", "dhcp_host"}),
}
_SHAPES: Mapping[str, type | tuple[type, ...]] = {
    "presents": (str, list),
    "volume_path": (str, dict),
    "secret": bool,
    "read_back": bool,
    "boot_device": bool,
    "capabilities": list,
    "hooks": list,
    "after": list,
    "boot_services": list,
    "manifest": dict,
}


class UnknownTypeError(NotFoundError):
    """No role provides the type; the remedy lists the known ones and the closest."""

    def __init__(self, family: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        super().__init__(f"{family.capitalize()} type", name, names)
        close = difflib.get_close_matches(name, names, n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        self.remedy = f"Known {family} types: {', '.join(names) or 'none'}.{hint}"


@dataclass(frozen=True)
class TypeInfo:
    """What a role declares about itself. Fields that its family does not have keep their defaults."""

    family: str
    name: str
    role: str  # with its collection, as openqrm.datacenter.storage_directory
    path: Path  # the role's directory
    description: str
    presents: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    # Of each that it presents, with the placeholders {location} and {volume}.
    volume_path: Mapping[str, str] = field(default_factory=dict)
    needs: str = ""
    boot_mode: str = ""
    hook: Path | None = None  # the file that nodes run in the initramfs
    manifest: Mapping[str, str] = field(default_factory=dict)
    secret: bool = False  # whether nodes prove by a secret that a grant is theirs
    read_back: bool = False
    boot_device: bool = False
    hooks: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    host: str = ""
    boot_services: tuple[str, ...] = ()  # each the file files/<name>.sh, which deployed systems run

    @property
    def verbs(self) -> tuple[str, ...]:
        """The task files that the role has: its family's verbs, its capabilities, its hooks."""
        return (*VERBS[self.family], *(f"volume_{capability}" for capability in self.capabilities), *self.hooks)

    def presents_for(self, needs: str) -> str:
        """What a volume of this storage type is for a deployment that `needs` it, empty where it cannot be that."""
        return needs if needs in self.presents else self.presents[0] if needs == "nothing" else ""


@dataclass(frozen=True)
class TypeRegistry:
    """All types, by family and name."""

    types: Mapping[tuple[str, str], TypeInfo]

    @classmethod
    def load(cls, collections: Sequence[str]) -> TypeRegistry:
        """The types of this collection and of the further `collections`.

        Raises: ConfigError, naming file and key, where metadata is wrong or two roles provide the same type;
        NotFoundError where a collection is not installed.
        """
        types: dict[tuple[str, str], TypeInfo] = {}
        for collection in dict.fromkeys((COLLECTION, *collections)):
            for info in _collection_types(collection):
                other = types.setdefault((info.family, info.name), info)
                if other is not info:
                    raise ConfigError(
                        f"{other.role} and {info.role} both provide the {info.family} type {info.name}.",
                        remedy="Rename one of them, or leave its collection out of `collections`.",
                    )
        return cls(types)

    def get(self, family: str, name: str) -> TypeInfo:
        """The type of this family and name. Raises: UnknownTypeError listing the known ones."""
        try:
            return self.types[family, name]
        except KeyError:
            raise UnknownTypeError(family, name, (info.name for info in self.family(family))) from None

    def family(self, name: str) -> list[TypeInfo]:
        """The types of a family, by name."""
        return sorted((info for info in self.types.values() if info.family == name), key=lambda info: info.name)


def _collection_types(collection: str) -> Iterable[TypeInfo]:
    for path in sorted(collection_root(collection).glob("roles/*/meta/openqrm.yml")):
        yield read_type(path, collection)


def read_type(path: Path, collection: str = COLLECTION) -> TypeInfo:
    """The type that the file `meta/openqrm.yml` of a role declares. Raises: ConfigError naming file and key."""
    role = path.parent.parent
    data = _checked(path, _parsed(path))
    hook = data.pop("hook", "")
    if data["family"] == "storage":
        _spread(path, data)
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}
    return TypeInfo(
        name=values.pop("type"),
        role=f"{collection}.{role.name}",
        path=role,
        hook=role / "files" / hook if hook else None,
        **values,
    )


def _spread(path: Path, data: dict[str, Any]) -> None:
    """Has `presents` be a list, and `volume_path` say where a volume of each kind is."""
    if isinstance(data["presents"], str):
        data["presents"] = [data["presents"]]
    if isinstance(data["volume_path"], str):
        data["volume_path"] = dict.fromkeys(data["presents"], data["volume_path"])
    if not data["presents"] or {*data["presents"]} != data["volume_path"].keys():
        raise _wrong(path, "volume_path", f"is not one for each of presents, {', '.join(data['presents']) or 'none'}")


def _parsed(path: Path) -> dict[str, Any]:
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: is not a mapping of keys to values.", remedy="See docs/contracts.md, Types.")
    return data


def _checked(path: Path, data: dict[str, Any]) -> dict[str, Any]:
    family = data.get("family")
    if family not in FAMILIES:
        raise _wrong(path, "family", f"is {family!r}, not one of {', '.join(FAMILIES)}")
    known = ("family", "type", "description", *_KEYS[family])
    for key in data:
        if key not in known:
            raise _wrong(path, str(key), f"is not known for family {family}; known: {', '.join(known)}")
    for key in ("type", "description", *_REQUIRED.get(family, ())):
        if key not in data:
            raise _wrong(path, key, f"is missing; family {family} needs it")
    for key, value in data.items():
        _check_value(path, key, value)
    if data.get("boot_mode") == SAN and "uri" not in data.get("manifest", {}):
        raise _wrong(path, "manifest", "has no uri, which boot mode san needs")
    expected = f"{family}_{data['type']}"
    if path.parent.parent.name != expected:
        raise _wrong(path, "type", f"is {data['type']}, so the role must be named {expected}")
    return data


def _check_value(path: Path, key: str, value: Any) -> None:
    shape = _SHAPES.get(key, str)
    if not isinstance(value, shape):
        shapes = shape if isinstance(shape, tuple) else (shape,)
        raise _wrong(path, key, f"is {value!r}, not a {' or '.join(each.__name__ for each in shapes)}")
    words: list[Any] = (
        [*value.values()] if isinstance(value, dict) else [*value] if isinstance(value, list) else [value]
    )
    if shape is not bool and not all(isinstance(word, str) for word in words):
        raise _wrong(path, key, "holds a value that is not text")
    for word in words if key in _CHOICES else ():
        if word not in _CHOICES[key]:
            raise _wrong(path, key, f"has {word!r}, not one of {', '.join(_CHOICES[key])}")
    for word in words if key in _PLACEHOLDERS else ():
        _check_placeholders(path, key, word)
    for word in words if key == "boot_services" else ():
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,31}", word):
            raise _wrong(path, key, f"has {word!r}, not a name of a-z, 0-9 and '_'")
    if key == "hook" and Path(str(value)).name != value:
        raise _wrong(path, key, f"is {value!r}, not the name of a file below files/")


def _check_placeholders(path: Path, key: str, text: str) -> None:
    try:
        used = {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}
    except ValueError as error:
        raise _wrong(path, key, f"is {text!r}: {error}") from error
    if unknown := used - _PLACEHOLDERS[key]:
        allowed = ", ".join(sorted(_PLACEHOLDERS[key]))
        raise _wrong(path, key, f"has the unknown placeholder {{{sorted(unknown)[0]}}}; known: {allowed}")


def _wrong(path: Path, key: str, what: str) -> ConfigError:
    return ConfigError(f"{path}: key {key} {what}.", remedy="See docs/contracts.md, Types.")
