"""The boot tree's files as entries `{name, root, content}` for service_boot: `name` is the path below `root`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import jinja2

from openqrm.boot.arguments import arguments
from openqrm.boot.manifest import encode, idle_manifest, sha256
from openqrm.config import Config
from openqrm.model import Kernel
from openqrm.paths import boot_template

Entry = dict[str, object]

IPXE, IPXE_IMAGE = "ipxe", "ipxe/ipxe.iso"
"""The medium of resources that cannot boot from the network: its name, and the image that the tree has of it."""


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
    """What the templates of boot entries are rendered with."""
    return {
        "boot_url": config.boot.url,
        "kernel": {
            "name": kernel.name,
            "version": kernel.version,
            "vmlinuz": kernel.vmlinuz,
            "initramfs": kernel.initramfs,
        },
        "arguments": arguments(config, kernel),
    }


def boot_entries(config: Config, mac: str, kernel: Kernel) -> list[Entry]:
    """The boot entry of one node, or (`mac` empty) the default one, in the form of each boot loader."""
    words = variables(config, kernel)
    names = entry_names(mac)
    return [entry(config, names[template], render(template, words)) for template in sorted(names)]


def local_entries(config: Config, mac: str) -> list[Entry]:
    """The boot entry of a node that boots its own disk, in the form of each boot loader; without one it boots the
    default entry."""
    return _other_entries(config, mac, "local", {"boot_url": config.boot.url})


def san_entries(config: Config, mac: str, san: Mapping[str, object]) -> list[Entry]:
    """The boot entry of a node that boots a volume as its disk, in the form of each boot loader. `san`: what
    `openqrm.boot.manifest.san_words` says."""
    return _other_entries(config, mac, "san", {"boot_url": config.boot.url, "san": {"file": file_name(mac), **san}})


def _other_entries(config: Config, mac: str, form: str, words: Mapping[str, object]) -> list[Entry]:
    names = entry_names(mac)
    return [
        entry(config, names[template], render(template.replace("/node.", f"/{form}."), words))
        for template in sorted(names)
    ]


def entry_names(mac: str) -> dict[str, str]:
    """Template -> name of the boot entry that it makes for a node; for `mac` empty of the default one."""
    name = file_name(mac)
    return {
        "ipxe/node.ipxe.j2": f"nodes/{name}.ipxe" if mac else "default.ipxe",
        "grub/node.grub.j2": f"nodes/{name or 'default'}.grub",
        "pxelinux/node.pxelinux.j2": f"ipxe/pxelinux.cfg/{f'01-{name}' if mac else 'default'}",
    }


def default_entries(config: Config, kernel: Kernel, hooks: Sequence[Path] = ()) -> list[Entry]:
    """What nodes without an assignment read: entry scripts, default kernel's entry, idle manifest, agent, and the
    deployments' hooks, which they fetch while they are idle."""
    digest, text = agent_blob()
    words = variables(config, kernel)
    blobs = sorted({blob(path) for path in hooks})
    manifest = idle_manifest(kernel, digest, arguments(config, kernel)) | {"prefetch": [name for name, _ in blobs]}
    return [
        *(blob_entry(config, *small) for small in [(digest, text), *blobs]),
        entry(config, "manifests/default.json", encode(manifest)),
        *boot_entries(config, "", kernel),
        entry(config, "boot.ipxe", render("ipxe/boot.ipxe.j2", words)),
        entry(config, "grub/grub.cfg", render("grub/grub.cfg.j2", words)),
    ]


def node_entries(config: Config, mac: str, kernel: Kernel, manifest: str) -> list[Entry]:
    """What one assigned node reads. The manifest comes first: a node that sees its entry finds its manifest."""
    return [entry(config, manifest_name(mac), manifest), *boot_entries(config, mac, kernel)]


def manifest_name(mac: str) -> str:
    """The name of a node's manifest."""
    return f"manifests/{file_name(mac)}.json"


def node_names(mac: str) -> list[str]:
    """The files whose removal makes a node read the defaults again."""
    return [*sorted(entry_names(mac).values()), manifest_name(mac)]
