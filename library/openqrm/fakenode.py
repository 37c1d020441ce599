"""Simulated nodes, for the fake power driver: what a machine that boots from the tree would report."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from pathlib import Path

from openqrm.boot.manifest import sha256
from openqrm.boot.tree import file_name
from openqrm.config import Config
from openqrm.model import Resource
from openqrm.store import Store, Writer

REASON = "simulated node"


def report_boot(store: Store, config: Config, names: Sequence[str]) -> None:
    """Lets the resources report what their files in the boot tree make them: deployed, or idle where there are none.

    The tree is read from disk, so what was published is what counts. Resources that do not exist are passed over.
    """
    with store.write("node", REASON) as tx:
        for resource in tx.resources(list(names)):
            _report(tx, config, resource)


def report_off(store: Store, names: Sequence[str]) -> None:
    """Lets the resources fall silent, as machines that were powered off."""
    with store.write("node", REASON) as tx:
        for resource in tx.resources(list(names)):
            tx.report(resource.name, mode="", stage="", boot_id="", manifest="", reported_epoch=0)


def _report(tx: Writer, config: Config, resource: Resource) -> None:
    path = Path(config.boot.root, "manifests", f"{file_name(resource.boot_mac)}.json")
    boot_id = str(uuid.uuid4())
    if not path.is_file():
        tx.report(resource.name, mode="idle", stage="", boot_id=boot_id, manifest="", reported_epoch=0)
        if resource.state in ("new", "off", "unknown"):
            tx.set_state("resource", [resource.name], "idle")
        return
    text = path.read_text(encoding="utf-8")
    manifest = json.loads(text)
    tx.report(
        resource.name,
        mode="deployed",
        stage="up",
        boot_id=boot_id,
        manifest=sha256(text),
        kernel=manifest["kernel"]["vmlinuz"],
        reported_epoch=manifest["epoch"],
    )
