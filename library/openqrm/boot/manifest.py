"""What a node reads to learn what it is: the manifest of docs/contracts.md, as bytes that always come out the same."""

from __future__ import annotations

import hashlib
import ipaddress
import json
from collections.abc import Mapping
from dataclasses import dataclass

from openqrm.disks import ROOT_DEVICE, check_device
from openqrm.errors import InvalidValueError
from openqrm.memoryroots import MEMORY, MemorySettings, memory_settings
from openqrm.model import Appliance, Assignment, Image, Kernel, Nic, Resource, Storage
from openqrm.roots import PRIVATE, is_shared, root_settings
from openqrm.storagesettings import all_addresses
from openqrm.transfers import Transfer
from openqrm.types import TypeInfo

HEARTBEAT_S = 10
# Slots of a shelf of ATA over Ethernet; 255 stands for all of them. Source: AoE specification, r11.
AOE_SLOTS = 255


def sha256(content: str | bytes) -> str:
    """The SHA-256 of text (as UTF-8) or bytes, in hex."""
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


def encode(manifest: Mapping[str, object]) -> str:
    """The manifest as the text of its file: sorted keys, so that equal content has an equal digest."""
    return json.dumps(manifest, sort_keys=True, separators=(",", ":")) + "\n"


@dataclass(frozen=True)
class Root:
    """A volume that a member mounts, and where it is: its image, whose `volume` it is, and the deployment type with
    its hook's digest. `presents`: what the volume is, `filesystem` or `block`; `number`: its id in the store, 0 where
    it is not recorded yet."""

    image: Image
    storage: Storage
    volume_path: str
    deployment: TypeInfo
    hook: str
    presents: str
    number: int = 0

    @property
    def target(self) -> str:
        """What a storage network calls the volume."""
        return target(self.image)

    @property
    def memory(self) -> MemorySettings | None:
        """How it becomes a root in memory, None for one that stays where it is. Raises: InvalidValueError."""
        if self.deployment.boot_mode != MEMORY:
            return None
        return memory_settings(f"Image {self.image.name}", self.image.parameters)

    def parameters(self, words: Mapping[str, str]) -> dict[str, str]:
        """What the deployment's hook is told, with the placeholders filled in.

        Raises: InvalidValueError where the image does not name the root device that its deployment needs.
        """
        if "{root_device}" in self.deployment.manifest.values() and not words["root_device"]:
            raise InvalidValueError(
                f"Image {self.image.name}: deployment {self.deployment.name} needs the parameter {ROOT_DEVICE}.",
                remedy=f"openqrm image set {self.image.name} --parameter {ROOT_DEVICE}=/dev/sda2 (or LABEL=root).",
            )
        return {key: value.format_map(words) for key, value in sorted(self.deployment.manifest.items())}


def idle_manifest(kernel: Kernel, agent: str, arguments: str) -> dict[str, object]:
    """The manifest of every node without an assignment: the agent's digest, the kernel's arguments but `BOOTIF`."""
    return {
        "version": 1,
        "mode": "idle",
        "kernel": {
            "name": kernel.name,
            "version": kernel.version,
            "vmlinuz": kernel.vmlinuz,
            "initramfs": kernel.initramfs,
            "modules": kernel.modules,
            "arguments": arguments,
        },
        "agent": {"digest": agent, "interval_s": HEARTBEAT_S},
    }


def hostname(appliance: Appliance, member: int) -> str:
    """The member's host name: the appliance's, with the member's number where there are several."""
    return appliance.name if appliance.members == 1 else f"{appliance.name}-{member}"


def assigned_manifest(
    resource: Resource,
    kernel: Kernel,
    arguments: str,
    agent: str,
    appliance: Appliance,
    assignment: Assignment,
    root: Root,
    private: Root | None = None,
    services: Mapping[str, str] | None = None,
) -> dict[str, object]:
    """The manifest of a node that takes over a member of an appliance. `private`: where its private directories are;
    `services`: its boot services, name -> digest."""
    words = placeholders(resource, root, appliance.name, assignment.member)
    manifest: dict[str, object] = idle_manifest(kernel, agent, arguments) | {
        "mode": "assigned",
        "resource": resource.name,
        "appliance": appliance.name,
        "member": assignment.member,
        "epoch": assignment.epoch,
        "hostname": hostname(appliance, assignment.member),
        "deployment": {
            "method": root.deployment.name,
            "hook": root.hook,
            "parameters": root.parameters(words),
            **({"secret": True} if root.deployment.secret else {}),
        },
        "root_mode": appliance.root_mode,
        "networks": networks(resource),
        "fstab": _lines(appliance.parameters.get("fstab")),
        "hosts": _lines(appliance.parameters.get("hosts")),
        "boot_services": [{"name": name, "digest": digest} for name, digest in sorted((services or {}).items())],
    }
    if memory := root.memory:
        manifest["memory"] = {"size_mib": memory.size_mib, **memory.source}
    return manifest | _shared_root(resource, appliance, assignment.member, private)


