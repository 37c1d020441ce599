"""The boot tree's files as entries `{name, root, content}` for service_boot: `name` is the path below `root`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import jinja2

from openqrm.boot.manifest import encode, idle_manifest, sha256
from openqrm.config import Config
from openqrm.model import Kernel
from openqrm.paths import boot_template

Entry = dict[str, object]


@cache
def _environment() -> jinja2.Environment:
    """Renders byte for byte as ansible.builtin.template does."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(boot_template("")),
        trim_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # not HTML; every value was validated by openqrm.names
    )


def render(template: str, variables: Mapping[str, object]) -> str:
    """The template below `boot-templates/`, rendered."""
    return _environment().get_template(template).render(variables)


def file_name(mac: str) -> str:
    """A MAC as file names carry it: 52-54-00-12-34-56."""
    return mac.replace(":", "-")


@cache
def blob(path: Path) -> tuple[str, str]:
    """Digest and text of a small file that nodes fetch (agent, hook)."""
    text = path.read_text(encoding="utf-8")
    return sha256(text), text


def agent_blob() -> tuple[str, str]:
    """Digest and text of the agent."""
    return blob(boot_template("agent/openqrm-agent.sh"))


def entry(config: Config, name: str, content: str = "") -> Entry:
    """One file of the tree."""
    return {"name": name, "root": config.boot.root, "content": content}


def blob_entry(config: Config, digest: str, text: str) -> Entry:
    """A small file under its digest."""
    return entry(config, f"blobs/{digest}", text)


def variables(config: Config, kernel: Kernel) -> dict[str, object]:
    """What the iPXE templates are rendered with."""
    return {
        "boot_url": config.boot.url,
        "boot_tls_url": config.boot.tls_url,
        "api_url": config.api.url,
        "kernel": {
            "name": kernel.name,
            "version": kernel.version,
            "vmlinuz": kernel.vmlinuz,
            "initramfs": kernel.initramfs,
        },
        "kernel_args": str(kernel.parameters.get("kernel_args", "")),
    }


def default_entries(config: Config, kernel: Kernel) -> list[Entry]:
    """What nodes without an assignment read: entry script, default kernel's entry, idle manifest, agent."""
    digest, text = agent_blob()
    words = variables(config, kernel)
    return [
        blob_entry(config, digest, text),
        entry(config, "manifests/default.json", encode(idle_manifest(kernel, digest))),
        entry(config, "default.ipxe", render("ipxe/default.ipxe.j2", words)),
        entry(config, "boot.ipxe", render("ipxe/boot.ipxe.j2", words)),
    ]


def node_entries(config: Config, mac: str, kernel: Kernel, manifest: str) -> list[Entry]:
    """What one assigned node reads. The manifest comes first: a node that sees its entry finds its manifest."""
    return [
        entry(config, f"manifests/{file_name(mac)}.json", manifest),
        entry(config, f"nodes/{file_name(mac)}.ipxe", render("ipxe/node.ipxe.j2", variables(config, kernel))),
    ]


def node_names(mac: str) -> list[str]:
    """The files whose removal makes a node read the defaults again."""
    return [f"nodes/{file_name(mac)}.ipxe", f"manifests/{file_name(mac)}.json"]
