"""What fills a new image: an archive, a recipe, an OCI image; as the path of an archive and the steps that make it."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Mapping
from pathlib import Path

from openqrm.boot.manifest import sha256
from openqrm.errors import InvalidValueError, NotFoundError
from openqrm.names import check_path, check_sha256, check_version
from openqrm.planning.context import CONTROLLER, Context
from openqrm.planning.operations import Step, role_of
from openqrm.planning.recipes import check_recipe

# The keys of an image's row that say what fills it; at most one of them is given.
SOURCES = ("recipe", "archive", "oci")
INDEX = "index.json"
TAG = "org.opencontainers.image.ref.name"
LARGEST_INDEX = 4 << 20


def archive_of(context: Context, stage: int, row: Mapping[str, object]) -> tuple[str, list[Step]]:
    """Path on the controller of the archive that fills the image of this row, empty for none, and the steps that make
    it. Raises: InvalidValueError, NotFoundError."""
    name = str(row["name"])
    given = [key for key in SOURCES if row.get(key)]
    if len(given) > 1:
        raise InvalidValueError(f"Image {name}: {' and '.join(given)} are both given.", remedy="Give one of them.")
    if not given:
        return "", []
    if given == ["archive"]:
        return check_path(f"Image {name}: archive", row["archive"]), []
    make = _of_recipe if given == ["recipe"] else _of_oci
    return make(Path(context.config.cache_dir, "archives"), stage, row)


def _of_recipe(directory: Path, stage: int, row: Mapping[str, object]) -> tuple[str, list[Step]]:
    checked = check_recipe(f"Image {row['name']}: recipe", row["recipe"])
    path = str(directory / f"{sha256(json.dumps(checked, sort_keys=True))}.tar.zst")
    item = {"name": row["name"], "archive": path} | checked
    return path, [Step(stage, CONTROLLER, role_of("image_builder"), "build", item)]


def _of_oci(directory: Path, stage: int, row: Mapping[str, object]) -> tuple[str, list[Step]]:
    what = f"Image {row['name']}: oci"
    layout, _, tag = str(row["oci"]).partition(":")
    check_path(what, layout)
    digest = image_digest(what, Path(layout), check_version(f"{what}: tag", tag) if tag else "")
    path = str(directory / f"oci-{digest}.tar.zst")
    item = {"name": row["name"], "layout": layout, "tag": tag, "digest": digest, "archive": path}
    return path, [Step(stage, CONTROLLER, role_of("image_oci"), "unpack", item)]


def image_digest(what: str, layout: Path, tag: str) -> str:
    """The SHA-256 of the manifest, or index of manifests, that an OCI image layout has under the tag; without a tag of
    its only one.

    Source: https://github.com/opencontainers/image-spec/blob/main/image-layout.md.
    Raises: InvalidValueError, NotFoundError with the tags that are there.
    """
    found = _digests(what, layout)
    if tag and tag not in found:
        raise NotFoundError(f"{what}: tag", tag, [known for known in found if known])
    if not tag and len(found) != 1:
        raise InvalidValueError(
            f"{what}: {layout} has {len(found)} images.", remedy=f"Add one of :{', :'.join(filter(None, found))}."
        )
    algorithm, _, digest = found[tag].partition(":") if tag else next(iter(found.values())).partition(":")
    if algorithm != "sha256":
        raise InvalidValueError(f"{what}: a digest by {algorithm or 'nothing'} is not known.", remedy="Use sha256.")
    return check_sha256(f"{what}: digest", digest)


def _digests(what: str, layout: Path) -> dict[str, str]:
    """The digests that the layout's index names, by tag."""
    try:
        entries = json.loads(_index_text(layout))["manifests"]
        return {str((entry.get("annotations") or {}).get(TAG, "")): str(entry["digest"]) for entry in entries}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, tarfile.TarError):
        raise InvalidValueError(
            f"{what}: {layout} is no OCI image layout: there is no {INDEX} that lists manifests.",
            remedy="Give the directory of a layout, or a tar file of one, as `skopeo copy` makes them.",
        ) from None


def _index_text(layout: Path) -> bytes:
    if layout.is_dir():
        with (layout / INDEX).open("rb") as stream:
            return stream.read(LARGEST_INDEX)
    with tarfile.open(layout) as archive:
        names = [name for name in (INDEX, f"./{INDEX}") if name in archive.getnames()]
        member = archive.extractfile(names[0]) if names else None
        if member is None:
            raise KeyError(INDEX)
        return member.read(LARGEST_INDEX)