def networks(resource: Resource) -> list[dict[str, str]]:
    """The further NICs that the node configures by itself."""
    return [
        {"mac": nic.mac, "role": nic.role, "address": nic.address} for nic in resource.nics if nic.role == "storage"
    ]


def transfer_words(transfer: Transfer, resource: Resource, other: Root | None) -> dict[str, object]:
    """What the node is told of a transfer. `other`: the image on the other side, None for a disk."""
    words: dict[str, object] = {
        "id": transfer.number,
        "direction": "install" if transfer.installs else "save",
        "overwrite": transfer.overwrite,
        "name": transfer.other,
    }
    if other is None:
        return words | {"device": transfer.other}
    if other.memory and other.memory.archive:
        return words | other.memory.source
    parameters = other.parameters(placeholders(resource, other, "", 0))
    return words | {"hook": other.hook, "parameters": parameters}


def _shared_root(resource: Resource, appliance: Appliance, member: int, private: Root | None) -> dict[str, object]:
    """What a root mode that shares the image adds; nothing for read-write."""
    if not is_shared(appliance.root_mode):
        return {}
    settings = root_settings(f"Appliance {appliance.name}", appliance.root_mode, appliance.parameters)
    added: dict[str, object] = {"overlay": {"size_mib": settings.overlay_size_mib}}
    if appliance.root_mode == PRIVATE and private:
        added["private"] = {
            "parameters": private.parameters(placeholders(resource, private, appliance.name, member)),
            "directories": list(settings.directories),
            "excludes": list(settings.excludes),
        }
    return added


def target(image: Image) -> str:
    """What a storage network calls the image's volume, unique in the data centre.

    Names of iSCSI have no underscore (RFC 3722), names of objects no colon.
    """
    return f"{image.storage}.{image.volume}".replace("_", ":")


def storage_nic(resource: Resource) -> Nic | None:
    """The NIC on the storage network, or None where the node reaches storage through its boot NIC."""
    return next((nic for nic in resource.nics if nic.role == "storage" and nic.address), None)


def client(resource: Resource) -> dict[str, str]:
    """How storage servers know this resource: `name`, `address` (without prefix length), `mac`, `iqn`, `nqn`.

    Source: the names' forms are those of RFC 3721 (IQN) and the NVMe base specification (NQN).
    """
    nic = storage_nic(resource)
    return {
        "name": resource.name,
        "address": nic.address.split("/")[0] if nic else resource.address,
        "mac": nic.mac if nic else resource.boot_mac,
        "iqn": f"iqn.2010-09.com.openqrm:{resource.name.replace('_', ':')}",
        "nqn": f"nqn.2010-09.com.openqrm:{resource.name}",
    }


def san_words(resource: Resource, root: Root, appliance: str, member: int) -> dict[str, object]:
    """What the boot entry says of a volume that a machine boots as its disk: `uris` of its portals, `initiator`, and
    the `nic` of the storage network (`mac`, `address`, `netmask`), None for the boot NIC.

    Raises: InvalidValueError where an address is not one of IPv4.
    """
    parameters = root.parameters(placeholders(resource, root, appliance, member))
    nic = storage_nic(resource)
    _check_ipv4(f"Storage {root.storage.name}: address", root.storage.address)
    words: dict[str, object] = {"uris": parameters["uri"].split(), "initiator": parameters.get("initiator", "")}
    if nic is None:
        return words | {"nic": None}
    interface = _check_ipv4(f"Resource {resource.name}: address of its storage NIC", nic.address)
    return words | {"nic": {"mac": nic.mac, "address": str(interface.ip), "netmask": str(interface.netmask)}}


def _check_ipv4(what: str, address: str) -> ipaddress.IPv4Interface:
    interface = ipaddress.ip_interface(address)
    if not isinstance(interface, ipaddress.IPv4Interface):
        raise InvalidValueError(
            f"{what} {address} is not of IPv4, which is what boot loaders have for volumes.",
            remedy="Give it an IPv4 address, or use a deployment whose root the node's system mounts, as iscsi.",
        )
    return interface


def placeholders(resource: Resource, root: Root, appliance: str, member: int) -> dict[str, str]:
    """The words that a deployment type's `manifest` templates may use."""
    known = client(resource)
    return {
        "storage_address": root.storage.address,
        "storage_addresses": ",".join(all_addresses(root.storage)),
        "volume_path": root.volume_path,
        "volume": root.image.volume,
        "location": root.storage.location,
        "target": root.target,
        "aoe_shelf": str(1 + root.number // AOE_SLOTS),
        "aoe_slot": str(root.number % AOE_SLOTS),
        "client_address": known["address"],
        "client_iqn": known["iqn"],
        "client_nqn": known["nqn"],
        "client_mac": known["mac"],
        "appliance": appliance,
        "member": str(member),
        "root_device": check_device(
            f"Image {root.image.name}: {ROOT_DEVICE}", root.image.parameters.get(ROOT_DEVICE, "")
        ),
    }


def _lines(value: object) -> list[str]:
    if isinstance(value, list):
        return [str(line) for line in value]
    return [str(value)] if value else []
