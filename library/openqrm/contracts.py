"""What a role must have to be a type of its family: the checks behind the contract tests, for any collection."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from openqrm.types import TypeInfo


@dataclass(frozen=True)
class Listing:
    """The list that a verb takes: its variable and the keys of an item that callers give."""

    variable: str
    keys: tuple[str, ...]


VOLUMES = "storage_volumes"
_LOCATIONS = Listing("storage_locations", ("location",))
_GRANTS = Listing("deployment_grants", ("volume", "path", "target", "number", "client", "read_only", "epoch"))
_ENDPOINTS = Listing("power_endpoints", ("name", "address", "system"))
_VMS = Listing("hypervisor_vms", ("name", "cores", "memory_mib", "macs"))
_ENTRIES = Listing("service_entries", ("name",))
OBJECTS = Listing("plugin_objects", ("kind", "name", "member", "address", "resource", "appliance", "epoch"))


def _volumes(*keys: str) -> Listing:
    return Listing(VOLUMES, ("name", "location", *keys))


LISTS: Mapping[str, Mapping[str, Listing]] = {
    "storage": {
        "prepare": _LOCATIONS,
        "volume_create": _volumes("size_mib", "archive"),
        "volume_clone": _volumes("source"),
        "volume_snapshot": _volumes("source"),
        "volume_resize": _volumes("size_mib"),
        "volume_remove": _volumes(),
        "volume_list": _LOCATIONS,
        "space": _LOCATIONS,
    },
    "deployment": {"authorize": _GRANTS, "revoke": _GRANTS},
    "hypervisor": dict.fromkeys(("vm_create", "vm_remove", "vm_start", "vm_stop", "vm_reboot"), _VMS),
    "power": dict.fromkeys(("on", "off", "reset", "status"), _ENDPOINTS)
    | {"boot_device": Listing("power_endpoints", (*_ENDPOINTS.keys, "device", "firmware"))},
    "service": {"present": _ENTRIES, "absent": _ENTRIES},
    "plugin": {},
}
"""The list of each verb; a verb that is not named here takes none. Hooks of plug-ins take plugin_objects."""

_PLAYBOOK = re.compile(r"```yaml\n(.*?)```", re.DOTALL)
_VARIABLES = {listing.variable for verbs in LISTS.values() for listing in verbs.values()} | {OBJECTS.variable}


def list_of(info: TypeInfo, verb: str) -> Listing | None:
    """The list that this verb of the type takes, None where it takes none."""
    listing = OBJECTS if verb in info.hooks else LISTS[info.family].get(verb)
    if listing and listing.variable == VOLUMES and len(info.presents) > 1:
        return replace(listing, keys=(*listing.keys, "presents"))
    return listing


def problems(info: TypeInfo) -> list[str]:
    """What keeps the role from being a type of its family: one sentence for each, empty where it is one."""
    checks = (_files, _tasks, _arguments, _defaults, _readme, _hook)
    found = list(_unreadable(info)) or [problem for check in checks for problem in check(info)]
    return [f"{info.role}: {problem}" for problem in found]


def _unreadable(info: TypeInfo) -> Iterator[str]:
    mappings = [info.path / name for name in ("defaults/main.yml", "meta/argument_specs.yml")]
    for path in (*mappings, *sorted(info.path.glob("tasks/*.yml"))):
        name = path.relative_to(info.path)
        try:
            data = _yaml(path)
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            yield f"{name} is not YAML: {' '.join(str(error).split())}."
            continue
        if path in mappings and not isinstance(data or {}, dict):
            yield f"{name} is not a mapping of keys to values."
        if path not in mappings and not (isinstance(data or [], list) and all(isinstance(t, dict) for t in data or [])):
            yield f"{name} is not a list of tasks."


def _files(info: TypeInfo) -> Iterator[str]:
    for name in ("README.md", "defaults/main.yml", "meta/main.yml", "meta/argument_specs.yml", "tasks/main.yml"):
        if not (info.path / name).is_file():
            yield f"{name} is missing."


def _tasks(info: TypeInfo) -> Iterator[str]:
    for verb in info.verbs:
        path = info.path / "tasks" / f"{verb}.yml"
        if not path.is_file():
            yield f"verb {verb}: tasks/{verb}.yml is missing."
        elif not _sets_result(info, _yaml(path)):
            yield f"verb {verb}: tasks/{verb}.yml does not set the fact {info.path.name}_result with changed and items."
    if "prepare" in info.verbs and "prepare.yml" not in _text(info.path / "tasks/main.yml"):
        yield "tasks/main.yml does not include prepare.yml."


def _sets_result(info: TypeInfo, tasks: Any) -> bool:
    fact = f"{info.path.name}_result"
    for task in tasks or []:
        if task.get("register") == fact:
            return True
        if fact in (result := task.get("ansible.builtin.set_fact") or {}):
            value = result[fact]
            return not isinstance(value, dict) or {"changed", "items"} <= value.keys()
        if any(_sets_result(info, task.get(key)) for key in ("block", "always")):
            return True
    return False


def _arguments(info: TypeInfo) -> Iterator[str]:
    specs = (_yaml(info.path / "meta/argument_specs.yml") or {}).get("argument_specs") or {}
    for verb in info.verbs:
        # YAML 1.1 reads on and off as booleans where they are not quoted.
        if not isinstance(spec := specs.get(verb), dict):
            yield f"verb {verb}: meta/argument_specs.yml has no entry point {verb!r}."
            continue
        options = spec.get("options") or {}
        yield from (f"verb {verb}: {problem}" for problem in _described(spec, options, ""))
        yield from (f"verb {verb}: {problem}" for problem in _listed(list_of(info, verb), options))


def _described(spec: Mapping[str, Any], options: Mapping[str, Any], path: str) -> Iterator[str]:
    if not path and not (spec.get("short_description") and spec.get("description")):
        yield "the entry point has no short_description or description."
    for name, option in options.items():
        if not option.get("description"):
            yield f"option {path}{name} has no description."
        yield from _described(option, option.get("options") or {}, f"{path}{name}.")


def _listed(listing: Listing | None, options: Mapping[str, Any]) -> Iterator[str]:
    wanted = {listing.variable} if listing else set()
    found = _VARIABLES & options.keys()
    if found != wanted:
        yield f"it takes the lists {sorted(found)}, its family's contract says {sorted(wanted)}."
    if listing is None or listing.variable not in options:
        return
    option = options[listing.variable]
    if option.get("type") != "list" or option.get("elements") != "dict" or not option.get("required"):
        yield f"{listing.variable} must be a required list of dict."
    items: Mapping[str, Any] = option.get("options") or {}
    for key in sorted(set(listing.keys) - items.keys()):
        yield f"items of {listing.variable} do not take the key {key}."
    extra = {key for key, item in items.items() if item.get("required")} - set(listing.keys)
    for key in sorted(extra) if listing is not _ENTRIES else ():
        yield f"items of {listing.variable} require the key {key}, which callers do not give."


def _defaults(info: TypeInfo) -> Iterator[str]:
    defaults = _yaml(info.path / "defaults/main.yml") or {}
    specs = (_yaml(info.path / "meta/argument_specs.yml") or {}).get("argument_specs") or {}
    documented = {name for spec in specs.values() for name in spec.get("options") or {}}
    for name in sorted(defaults.keys() - documented):
        yield f"the default {name} is not in meta/argument_specs.yml."
    for verb in (verb for verb in info.verbs if isinstance(specs.get(verb), dict)):
        for name, option in (specs[verb].get("options") or {}).items():
            if "default" in option and (name not in defaults or defaults[name] != option["default"]):
                yield f"verb {verb}: the default of {name} differs from defaults/main.yml."


def _readme(info: TypeInfo) -> Iterator[str]:
    text = _text(info.path / "README.md")
    if not any(_is_playbook(play) for play in _PLAYBOOK.findall(text)) or info.role not in text:
        yield f"README.md has no playbook that runs {info.role}."


def _is_playbook(text: str) -> bool:
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError:
        return False
    return isinstance(data, list) and all(isinstance(play, dict) and "hosts" in play for play in data)


def _hook(info: TypeInfo) -> Iterator[str]:
    if info.hook and not info.hook.is_file():
        yield f"files/{info.hook.name}, its hook for nodes, is missing."
    for name in info.boot_services:
        if not _text(info.path / "files" / f"{name}.sh").startswith("#!"):
            yield f"boot service {name}: files/{name}.sh is missing or does not begin with #!."


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _yaml(path: Path) -> Any:
    return yaml.safe_load(_text(path))


def all_problems(types: Iterable[TypeInfo]) -> list[str]:
    """The problems of all these types."""
    return [problem for info in types for problem in problems(info)]
