"""The index of a shelf: what it offers. docs/shelves.md describes the file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

from openqrm.errors import InvalidValueError, NotFoundError
from openqrm.names import check_name, check_number, check_sha256, check_version

FORMAT = 1
LARGEST = 1 << 50
ARCHIVE = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9._+-]*/)*[A-Za-z0-9_][A-Za-z0-9._+-]*\.tar(?:\.(?:gz|xz|zst))?")


@dataclass(frozen=True)
class Template:
    """A root file system on a shelf. `url`: of its archive, relative to the index; `size`: that archive's bytes."""

    name: str
    version: str
    distribution: str
    architecture: str
    description: str
    url: str
    size: int
    sha256: str

    @property
    def suffix(self) -> str:
        """How its archive's name ends, as `.tar.zst`."""
        return self.url[self.url.rindex(".tar") :]


def parse_index(what: str, text: bytes) -> list[Template]:
    """The templates of an index. Raises: InvalidValueError that says what is wrong."""
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, Mapping) or found.get("format") != FORMAT:
        raise InvalidValueError(
            f"{what}: its index is no JSON with format {FORMAT}.",
            remedy="Correct the shelf's URL, or publish it with this version of openqrm.",
        )
    rows = found.get("templates")
    if not isinstance(rows, list):
        raise InvalidValueError(f"{what}: its index lists no templates.", remedy="Publish the shelf again.")
    return [template_of(what, row) for row in rows]


def template_of(what: str, row: object) -> Template:
    """The template that an index describes so; fields that are not known are left out. Raises: InvalidValueError."""
    if not isinstance(row, Mapping):
        raise InvalidValueError(f"{what}: {row!r} is no template.", remedy="Describe it by a mapping.")
    name = check_name(f"{what}: template", row.get("name"))
    of = f"{what}: template {name}"
    url = row.get("url")
    if not isinstance(url, str) or not ARCHIVE.fullmatch(url):
        raise InvalidValueError(
            f"{of}: url {url!r} is not valid.",
            remedy="Name an archive below the index, .tar, .tar.gz, .tar.xz, .tar.zst.",
        )
    description = str(row.get("description", ""))
    return Template(
        name=name,
        version=check_version(f"{of}: version", row.get("version")),
        distribution=check_version(f"{of}: distribution", row.get("distribution")),
        architecture=check_version(f"{of}: architecture", row.get("architecture")),
        description="".join(letter for letter in description if letter.isprintable())[:200],
        url=url,
        size=check_number(f"{of}: size", row.get("size"), 1, LARGEST),
        sha256=check_sha256(f"{of}: sha256", row.get("sha256")),
    )


def encode_index(templates: Sequence[Template], published: str) -> str:
    """The text of the index with these templates."""
    rows = [{field.name: getattr(template, field.name) for field in fields(Template)} for template in templates]
    return json.dumps({"format": FORMAT, "published": published, "templates": rows}, indent=1) + "\n"


def choose(what: str, templates: Sequence[Template], name: str, version: str, architecture: str) -> Template:
    """The template of this name and architecture: of the version, or where that is empty the one that is listed last.

    Raises: NotFoundError.
    """
    named = [template for template in templates if template.name == name]
    if not named:
        raise NotFoundError(f"{what}: template", name, {template.name for template in templates})
    fitting = [template for template in named if template.architecture == architecture]
    if not fitting:
        raise NotFoundError(
            f"{what}: template {name} for architecture", architecture, {template.architecture for template in named}
        )
    found = [template for template in fitting if version in ("", template.version)]
    if not found:
        raise NotFoundError(f"{what}: template {name}: version", version, {template.version for template in fitting})
    return found[-1]
