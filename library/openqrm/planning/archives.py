"""Archives of which nodes fill roots in memory: put into the boot tree under their digest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from openqrm.boot import tree
from openqrm.errors import ConflictError
from openqrm.memoryroots import ARCHIVE, FORMAT, MEMORY, format_of
from openqrm.model import Image, Plan
from openqrm.names import check_name, check_path, check_sha256
from openqrm.planning.context import Context
from openqrm.planning.images import close_nothing, refuse_running
from openqrm.planning.verbs import Arguments, Drawing, Selection, Verb

PUBLISH = 10


def _asked(context: Context, arguments: Arguments) -> tuple[Image, dict[str, object]]:
    """The image, and the parameters that name its archive. Raises: InvalidValueError, NotFoundError."""
    image = context.tx.image(check_name("Image", arguments.get("image")))
    what = f"Image {image.name}"
    path = check_path(f"{what}: archive", arguments.get("archive"))
    digest = check_sha256(f"{what}: sha256", arguments.get("sha256"))
    return image, {ARCHIVE: digest, FORMAT: format_of(path)}


def _select(context: Context, arguments: Arguments) -> Selection:
    image, wanted = _asked(context, arguments)
    if wanted.items() <= dict(image.parameters).items():
        return Selection((), {image.name: f"image {image.name} has that archive already"})
    return Selection((image.name,))


def _draw(context: Context, _names: Sequence[str], arguments: Arguments, _plan_id: int) -> Drawing:
    image, wanted = _asked(context, arguments)
    deployment = context.types.get("deployment", image.deployment)
    if deployment.boot_mode != MEMORY:
        raise ConflictError(
            f"Image {image.name} is deployed by {deployment.name}, whose nodes mount a volume and fetch no archive.",
            remedy="Publish archives of images with a root in memory (deployment tmpfs).",
        )
    refuse_running(context, image, "given another archive")
    source = check_path("archive", arguments.get("archive"))
    entry = tree.entry(context.config, f"blobs/{wanted[ARCHIVE]}") | {"source": source}
    del entry["content"]
    item: Mapping[str, object] = {"kind": "image", "name": image.name, "parameters": wanted}
    return Drawing([context.boot_step(PUBLISH, "blobs", entry)], (item,))


def _commit(context: Context, plan: Plan) -> None:
    for item in plan.objects:
        image = context.tx.image(str(item["name"]))
        wanted = item["parameters"]
        assert isinstance(wanted, Mapping)
        context.tx.save([replace(image, parameters={**image.parameters, **wanted})])
        text = f"Its root is filled from archive {str(wanted[ARCHIVE])[:12]}."
        context.tx.add_event("info", text, kind="image", name=image.name)


AGAIN = "Run the command again to finish it."
VERBS = (Verb("image_publish", "image", _select, _draw, _commit, None, close_nothing, AGAIN),)
