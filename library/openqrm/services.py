"""Boot services: programs of plug-ins that deployed systems run, and the scopes in which they do."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from openqrm.errors import InvalidValueError, NotFoundError
from openqrm.names import check_name
from openqrm.store import Reader, Writer
from openqrm.types import TypeInfo

KINDS = ("resource", "appliance", "image")
# The field of a plug-in's row that holds the scopes of its services: service -> list of scopes.
FIELD = "boot_services"


@dataclass(frozen=True)
class BootService:
    """A program that a plug-in brings: its `full_name` is `plug-in/service`."""

    plugin: str
    name: str
    program: Path

    @property
    def full_name(self) -> str:
        """As users name it: `backup/client`."""
        return f"{self.plugin}/{self.name}"

    @property
    def unit(self) -> str:
        """As files of a node are named after it: `backup-client`."""
        return f"{self.plugin}-{self.name}"


def services_of(plugins: Iterable[TypeInfo]) -> dict[str, BootService]:
    """The boot services of these plug-ins by full name."""
    found = [
        BootService(plugin.name, name, plugin.path / "files" / f"{name}.sh")
        for plugin in plugins
        for name in plugin.boot_services
    ]
    return {service.full_name: service for service in found}


def check_scope(value: object, known: Mapping[str, Collection[str]]) -> str:
    """The scope, if it is one: `resources`, `appliances` or `images` for all of a kind, or `<kind>:<name>` for one.

    `known` has the names of each kind. Raises: InvalidValueError, NotFoundError with the closest names.
    """
    kind, colon, name = str(value).partition(":")
    if not colon and kind in [f"{kind}s" for kind in KINDS]:
        return kind
    if not colon or kind not in KINDS:
        raise InvalidValueError(
            f"Scope {str(value)[:80]!r} is not valid.",
            remedy="Use resources, appliances or images for all of them, or one as resource:NAME, appliance:NAME, "
            "image:NAME.",
        )
    if check_name(kind.capitalize(), name) not in known[kind]:
        raise NotFoundError(kind.capitalize(), name, known[kind])
    return f"{kind}:{name}"


def is_in_scope(scopes: Iterable[str], resource: str, appliance: str, images: Collection[str]) -> bool:
    """Whether a service with these scopes runs where `resource` runs `appliance` from one of `images`.

    `images` are the member's image and the one that it is a clone of. Every member that runs has all three, so that a
    scope of all of a kind means every deployed system.
    """
    here = {"resources", "appliances", "images", f"resource:{resource}", f"appliance:{appliance}"}
    return bool(set(scopes) & (here | {f"image:{name}" for name in images}))


def plan_scopes(
    reader: Reader, plugins: Iterable[TypeInfo], services: Sequence[str], scopes: Sequence[str], attach: bool
) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """The scopes of these services as they are, and with `scopes` added or taken away.

    Raises: NotFoundError for a service or an object that does not exist; InvalidValueError.
    """
    known = services_of(plugins)
    for name in services:
        if name not in known:
            raise NotFoundError("Boot service", name, known)
    names = {kind: reader.names(kind) for kind in KINDS}
    checked = {check_scope(scope, names) for scope in scopes} if attach else set(scopes)
    all_scopes = scopes_of(reader)
    before = {name: list(all_scopes.get(name, ())) for name in services}
    after = {name: sorted(set(found) | checked if attach else set(found) - checked) for name, found in before.items()}
    return before, after


def scopes_of(reader: Reader) -> dict[str, Sequence[str]]:
    """The scopes of all services that have any, by full name."""
    return {
        f"{plugin}/{name}": tuple(scopes)
        for plugin, row in reader.plugins().items()
        for name, scopes in row.get(FIELD, {}).items()
    }


def write_scopes(writer: Writer, scopes: Mapping[str, Sequence[str]]) -> None:
    """Stores the scopes of these services."""
    for full_name, found in scopes.items():
        plugin, _, name = full_name.partition("/")
        before = writer.plugins().get(plugin, {}).get(FIELD, {})
        after = {key: value for key, value in before.items() if key != name} | ({name: list(found)} if found else {})
        if after != before:
            writer.set_plugin(plugin, **{FIELD: after})


def running_services(reader: Reader, plugins: Iterable[TypeInfo]) -> list[tuple[BootService, Sequence[str]]]:
    """The services of enabled plug-ins that have a scope, by full name, each with its scopes."""
    enabled = {name for name, row in reader.plugins().items() if row.get("enabled")}
    known = services_of(plugin for plugin in plugins if plugin.name in enabled)
    return [(known[name], scopes) for name, scopes in sorted(scopes_of(reader).items()) if name in known]
