"""Runs functions of the node's shell library under busybox, with the bundle's programs taken from this machine."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

LIBRARY = Path(__file__).parents[3] / "boot-templates" / "initramfs" / "90openqrm" / "lib"
DIGEST = "0123456789abcdef" * 4
PRELUDE = """set -u
for file in common api manifest network hardware root layers copy ram transfer secrets kexec disk disk-deploy \\
    disk-grab idle; do
    . "$LIBRARY/$file.sh"
done
OQ=$STATE; OQ_ANSWER=$OQ/answer; NEWROOT=$STATE/root; OQM_ROOT_MODE=read-write
oq_jq() { jq "$@"; }
"""


def run_shell(script: str, state: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a script after the library was read; `state` stands for /run/openqrm and holds `root`, the new root."""
    (state / "root" / "etc").mkdir(parents=True, exist_ok=True)
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LIBRARY": str(LIBRARY), "STATE": str(state), **variables}
    return subprocess.run(
        ["busybox", "sh", "-c", PRELUDE + script], env=environment, capture_output=True, text=True, timeout=60
    )


def manifest(**changes: object) -> dict[str, object]:
    """Return a manifest of an assigned node, with changes."""
    return {
        "version": 1,
        "mode": "assigned",
        "resource": "node01",
        "kernel": {
            "name": "default",
            "version": "6.1.0-1-amd64",
            "vmlinuz": DIGEST,
            "initramfs": DIGEST,
            "modules": DIGEST,
        },
        "agent": {"digest": DIGEST, "interval_s": 10},
        "appliance": "web01",
        "member": 0,
        "epoch": 3,
        "hostname": "web01",
        "deployment": {
            "method": "nfs",
            "hook": DIGEST,
            "parameters": {"source": "10.78.0.10:/srv/a", "options": "vers=4.2"},
        },
        "root_mode": "read-write",
        "networks": [{"mac": "52:54:00:12:34:57", "role": "storage", "address": "10.78.0.100/24"}],
        "fstab": ["tmpfs /tmp tmpfs defaults 0 0"],
        "hosts": ["10.78.0.10 storage"],
        "boot_services": [],
        **changes,
    }


def read_manifest(state: Path, data: object, then: str) -> subprocess.CompletedProcess[str]:
    """Read a manifest on the node and run `then` with the variables it set."""
    path = state / "manifest.json"
    path.write_text(json.dumps(data))
    return run_shell(f'oq_read_manifest "$STATE/manifest.json" || exit 3\n{then}', state)
