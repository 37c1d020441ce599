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
from openqrm.store import Store

REASON = "simulated node"
SILENT = {"mode": "", "stage": "", "boot_id": "", "manifest": "", "reported_epoch": 0}


def report_boot(store: Store, config: Config, names: Sequence[str]) -> None:
    """Lets the resources report what their files in the boot tree make them: deployed, or idle where there are none.

    The tree is read from disk, so what was published is what counts. Resources that do not exist are passed over.
    """
    with store.write("node", REASON) as tx:
        resources = tx.resources(list(names))
        reports = {resource.name: _report(config, resource) for resource in resources}
        tx.report_all(reports)
        idle = [r.name for r in resources if reports[r.name]["mode"] == "idle" and r.state in ("new", "off", "unknown")]
        tx.set_state("resource", idle, "idle")


def report_off(store: Store, names: Sequence[str]) -> None:
    """Lets the resources fall silent, as machines that were powered off."""
    with store.write("node", REASON) as tx:
        tx.report_all({resource.name: SILENT for resource in tx.resources(list(names))})


def _report(config: Config, resource: Resource) -> dict[str, object]:
    """What the resource reports after it booted from its files."""
    path = Path(config.boot.root, "manifests", f"{file_name(resource.boot_mac)}.json")
    booted = SILENT | {"mode": "idle", "boot_id": str(uuid.uuid4())}
    if not path.is_file():
        return booted
    text = path.read_text(encoding="utf-8")
    manifest = json.loads(text)
    if manifest.get("mode") == "disk":
        return booted
    return booted | {
        "mode": "deployed",
        "stage": "up",
        "manifest": sha256(text),
        "kernel": manifest["kernel"]["vmlinuz"],
        "reported_epoch": manifest["epoch"],
    }
