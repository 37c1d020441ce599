"""What planning reads: the objects that appliances refer to, each read once, and the operations' common items."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property

from openqrm.boot import manifest, tree
from openqrm.boot.arguments import arguments
from openqrm.boot.manifest import Root
from openqrm.config import Config
from openqrm.errors import ConfigError, OpenqrmError, StateError
from openqrm.model import Appliance, Assignment, Image, Kernel, Resource, Storage, Volume
from openqrm.planning.operations import Step, role_of
from openqrm.roots import PRIVATE, is_shared, private_volume
from openqrm.services import BootService, is_in_scope, running_services
from openqrm.storageservers import appliance_of, following
from openqrm.store import Writer
from openqrm.transfers import pending
from openqrm.types import TypeInfo, TypeRegistry

CONTROLLER = "localhost"


@dataclass(frozen=True)
class Member:
    """A member of an appliance with all that its plan needs."""

    appliance: Appliance
    assignment: Assignment
    resource: Resource
    image: Image
    kernel: Kernel

    @property
    def name(self) -> str:
        """As messages name it: `web01/0`."""
        return f"{self.appliance.name}/{self.assignment.member}"


@dataclass(frozen=True)
class Context:
    """One planning transaction with its configuration and types. Reads are by kind, never per appliance."""

    tx: Writer
    config: Config
    types: TypeRegistry
    volumes: dict[tuple[str, str], Volume] = field(default_factory=dict)  # by storage and name, of those it was told

    def remember(self, volumes: Iterable[Volume]) -> None:
        """Takes note of volumes: their numbers, which storage networks name them by, and their sizes."""
        self.volumes.update({(volume.storage, volume.name): volume for volume in volumes})

    @cached_property
    def kernels(self) -> dict[str, Kernel]:
        """All kernels by name."""
        return {kernel.name: kernel for kernel in self.tx.kernels()}

    @cached_property
    def storages(self) -> dict[str, Storage]:
        """All storages by name, those whose server is an appliance with its address now."""
        return {storage.name: storage for storage in following(self.tx, self.tx.storages())}

    @cached_property
    def agent(self) -> tuple[str, str]:
        """Digest and text of the agent."""
        return tree.agent_blob()

    def default_kernel(self) -> Kernel:
        """The kernel that idle nodes run. Raises: ConfigError."""
        name = self.tx.setting("default_kernel")
        if not isinstance(name, str) or name not in self.kernels:
            raise ConfigError(
                "No default kernel is set.", remedy="Run `openqrm kernel add` and `openqrm kernel set-default NAME`."
            )
        return self.kernels[name]

    def members(self, assignments: Sequence[Assignment]) -> list[Member]:
        """The assignments with their objects, in the order of appliance and member."""
        appliances = {a.name: a for a in self.tx.appliances(sorted({row.appliance for row in assignments}))}
        resources = {r.name: r for r in self.tx.resources(sorted({row.resource for row in assignments}))}
        images = {i.name: i for i in self.tx.images(sorted({row.image for row in assignments}))}
        places = {(image.storage, image.volume) for image in images.values()}
        places |= {
            (images[row.image].storage, private_volume(row.appliance, row.member))
            for row in assignments
            if appliances[row.appliance].root_mode == PRIVATE
        }
        self.remember(self.tx.named("volume", ["/".join(place) for place in places]))
        return [
            Member(
                appliances[row.appliance],
                row,
                resources[row.resource],
                images[row.image],
                self.kernels[appliances[row.appliance].kernel],
            )
            for row in sorted(assignments, key=lambda row: (row.appliance, row.member))
        ]

    def root(self, image: Image) -> Root:
        """Where the image's volume is and how it is deployed. Raises: NotFoundError, OpenqrmError."""
        storage = self.storages[image.storage]
        backend = self.types.get("storage", storage.type)
        deployment = self.types.get("deployment", image.deployment)
        presents = backend.presents_for(deployment.needs)
        if not presents:
            raise OpenqrmError(
                f"Image {image.name}: deployment {deployment.name} needs a {deployment.needs} volume, "
                f"storage {storage.name} ({storage.type}) presents {' and '.join(backend.presents)}.",
                remedy="Choose a deployment that fits the storage, or another storage.",
            )
        path = backend.volume_path[presents].format(location=storage.location, volume=image.volume)
        hook = tree.blob(deployment.hook)[0] if deployment.hook else ""
        known = self.volumes.get((image.storage, image.volume))
        return Root(image, storage, path, deployment, hook, presents, known.id if known else 0)

    def manifest(self, member: Member) -> str:
        """The text of the member's manifest. Raises: StateError where its root is on an appliance that does not run."""
        self.refuse_unserved(member)
        content = manifest.assigned_manifest(
            member.resource,
            member.kernel,
            arguments(self.config, member.kernel),
            self.agent[0],
            member.appliance,
            member.assignment,
            self.root(member.image),
            self.private_root(member),
            {name: digest for name, (digest, _) in self.boot_services(member).items()},
        )
        if transfer := pending(member.appliance):
            words = manifest.transfer_words(transfer, member.resource, self.transfer_root(member))
            content["transfer"] = words | {"timeout_s": self.config.deadlines.transfer_s}
        return manifest.encode(content)

    def refuse_unserved(self, member: Member) -> None:
        """Returns if the member's storage has an address. Raises: StateError where it is on an appliance that does not
        run."""
        storage = self.storages[member.image.storage]
        if not storage.address:
            raise StateError(
                f"Appliance {member.appliance.name}: storage {storage.name} is served by appliance "
                f"{appliance_of(storage)}, which does not run.",
                remedy=f"Run `openqrm appliance start {appliance_of(storage)}` first.",
            )

    def transfer_root(self, member: Member) -> Root | None:
        """Where the image is that the member's transfer reads or writes, None where it has none."""
        transfer = pending(member.appliance)
        return self.root(self.tx.image(transfer.other)) if transfer and not transfer.is_disk else None

    def transfer_grants(self, stage: int, verb: str, member: Member, undo: str = "") -> list[Step]:
        """Authorize or revoke: the image on the other side of the member's transfer, for its resource."""
        transfer, root = pending(member.appliance), self.transfer_root(member)
        if not transfer or not root or (root.memory and root.memory.archive):
            return []
        return [self._grant(stage, verb, member, root, transfer.installs, undo)]

    @cached_property
    def _scoped_services(self) -> list[tuple[BootService, Sequence[str]]]:
        return running_services(self.tx, self.types.family("plugin"))

    def boot_services(self, member: Member) -> dict[str, tuple[str, str]]:
        """The programs that the member's system runs for plug-ins: name -> digest and text. Raises: ConfigError."""
        images = {member.image.name, member.image.parent}
        found = {}
        for service, scopes in self._scoped_services:
            if is_in_scope(scopes, member.resource.name, member.appliance.name, images):
                if not service.program.is_file():
                    raise ConfigError(
                        f"Boot service {service.full_name}: there is no {service.program}.",
                        remedy=f"Correct boot_services of plug-in {service.plugin}, or disable it.",
                    )
                found[service.unit] = tree.blob(service.program)
        return found

    def volume_item(self, storage: Storage, volume: str, presents: str, size_mib: int = 0) -> dict[str, object]:
        """What a verb of the storage's type is told of a volume: its size if it has one, and what it is where the type
        presents several."""
        item: dict[str, object] = {"name": volume, "location": storage.location}
        if len(self.types.get("storage", storage.type).presents) > 1:
            item["presents"] = presents
        return item | {"size_mib": size_mib} if size_mib else item

    def private_root(self, member: Member) -> Root | None:
        """Where the member's private directories are, None where it has none."""
        if member.appliance.root_mode != PRIVATE:
            return None
        volume = private_volume(member.appliance.name, member.assignment.member)
        return self.root(replace(member.image, volume=volume))

    def grants(self, stage: int, verb: str, member: Member, undo: str = "") -> list[Step]:
        """Authorize or revoke, for the member's resource: its root and, where it has them, its private directories and
        the image on the other side of its transfer."""
        root, private = self.root(member.image), self.private_root(member)
        memory = root.memory
        read_only = bool(memory) or is_shared(member.appliance.root_mode)
        # What an archive of the boot tree fills needs nothing of the storage.
        steps = [] if memory and memory.archive else [self._grant(stage, verb, member, root, read_only, undo)]
        steps += [self._grant(stage, verb, member, private, False, undo)] if private else []
        return steps + self.transfer_grants(stage, verb, member, undo)

    def _grant(self, stage: int, verb: str, member: Member, root: Root, read_only: bool, undo: str) -> Step:
        step = self.grant(stage, verb, member.resource, root, member.assignment.epoch, read_only)
        return replace(step, undo=undo, member=member.name)

    def grant(
        self, stage: int, verb: str, resource: Resource, root: Root, epoch: int = 0, read_only: bool = False
    ) -> Step:
        """Authorize or revoke: a volume for a resource, whatever it runs."""
        item: dict[str, object] = {
            "volume": root.image.volume,
            "path": root.volume_path,
            "target": root.target,
            "number": root.number,
            "client": manifest.client(resource),
            "read_only": read_only,
            "epoch": epoch,
        }
        return Step(stage, root.storage.host, root.deployment.role, verb, item)

    def power(self, stage: int, verb: str, resource: Resource, member: str = "") -> Step:
        """A power verb for the resource. Raises: NotFoundError where its driver is unknown."""
        driver = self.types.get("power", resource.power_driver)
        item = {"name": resource.name, "mac": resource.boot_mac} | dict(resource.power)
        if item.get("media") == tree.IPXE:
            item["media"] = f"{self.config.boot.url}/{tree.IPXE_IMAGE}"
        return Step(stage, self.config.power_host, driver.role, verb, item, member=member)

    def reset(self, stage: int, resource: Resource, member: str = "") -> tuple[Step, ...]:
        """A reset of the resource at this stage; right before it, where the driver can, its boot device is set."""
        step = self.power(stage, "reset", resource, member)
        if not self.types.get("power", resource.power_driver).boot_device:
            return (step,)
        return self.boot_device(stage - 1, resource, member), step

    def boot_device(self, stage: int, resource: Resource, member: str = "") -> Step:
        """Has the resource boot from the network, or from its virtual CD where it cannot."""
        step = self.power(stage, "boot_device", resource, member)
        device = "cd" if resource.power.get("media") else "pxe"
        return replace(step, item=dict(step.item) | {"device": device, "firmware": resource.firmware})

    def hooks(self, stage: int, hook: str, members: Sequence[Member]) -> list[Step]:
        """The calls of one hook of all enabled plug-ins, in dependency order."""
        return [
            Step(stage + offset, self._hook_host(plugin), plugin.role, hook, _hook_item(member), member=member.name)
            for offset, plugin in enumerate(self.enabled_plugins(hook))
            for member in members
        ]

    def enabled_plugins(self, hook: str) -> list[TypeInfo]:
        """The enabled plug-ins that have this hook, each after those it names in `after`."""
        enabled = {name for name, row in self.tx.plugins().items() if row.get("enabled")}
        known = [plugin for plugin in self.types.family("plugin") if plugin.name in enabled and hook in plugin.hooks]
        ordered: list[TypeInfo] = []
        waiting = sorted(known, key=lambda plugin: plugin.name)
        while waiting:
            names = {plugin.name for plugin in waiting}
            ready = [plugin for plugin in waiting if not names & set(plugin.after)]
            if not ready:
                raise ConfigError(
                    f"Plug-ins wait for each other: {', '.join(sorted(names))}.",
                    remedy="Correct `after` in their meta/openqrm.yml.",
                )
            ordered += ready
            waiting = [plugin for plugin in waiting if plugin not in ready]
        return ordered

    def _hook_host(self, plugin: TypeInfo) -> str:
        words = {
            "controller": CONTROLLER,
            "boot_host": self.config.boot.host,
            "dhcp_host": self.config.dhcp_host or CONTROLLER,
        }
        return (plugin.host or "{controller}").format_map(words)

    def boot_step(self, stage: int, verb: str, item: dict[str, object], undo: str = "", member: str = "") -> Step:
        """One file of the boot tree."""
        return Step(stage, self.config.boot.host, role_of("service", "boot"), verb, item, undo, member)

    def heard_of(self, resource: Resource) -> bool:
        """Whether the resource's heartbeat is fresh, so that it takes orders."""
        if resource.last_seen is None:
            return False
        return datetime.now(UTC) - resource.last_seen < timedelta(seconds=self.config.deadlines.heartbeat_s)


def _hook_item(member: Member) -> dict[str, object]:
    return {
        "kind": "appliance",
        "name": manifest.hostname(member.appliance, member.assignment.member),
        "appliance": member.appliance.name,
        "member": member.assignment.member,
        "resource": member.resource.name,
        "address": member.resource.address,
        "epoch": member.assignment.epoch,
    }
