"""Writes the skeleton of a role that is a type of a family, and that passes the family's contract test as it is."""

from __future__ import annotations

import re
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from openqrm.contracts import LISTS, OBJECTS, Listing
from openqrm.errors import ConflictError, InvalidValueError
from openqrm.paths import COLLECTION
from openqrm.types import FAMILIES, VERBS

NAME = re.compile(r"[a-z][a-z0-9_]{0,30}")
AUTHOR = "your name"
HOOKS = ("appliance_start", "appliance_stop")
"""The hooks of a new plug-in."""

_TEMPLATES = Path(__file__).with_name("skeleton")
_TYPES = {"size_mib": "int", "memory_mib": "int", "cores": "int", "member": "int", "epoch": "int", "number": "int"} | {
    "client": "dict",
    "macs": "list",
    "read_only": "bool",
}
_REQUIRED = {
    "storage_locations": "location",
    "storage_volumes": "name",
    "deployment_grants": "path",
    "power_endpoints": "name",
    "hypervisor_vms": "name",
    "service_entries": "name",
    "plugin_objects": "name",
}
_FILES = {
    "README.md": "README.md.j2",
    "defaults/main.yml": "defaults_main.yml.j2",
    "meta/main.yml": "meta_main.yml.j2",
    "meta/openqrm.yml": "meta_openqrm.yml.j2",
    "meta/argument_specs.yml": "argument_specs.yml.j2",
    "tasks/main.yml": "tasks_main.yml.j2",
}


def write_skeleton(name: str, family: str, target_dir: Path, collection: str = COLLECTION) -> list[Path]:
    """Writes the role `<family>_<name>` into the directory `target_dir`, `roles` of the collection; returns its files.

    Raises: InvalidValueError for an unknown family or a name that no role can have; ConflictError where the role is.
    """
    if family not in FAMILIES:
        raise InvalidValueError(f"Family {family!r} does not exist.", remedy=f"Known families: {', '.join(FAMILIES)}.")
    if not NAME.fullmatch(name):
        raise InvalidValueError(
            f"Type {name!r}: not a name of a role.", remedy="Use up to 31 of a-z, 0-9 and _, a letter first."
        )
    role = target_dir / f"{family}_{name}"
    if role.exists():
        raise ConflictError(f"Role {role} exists already.", remedy="Choose another name or directory.")
    return [_write(role / path, text) for path, text in _texts(name, family, collection).items()]


def _texts(name: str, family: str, collection: str) -> dict[str, str]:
    # It writes YAML and Markdown, from names that were checked: there is nothing to escape.
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), trim_blocks=True, keep_trailing_newline=True, undefined=StrictUndefined
    )
    words = _words(name, family, collection)
    files = dict(_FILES)
    if family == "deployment":
        files["files/root-mount.sh"] = "root-mount.sh.j2"
    texts = {path: environment.get_template(template).render(words) for path, template in files.items()}
    verb_template = environment.get_template("tasks_verb.yml.j2")
    for verb in _verbs(family):
        listing = _lists(family)[verb]
        texts[f"tasks/{verb}.yml"] = verb_template.render(words | {"verb": verb, "listing": listing})
    return texts


def _words(name: str, family: str, collection: str) -> dict[str, object]:
    verbs = _verbs(family)
    first = "prepare" if "prepare" in verbs else "status" if family == "power" else verbs[0]
    return {
        "name": name,
        "family": family,
        "role": f"{family}_{name}",
        "fqcn": f"{collection}.{family}_{name}",
        "title": f"{family.capitalize()} type {name}",
        "author": AUTHOR,
        "verbs": verbs,
        "first": first,
        "lists": _lists(family) | {"main": _lists(family)[first]},
        "types": _TYPES,
        "required": _REQUIRED,
    }


def _verbs(family: str) -> list[str]:
    return list(HOOKS if family == "plugin" else VERBS[family])


def _lists(family: str) -> dict[str, Listing | None]:
    return {verb: OBJECTS if family == "plugin" else LISTS[family].get(verb) for verb in _verbs(family)}


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path
