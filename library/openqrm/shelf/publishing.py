"""Publication of a shelf: the index of the archives in a directory, signed."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import yaml

from openqrm.errors import ConflictError, InvalidValueError
from openqrm.shelf.index import Template, encode_index, template_of
from openqrm.shelf.reading import INDEX, SIGNATURE
from openqrm.shelf.signature import sign

# What a publisher writes: the templates of the directory, each with the name of its archive as `file`.
DESCRIPTION = "templates.yml"


def described(directory: Path) -> list[Template]:
    """The templates that the directory's description lists, with sizes and digests of their archives.

    Raises: InvalidValueError, ConflictError.
    """
    path = directory / DESCRIPTION
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
        rows = [dict(row) for row in found["templates"]]
    except (OSError, yaml.YAMLError, UnicodeDecodeError, TypeError, KeyError, ValueError):
        raise InvalidValueError(
            f"{path} does not describe templates.",
            remedy="Write the list `templates` of name, version, distribution, architecture, description and file.",
        ) from None
    templates = [_measured(path, row) for row in rows]
    keys = [(item.name, item.version, item.architecture) for item in templates]
    for key in keys:
        if keys.count(key) > 1:
            raise ConflictError(f"{path}: {' '.join(key)} is listed twice.", remedy="Give each its own version.")
    return templates


def _measured(path: Path, row: Mapping[str, object]) -> Template:
    url = row.get("file")
    unmeasured = template_of(str(path), {**row, "url": url, "size": 1, "sha256": "0" * 64})
    archive = path.parent / unmeasured.url
    if not archive.is_file():
        raise InvalidValueError(f"{path}: there is no {archive}.", remedy="Put the archive there, or correct `file`.")
    with archive.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        size = stream.tell()
    return template_of(str(path), {**row, "url": url, "size": size, "sha256": digest})


def publish(directory: Path, templates: list[Template], key: Path | None) -> None:
    """Writes the index and its signature; without a key an index that is not signed. Raises: OpenqrmError."""
    with tempfile.TemporaryDirectory(prefix=".publish-", dir=directory) as scratch:
        index = Path(scratch, INDEX)
        index.write_text(encode_index(templates, datetime.now(UTC).isoformat(timespec="seconds")), encoding="utf-8")
        index.chmod(0o644)
        if key:
            signature = sign(index, key)
            signature.chmod(0o644)
            _put(signature, directory / SIGNATURE)
        else:
            (directory / SIGNATURE).unlink(missing_ok=True)
        _put(index, directory / INDEX)


def _put(new: Path, path: Path) -> None:
    with new.open("rb") as stream:
        os.fsync(stream.fileno())
    new.rename(path)
