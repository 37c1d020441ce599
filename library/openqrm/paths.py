"""Where the collection's files are: in a checkout, in the wheel, or in an installed collection."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from openqrm.errors import NotFoundError

COLLECTION = "openqrm.datacenter"


def _roots() -> Iterator[Path]:
    checkout = Path(__file__).resolve().parents[2] / "collection"
    configured = os.environ.get("ANSIBLE_COLLECTIONS_PATH", "").split(os.pathsep)
    installed = [str(Path.home() / ".ansible/collections"), "/usr/share/ansible/collections"]
    for place in [str(checkout), *configured, *installed, *sys.path]:
        if place:
            yield Path(place) / "ansible_collections"


@cache
def collection_root(name: str = COLLECTION) -> Path:
    """The root directory of an Ansible collection, `namespace.name`.

    Looked for beside this checkout, in ANSIBLE_COLLECTIONS_PATH, in Ansible's usual places, on sys.path (the wheel).
    Raises: NotFoundError.
    """
    for root in _roots():
        path = root.joinpath(*name.split("."))
        if path.is_dir():
            return path.absolute()
    raise NotFoundError("Collection", name)


def boot_template(name: str) -> Path:
    """The file of this name below `boot-templates/`."""
    return collection_root() / "boot-templates" / name
