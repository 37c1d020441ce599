"""What an object may refer to, and what keeps one from being changed or removed: rules over the other objects."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar, cast

from openqrm.desired.compare import Change, label
from openqrm.disks import disk_settings
from openqrm.errors import ConflictError, InUseError, InvalidValueError, NotFoundError
from openqrm.memoryroots import ARCHIVE, MEMORY, memory_settings
from openqrm.model import Appliance, Assignment, Image, Kernel, Resource, Storage
from openqrm.roots import PRIVATE, is_shared, private_volume, root_settings
from openqrm.storageservers import appliance_of
from openqrm.storagesettings import storage_settings
from openqrm.store import Reader
from openqrm.transfers import pending
from openqrm.types import TypeInfo, TypeRegistry

# These decide on what runs; they stay as they are while a member runs.
RUNNING_FIELDS = ("image", "clone", "root_mode")
MOUNTED_FIELDS = ("storage", "volume", "deployment")
PLACE_FIELDS = ("type", "location")
T = TypeVar("T")
# Gives the types when a rule asks for them: reading the metadata of all roles takes longer than most changes.
Types = Callable[[], TypeRegistry]


@dataclass(frozen=True)
class World:
    """The other objects, each kind read once when a rule first asks for it, and the changes that are to be made."""

    reader: Reader
    types: Types
    changes: Sequence[Change]

    @cached_property
    def storages(self) -> dict[str, Storage]:
        """All storages by name."""
        return {item.name: item for item in self.reader.storages()}

    @cached_property
    def kernels(self) -> dict[str, Kernel]:
        """All kernels by name."""
        return {item.name: item for item in self.reader.kernels()}

    @cached_property
    def images(self) -> dict[str, Image]:
        """All images by name, as they are after the changes."""
        new = [change.after for change in self.changes if isinstance(change.after, Image)]
        return {item.name: item for item in (*self.reader.images(), *new)}

    @cached_property
    def volumes(self) -> dict[tuple[str, str], list[str]]:
        """The names of the images by storage and volume, as they are after the changes."""
        found: dict[tuple[str, str], list[str]] = {}
        for item in self.images.values():
            found.setdefault((item.storage, item.volume), []).append(item.name)
        return found

    @cached_property
    def appliances(self) -> list[Appliance]:
        """All appliances."""
        return list(self.reader.appliances())

    @cached_property
    def assignments(self) -> list[Assignment]:
        """All assignments."""
        return list(self.reader.assignments())

    @cached_property
    def mac_owners(self) -> dict[str, str]:
        """By MAC that the changes want: the name of the resource that has it and is not changed itself."""
        changed = {change.name for change in self.changes}
        wanted = [nic.mac for change in self.changes if isinstance(change.after, Resource) for nic in change.after.nics]
        found = [item for item in self.reader.resources(macs=wanted) if item.name not in changed]
        return {nic.mac: item.name for item in found for nic in item.nics}

    @cached_property
    def wanted_resources(self) -> set[str]:
        """The resources that exist, of those that appliances name."""
        wanted = [change.after.requirements.resource for change in self.changes if isinstance(change.after, Appliance)]
        return {item.name for item in self.reader.resources(sorted({name for name in wanted if name}))}

    def type_of(self, what: str, family: str, name: str) -> TypeInfo:
        """The type of this name. Raises: NotFoundError that names the object `what` and the known types."""
        try:
            return self.types().get(family, name)
        except NotFoundError as error:
            error.message = f"{what}: {error.message}"
            raise


def check_present(world: World) -> None:
    """Returns if the objects fit the others when all changes are made.

    Raises: InvalidValueError, NotFoundError, ConflictError, InUseError.
    """
    if any(change.kind == "resource" and change.changed for change in world.changes):
        _check_macs(world)
    rules = {"resource": _resource, "storage": _storage, "image": _image, "appliance": _appliance}
    for change in world.changes:
        if change.changed and change.kind in rules:
            rules[change.kind](world, label(change.kind, change.name), change)


def check_absent(world: World) -> None:
    """Returns if nothing uses the objects that are to go. Raises: InUseError saying by whom."""
    users = {
        "resource": _users_of_resource,
        "kernel": _users_of_kernel,
        "storage": _users_of_storage,
        "image": _users_of_image,
        "appliance": _users_of_appliance,
    }
    for change in world.changes:
        if change.before is not None:
            who, remedy = users[change.kind](world, change.name)
            _refuse(f"{label(change.kind, change.name)} cannot be removed", who, remedy)


def _refuse(what: str, who: Iterable[str], remedy: str) -> None:
    named = list(dict.fromkeys(who))
    if named:
        more = f" and {len(named) - 5} more" if len(named) > 5 else ""
        raise InUseError(f"{what}: it is used by {', '.join(named[:5])}{more}.", remedy=remedy)


def _altered(change: Change, keys: Sequence[str]) -> list[str]:
    if change.before is None:
        return []
    return [key for key in keys if getattr(change.before, key) != getattr(change.after, key)]


def _check_macs(world: World) -> None:
    owners = dict(world.mac_owners)
    for change in world.changes:
        for nic in change.after.nics if isinstance(change.after, Resource) else ():
            owner = owners.setdefault(nic.mac, change.name)
            if owner != change.name:
                raise ConflictError(
                    f"Resource {change.name}: MAC address {nic.mac} belongs to resource {owner}.",
                    remedy="Each MAC address is of one resource: correct it, or remove the other resource first.",
                )


def _resource(world: World, what: str, change: Change) -> None:
    after = cast(Resource, change.after)
    if after.power_driver:
        world.type_of(what, "power", after.power_driver)
    before = change.before.nics if isinstance(change.before, Resource) else ()
    gone = sorted({nic.mac for nic in before} - {nic.mac for nic in after.nics})
    if gone:
        _refuse(
            f"{what}: NIC {', '.join(gone)} cannot be removed",
            _users_of_resource(world, change.name)[0],
            "Stop these appliances first.",
        )


def _storage(world: World, what: str, change: Change) -> None:
    after = cast(Storage, change.after)
    world.type_of(what, "storage", after.type)
    storage_settings(what, after.parameters)
    altered = _altered(change, PLACE_FIELDS)
    if altered:
        _refuse(f"{what}: {', '.join(altered)} cannot be changed", *_users_of_storage(world, change.name))
    if _altered(change, ["host"]):  # a grant is revoked where it was given
        here = {image.name for image in world.images.values() if image.storage == change.name}
        running = [f"appliance {row.appliance} (member {row.member})" for row in world.assignments if row.image in here]
        _refuse(f"{what}: host cannot be changed", running, "Stop these appliances first.")


def _image(world: World, what: str, change: Change) -> None:
    after = cast(Image, change.after)
    storage = _known(what, "storage", after.storage, world.storages)
    backend = world.type_of(what, "storage", storage.type)
    deployment = world.type_of(what, "deployment", after.deployment)
    if not backend.presents_for(deployment.needs):
        raise InvalidValueError(
            f"{what}: deployment {after.deployment} needs a {deployment.needs} volume, "
            f"storage {storage.name} ({storage.type}) presents {' and '.join(backend.presents)}.",
            remedy="Choose a deployment that fits the storage, or another storage.",
        )
    _check_volume(world, what, after)
    if deployment.boot_mode == MEMORY:
        _check_memory(world, what, change, after)
    if _altered(change, ["shared"]) and not after.shared:
        users = [f"appliance {a.name}" for a in world.appliances if a.image == change.name and _shares(a, deployment)]
        _refuse(f"{what} cannot stop being shared", users, "Give these appliances root mode read-write.")
    altered = _altered(change, MOUNTED_FIELDS)
    if altered:
        running = [f"appliance {row.appliance}" for row in world.assignments if row.image == change.name]
        _refuse(f"{what}: {', '.join(altered)} cannot be changed", running, "Stop these appliances first.")


def _shares(appliance: Appliance, deployment: TypeInfo) -> bool:
    """Whether members of the appliance run from its image itself, several of them where it has them."""
    return is_shared(appliance.root_mode) or (deployment.boot_mode == MEMORY and appliance.members > 1)


def _check_memory(world: World, what: str, change: Change, image: Image) -> None:
    """A root in memory: what fills it is what is granted, and stays so while a member runs."""
    memory_settings(what, image.parameters)
    before = change.before.parameters if isinstance(change.before, Image) else {}
    if before.get(ARCHIVE) != image.parameters.get(ARCHIVE):
        running = [f"appliance {row.appliance}" for row in world.assignments if row.image == change.name]
        _refuse(f"{what}: {ARCHIVE} cannot be changed", running, "Stop these appliances first.")


def _check_volume(world: World, what: str, image: Image) -> None:
    if image.parent:
        _known(what, "image", image.parent, {name: item for name, item in world.images.items() if name != image.name})
    others = [name for name in world.volumes[image.storage, image.volume] if name != image.name]
    if others:
        raise ConflictError(
            f"{what}: volume {image.volume} of storage {image.storage} is image {others[0]} already.",
            remedy="Give each image its own volume, or use that image.",
        )


def _known(what: str, kind: str, name: str, known: Mapping[str, T]) -> T:
    if name not in known:
        raise NotFoundError(f"{what}: {kind}", name, known)
    return known[name]


def _appliance(world: World, what: str, change: Change) -> None:
    after = cast(Appliance, change.after)
    if not after.kernel:
        raise InvalidValueError(
            f"{what} has no kernel and there is no default kernel.", remedy="Give its kernel, or make one the default."
        )
    kernel = _known(what, "kernel", after.kernel, world.kernels)
    image = _known(what, "image", after.image, world.images)
    if kernel.arch != after.requirements.arch:
        raise InvalidValueError(
            f"{what}: kernel {kernel.name} is for {kernel.arch}, the requirements ask for {after.requirements.arch}.",
            remedy="Choose a kernel of that architecture, or change requirements.arch.",
        )
    wanted = after.requirements.resource
    if wanted and wanted not in world.wanted_resources:
        raise NotFoundError(f"{what}: requirements.resource: resource", wanted, world.reader.names("resource"))
    root_settings(what, after.root_mode, after.parameters)
    disk_settings(what, after.parameters)
    pending(after)
    if is_shared(after.root_mode):
        _check_shared_root(world, what, after, image)
    else:
        _check_own_root(world, what, after, image)
    _check_running(world, what, change, after)


def _check_shared_root(world: World, what: str, appliance: Appliance, image: Image) -> None:
    """A root mode in which members boot the image itself, each with changes of its own."""
    mode = appliance.root_mode
    if not image.shared:
        raise InvalidValueError(
            f"{what} has root mode {mode}, but image {image.name} is not shared.",
            remedy="Share the image (shared: true), or use root mode read-write.",
        )
    deployment = world.type_of(what, "deployment", image.deployment)
    if deployment.boot_mode != "network_root":
        raise InvalidValueError(
            f"{what} has root mode {mode}, but deployment {image.deployment} of image {image.name} mounts no "
            f"root over the network (its boot mode is {deployment.boot_mode or 'none'}).",
            remedy="Use root mode read-write, or an image that is deployed as nfs is.",
        )
    storage = world.storages[image.storage]
    backend = world.type_of(what, "storage", storage.type)
    if mode == PRIVATE and backend.presents_for(deployment.needs) != "filesystem":
        raise InvalidValueError(
            f"{what} has root mode private, but storage {storage.name} ({storage.type}) has no file systems for it.",
            remedy="Use root mode overlay, or an image on a storage that presents file systems.",
        )
    if mode == PRIVATE:
        private_volume(appliance.name, appliance.members - 1)


def _check_own_root(world: World, what: str, appliance: Appliance, image: Image) -> None:
    """Root mode read-write: what a member boots is its own."""
    if world.type_of(what, "deployment", image.deployment).boot_mode == MEMORY:
        if appliance.members > 1 and not image.shared:
            raise InvalidValueError(
                f"{what} has {appliance.members} members, but image {image.name} is not shared.",
                remedy="Share the image (shared: true): each member fills a root of its own in its memory.",
            )
        return
    if not appliance.clone and appliance.members > 1:
        raise InvalidValueError(
            f"{what} has {appliance.members} members that would all write to image {image.name}"
            f"{'' if image.shared else ', which is not shared'}.",
            remedy="Set clone: true, use one member, or share the image and use root mode overlay or private.",
        )
    storage = world.storages[image.storage]
    if appliance.clone and "clone" not in world.type_of(what, "storage", storage.type).capabilities:
        raise InvalidValueError(
            f"{what} is to clone image {image.name}, but storage {storage.name} ({storage.type}) cannot clone.",
            remedy="Set clone: false, or use an image on a storage that can.",
        )


def _check_running(world: World, what: str, change: Change, appliance: Appliance) -> None:
    altered = _altered(change, ("members", *RUNNING_FIELDS))
    running = [row for row in world.assignments if row.appliance == change.name] if altered else []
    if altered == ["members"]:
        running = [row for row in running if row.member >= appliance.members]
    if running:
        where = ", ".join(f"member {row.member} on {row.resource}" for row in running[:5])
        raise InUseError(
            f"{what}: {', '.join(altered)} cannot be changed while it runs ({where}).",
            remedy="Stop the appliance first.",
        )


def _users_of_resource(world: World, name: str) -> tuple[list[str], str]:
    running = [f"appliance {row.appliance} (member {row.member})" for row in world.assignments if row.resource == name]
    asking = [item.name for item in world.appliances if item.requirements.resource == name]
    fixed = [f"appliance {item} (requirements.resource)" for item in asking]
    return running + fixed, "Stop these appliances, and change their requirements."


def _users_of_kernel(world: World, name: str) -> tuple[list[str], str]:
    default = ["idle resources (it is the default kernel)"] if world.reader.setting("default_kernel") == name else []
    appliances = [f"appliance {item.name}" for item in world.appliances if item.kernel == name]
    return default + appliances, "Make another kernel the default, and give these appliances another one."


def _users_of_storage(world: World, name: str) -> tuple[list[str], str]:
    images = [item for item in world.images.values() if item.storage == name]
    volumes = {item.volume for item in images}
    rest = [f"volume {item.name}" for item in world.reader.volumes(name) if item.name not in volumes]
    return [f"image {item.name}" for item in images] + rest, "Remove these first."


def _users_of_image(world: World, name: str) -> tuple[list[str], str]:
    appliances = [f"appliance {item.name}" for item in world.appliances if item.image == name]
    running = [f"appliance {row.appliance} (member {row.member})" for row in world.assignments if row.image == name]
    children = [f"image {item.name} (cloned from it)" for item in world.images.values() if item.parent == name]
    return appliances + running + children, "Remove these first, or give them another image."


def _users_of_appliance(world: World, name: str) -> tuple[list[str], str]:
    running = [f"resource {row.resource} (member {row.member})" for row in world.assignments if row.appliance == name]
    if running:
        return running, f"Run `openqrm appliance stop {name}` first."
    served = [f"storage {storage.name}" for storage in world.storages.values() if appliance_of(storage) == name]
    return served, "It is the server of these: remove them first."
