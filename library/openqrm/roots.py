"""How the members of an appliance have their root, and what its parameters say about that. Pure rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from openqrm.errors import InvalidValueError
from openqrm.names import check_name, check_path, check_size_mib

READ_WRITE, OVERLAY, PRIVATE = "read-write", "overlay", "private"
ROOT_MODES = (READ_WRITE, OVERLAY, PRIVATE)
OVERLAY_SIZE, DIRECTORIES, EXCLUDES = "overlay_size_mib", "private_directories", "private_excludes"
# What a system mounts itself, or has in memory anyway.
VIRTUAL = ("/dev", "/proc", "/run", "/sys")


@dataclass(frozen=True)
class RootSettings:
    """What a root mode needs to know. `overlay_size_mib` bounds what a member may change in memory (0: half of it);
    `directories` are private to a member and persist, `excludes` are paths in them that stay those of the image."""

    overlay_size_mib: int = 0
    directories: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()


def is_shared(root_mode: str) -> bool:
    """Whether members boot the image itself, which none of them may change."""
    return root_mode != READ_WRITE


def root_settings(what: str, root_mode: str, parameters: Mapping[str, object]) -> RootSettings:
    """The settings of an appliance's root, read from its parameters. `what` names the appliance in messages.

    Raises: InvalidValueError for values that are not valid, and for settings that the mode does not have.
    """
    _check_known(what, root_mode, parameters)
    size = parameters.get(OVERLAY_SIZE)
    directories = [_private_directory(what, path) for path in _listed(what, DIRECTORIES, parameters)]
    if root_mode == PRIVATE and not directories:
        raise InvalidValueError(
            f"{what} has root mode private, but no private directory.",
            remedy=f"Give {DIRECTORIES}, as [/var/log], or use root mode overlay.",
        )
    excludes = [_path(f"{what}: {EXCLUDES}", path) for path in _listed(what, EXCLUDES, parameters)]
    _check_apart(f"{what}: {DIRECTORIES}", directories)
    _check_apart(f"{what}: {EXCLUDES}", excludes)
    for path in excludes:
        if not any(_is_below(path, directory) for directory in directories):
            raise InvalidValueError(
                f"{what}: {EXCLUDES} {path} is in no private directory.",
                remedy=f"Everything outside of {', '.join(directories)} is common already; leave it out.",
            )
    checked = check_size_mib(f"{what}: {OVERLAY_SIZE}", size) if size is not None else 0
    return RootSettings(checked, tuple(sorted(directories)), tuple(sorted(excludes)))


def private_volume(appliance: str, member: int) -> str:
    """The name of the volume with a member's private directories. Raises: InvalidValueError where it is too long."""
    return check_name("Volume", f"{appliance}-{member}-private")


def _check_known(what: str, root_mode: str, parameters: Mapping[str, object]) -> None:
    known = {READ_WRITE: (), OVERLAY: (OVERLAY_SIZE,), PRIVATE: (OVERLAY_SIZE, DIRECTORIES, EXCLUDES)}[root_mode]
    for key in (OVERLAY_SIZE, DIRECTORIES, EXCLUDES):
        if key in parameters and key not in known:
            raise InvalidValueError(
                f"{what} has {key}, which root mode {root_mode} does not have.",
                remedy="Take it away, or change the root mode.",
            )


def _listed(what: str, key: str, parameters: Mapping[str, object]) -> Sequence[object]:
    value = parameters.get(key, [])
    if not isinstance(value, (list, tuple)):
        raise InvalidValueError(f"{what}: {key} {value!r} is not a list.", remedy="Give a list of absolute paths.")
    return value


def _path(what: str, value: object) -> str:
    path = check_path(what, value)
    if "." in path.split("/"):
        raise InvalidValueError(f"{what} {path!r} is not valid.", remedy="Leave out '.'.")
    return path


def _private_directory(what: str, value: object) -> str:
    path = _path(f"{what}: {DIRECTORIES}", value)
    if path == "/":
        raise InvalidValueError(
            f"{what}: {DIRECTORIES}: / cannot be private.",
            remedy="Name directories below it, or use root mode read-write: each member gets a clone of the image.",
        )
    if any(path == root or _is_below(path, root) for root in VIRTUAL):
        raise InvalidValueError(
            f"{what}: {DIRECTORIES}: {path} cannot be private.",
            remedy=f"{', '.join(VIRTUAL)} are of each running system; leave it out.",
        )
    return path


def _check_apart(what: str, paths: Sequence[str]) -> None:
    for path in paths:
        if list(paths).count(path) > 1:
            raise InvalidValueError(f"{what}: {path} is given twice.", remedy="Give each path once.")
        for other in paths:
            if _is_below(path, other):
                raise InvalidValueError(f"{what}: {path} is in {other}.", remedy=f"Leave out {path}.")


def _is_below(path: str, directory: str) -> bool:
    return path.startswith(f"{directory}/")
