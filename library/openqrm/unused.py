"""Large files that may not be in use any more: where they are, and which ones are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from openqrm.boot.manifest import encode
from openqrm.datacenter import Datacenter
from openqrm.memoryroots import ARCHIVE
from openqrm.planning.context import CONTROLLER
from openqrm.store import Reader
from openqrm.store.schema import MAX_ID, OPEN_PLAN_STATES

DIGEST = "[0-9a-f]{64}"
HIDDEN = "[.].+"
# Smaller files of the boot tree, hooks and agents, are not worth it.
SMALLEST_MIB = 1


def places(center: Datacenter) -> dict[str, list[dict[str, Any]]]:
    """Where to look by host, as the module unused_files takes it, with the names of what is in use.

    In the boot tree that is what kernels, images, plans that are not over and files of the tree name; in the cache of
    the controller, of which everything can be made again, what such plans name.
    """
    config = center.config
    with center.store.read() as tx:
        planned = _planned(tx)
        digests = {*_recorded(tx), *re.findall(DIGEST, planned)}
    boot = {
        "path": str(Path(config.boot.root, "blobs")),
        "names": DIGEST,
        "unfinished": HIDDEN,
        "keep": sorted(digests),
        "mentioned_in": config.boot.root,
        "smallest_mib": SMALLEST_MIB,
    }
    cache = Path(config.cache_dir)
    archives = _cached(cache / "archives", f"(shelf-|oci-)?{DIGEST}([.][a-z0-9]+)+", HIDDEN, planned)
    kernels = _cached(cache / "kernels", rf"{DIGEST}|image-[a-z0-9.-]+[.]tar[.]zst", f"build-.+|{HIDDEN}", planned)
    found: dict[str, list[dict[str, Any]]] = {CONTROLLER: [archives, kernels]}
    found.setdefault(config.boot.host, []).append(boot)
    return found


def _cached(directory: Path, names: str, unfinished: str, planned: str) -> dict[str, Any]:
    keep = re.findall(rf"{re.escape(str(directory))}/([^/\"]+)", planned)
    return {"path": str(directory), "names": names, "unfinished": unfinished, "keep": sorted(set(keep))}


def _recorded(tx: Reader) -> Iterable[str]:
    for kernel in tx.kernels():
        yield from (kernel.vmlinuz, kernel.initramfs, kernel.modules)
    for image in tx.images():
        yield str(image.parameters.get(ARCHIVE, ""))


def _planned(tx: Reader) -> str:
    """What plans are still to do, or could go on to do, as text."""
    plans = tx.plans([*OPEN_PLAN_STATES, "failed"], MAX_ID)
    plans = [plan for plan in plans if plan.state != "failed" or not tx.later_plans(plan.id)]
    items: list[Mapping[str, object]] = [item for plan in plans for item in plan.objects]
    items += [item for plan in plans for operation in plan.operations for item in operation.items]
    return "\n".join(encode(dict(item)) for item in items)
