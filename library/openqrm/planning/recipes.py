"""What a recipe of an image may say, as the module image_build takes it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from openqrm.errors import InvalidValueError
from openqrm.names import check_name, check_package

KEYS = ("suite", "variant", "release", "repositories", "packages", "files")
OF_DEBIAN = ("suite", "variant")
REPOSITORY_KEYS = ("name", "url", "gpgkey", "unsigned")
FILE_KEYS = ("path", "content", "mode")
VARIANTS = ("minbase", "apt", "important", "standard")
FILE = re.compile(r"(/[A-Za-z0-9._@+-]+)+")
RPM = re.compile(r"@?[A-Za-z0-9][A-Za-z0-9.+_~-]{0,127}")
RELEASE = re.compile(r"[0-9][0-9A-Za-z.]{0,15}")
REPOSITORY_URL = re.compile(r"(?:https?|file)://[A-Za-z0-9._~:/$+-]+")
MODE = re.compile(r"0?[0-7]{3}")


def check_recipe(what: str, recipe: object) -> dict[str, object]:
    """The recipe, if it is one. Raises: InvalidValueError naming what is wrong in it."""
    if not isinstance(recipe, Mapping):
        raise InvalidValueError(f"{what} is not a mapping.", remedy=f"Give {', '.join(KEYS)}.")
    _known(what, recipe, KEYS)
    if "suite" in recipe:
        check_package(f"{what}: suite", recipe["suite"])
    if recipe.get("variant", VARIANTS[0]) not in VARIANTS:
        raise InvalidValueError(
            f"{what}: variant {recipe['variant']!r} is not known.", remedy=f"Use one of {', '.join(VARIANTS)}."
        )
    if "repositories" in recipe:
        _check_el(what, recipe)
    for package in _listed(what, recipe, "packages") if "repositories" not in recipe else ():
        check_package(f"{what}: package", package)
    for entry in _listed(what, recipe, "files"):
        _check_file(what, entry)
    return dict(recipe)


def _known(what: str, given: Mapping[object, object], known: tuple[str, ...]) -> None:
    unknown = sorted(repr(key) for key in given if key not in known)
    if unknown:
        raise InvalidValueError(f"{what}: {unknown[0]} is not known.", remedy=f"Known: {', '.join(known)}.")


def _listed(what: str, recipe: Mapping[object, object], key: str) -> list[object]:
    value = recipe.get(key, [])
    if not isinstance(value, list):
        raise InvalidValueError(f"{what}: {key} {value!r} is not a list.", remedy="Give a list.")
    return value


def _check_el(what: str, recipe: Mapping[object, object]) -> None:
    """What dnf builds: a release, repositories with their keys, and packages. Raises: InvalidValueError."""
    for key in OF_DEBIAN:
        if key in recipe:
            raise InvalidValueError(f"{what}: {key} goes with Debian, not with repositories.", remedy="Leave it out.")
    _matching(f"{what}: release", RELEASE, recipe.get("release"), "Give it in quotes, as '9'.")
    for package in _listed(what, recipe, "packages"):
        _matching(f"{what}: package", RPM, package, "Use letters, digits and '.+_~-', @ before a group.")
    for entry in _listed(what, recipe, "repositories"):
        if not isinstance(entry, Mapping):
            raise InvalidValueError(
                f"{what}: repository {entry!r} is not a mapping.", remedy=f"Give {', '.join(REPOSITORY_KEYS)}."
            )
        _known(f"{what}: repository", entry, REPOSITORY_KEYS)
        name = check_name(f"{what}: repository", entry.get("name"))
        for key in ("url", *(["gpgkey"] if entry.get("gpgkey") else [])):
            rule = "Use http://, https:// or file:// and plain characters."
            _matching(f"{what}: repository {name}: {key}", REPOSITORY_URL, entry.get(key), rule)
        if bool(entry.get("gpgkey")) == bool(entry.get("unsigned")):
            raise InvalidValueError(
                f"{what}: repository {name}: it is not said how its packages are checked.",
                remedy="Give the URL of its key as gpgkey, or unsigned: true to take them without signatures.",
            )


def _matching(what: str, pattern: re.Pattern[str], value: object, rule: str) -> None:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise InvalidValueError(f"{what} {value!r} is not valid.", remedy=rule)


def _check_file(what: str, entry: object) -> None:
    if not isinstance(entry, Mapping):
        raise InvalidValueError(f"{what}: file {entry!r} is not a mapping.", remedy=f"Give {', '.join(FILE_KEYS)}.")
    _known(f"{what}: file", entry, FILE_KEYS)
    path, mode = entry.get("path"), entry.get("mode", "0644")
    if not isinstance(path, str) or not FILE.fullmatch(path) or ".." in path.split("/"):
        raise InvalidValueError(f"{what}: file path {path!r} is not valid.", remedy="Use an absolute plain path.")
    if not isinstance(mode, str) or not MODE.fullmatch(mode):
        raise InvalidValueError(f"{what}: mode {mode!r} of {path} is not valid.", remedy="Use octal in quotes: '0644'.")
    if not isinstance(entry.get("content"), str):
        raise InvalidValueError(f"{what}: content of {path} is no text.", remedy="Give the text of the file.")
