"""The objects of a data centre as values. They carry no behaviour beyond what follows from their own fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

KINDS = ("resource", "kernel", "storage", "volume", "image", "appliance")
Parameters = Mapping[str, object]


@dataclass(frozen=True)
class Nic:
    """A network interface. `role`: `management` (boots), `storage` or empty; `address` with prefix length, or empty."""

    mac: str
    name: str = ""
    role: str = ""
    address: str = ""


# Modes of machines that run a system of their own, from their own disk or from a volume that their firmware booted. It
# has no agent, so they report nothing: the controller says that they are in this mode.
LOCAL, SAN = "local", "san"
UNHEARD_MODES = (LOCAL, SAN)


@dataclass(frozen=True)
class Resource:
    """A machine with CPU and memory. `type` is `physical` or `<technology>_vm`; sizes are what discovery found.

    `address` is its management address. `kernel` and `manifest` are the digests it reported last; `boot_id` changes
    with each boot; `last_seen` is None until it was heard of. `power` are the driver's parameters, never credentials.
    """

    id: int
    name: str
    state: str = "new"
    type: str = "physical"
    arch: str = "x86_64"
    cores: int = 0
    memory_mib: int = 0
    disk_mib: int = 0
    nics: tuple[Nic, ...] = ()
    tags: frozenset[str] = frozenset()
    address: str = ""
    power_driver: str = ""
    power: Parameters = field(default_factory=dict)
    firmware: str = ""
    hardware: Parameters = field(default_factory=dict)
    monitored: bool = True
    boot_id: str = ""
    mode: str = ""
    stage: str = ""
    kernel: str = ""
    manifest: str = ""
    reported_epoch: int = 0
    last_seen: datetime | None = None
    deadline: datetime | None = None
    parameters: Parameters = field(default_factory=dict)

    @property
    def boot_mac(self) -> str:
        """The MAC it boots from: that of the first management NIC, else of the first NIC, else empty."""
        chosen = [nic.mac for nic in self.nics if nic.role == "management"] or [nic.mac for nic in self.nics]
        return chosen[0] if chosen else ""


@dataclass(frozen=True)
class Kernel:
    """A kernel with its initramfs and module archive, by SHA-256. `sizes`: bytes, as `{"vmlinuz": 1}`."""

    id: int
    name: str
    version: str
    arch: str
    vmlinuz: str
    initramfs: str
    modules: str
    sizes: Parameters = field(default_factory=dict)
    parameters: Parameters = field(default_factory=dict)


@dataclass(frozen=True)
class Storage:
    """A storage server: an inventory host, a back-end type and the location on it; `address` as nodes reach it."""

    id: int
    name: str
    type: str
    host: str
    location: str
    address: str
    parameters: Parameters = field(default_factory=dict)


@dataclass(frozen=True)
class Volume:
    """What a back end manages. `parent` is the volume it was cloned from, or empty. `size_mib` 0: no limit."""

    id: int
    name: str
    storage: str
    size_mib: int = 0
    parent: str = ""
    parameters: Parameters = field(default_factory=dict)


@dataclass(frozen=True)
class Image:
    """A root file system: a volume and how it is deployed. `kind`: golden, clone or private."""

    id: int
    name: str
    storage: str
    volume: str
    deployment: str
    kind: str = "golden"
    shared: bool = False
    parent: str = ""
    parameters: Parameters = field(default_factory=dict)


@dataclass(frozen=True)
class Requirements:
    """What an appliance asks of a resource: at least the sizes, exactly type and arch, all tags.

    `anti_affinity` is a tag key: members of one appliance go to resources whose values of it differ (`rack`: no two in
    `rack:r1`), and resources without it are left out; empty: no rule. `resource` names the only one that will do.
    """

    cores: int = 1
    memory_mib: int = 1
    nics: int = 1
    disk_mib: int = 0
    type: str = "physical"
    arch: str = "x86_64"
    tags: frozenset[str] = frozenset()
    anti_affinity: str = ""
    resource: str = ""


@dataclass(frozen=True)
class Appliance:
    """A service: kernel + image + requirements, with `members` 0..n-1. `clone`: each start clones the golden image."""

    id: int
    name: str
    kernel: str
    image: str
    state: str = "stopped"
    requirements: Requirements = field(default_factory=Requirements)
    members: int = 1
    clone: bool = True
    root_mode: str = "read-write"
    sla: Parameters = field(default_factory=dict)
    deadline: datetime | None = None
    parameters: Parameters = field(default_factory=dict)


@dataclass(frozen=True)
class Assignment:
    """A resource bound to a member of an appliance. `image` is what that member boots (its clone, or the image)."""

    id: int
    appliance: str
    member: int
    resource: str
    image: str
    epoch: int
    plan: int


@dataclass(frozen=True)
class Operation:
    """One call of a role's verb on one host. `phase` orders operations; within it hosts work at the same time.

    `undo` is the verb that takes it back (empty: nothing to take back). `state`: pending, done, failed, undone.
    """

    seq: int
    phase: int
    host: str
    role: str
    verb: str
    variable: str
    items: tuple[Mapping[str, object], ...]
    undo: str = ""
    state: str = "pending"
    message: str = ""
    attempts: int = 0


@dataclass(frozen=True)
class Plan:
    """What a change needs, as a journal. `state`: planned, applying, done, failed, undone, cancelled.

    `basis` is the digest of the state it was computed from; a plan whose basis is no longer current is stale.
    """

    id: int
    verb: str
    state: str
    basis: str
    operations: tuple[Operation, ...]
    objects: tuple[Mapping[str, object], ...] = ()
    owner: str = ""
    created: datetime | None = None
    message: str = ""


@dataclass(frozen=True)
class Event:
    """Something that happened: severity info, warning or error; `kind` and `name` of the object, empty if none."""

    id: int
    time: datetime
    severity: str
    kind: str
    name: str
    message: str
    data: Parameters = field(default_factory=dict)


@dataclass(frozen=True)
class Order:
    """What a resource is told to do: assign, release, reboot or poweroff. `manifest` is the digest it is to read.

    `state`: pending, accepted, done, failed, or superseded by a later order.
    """

    id: int
    resource: str
    order: str
    epoch: int = 0
    manifest: str = ""
    state: str = "pending"
    message: str = ""


@dataclass(frozen=True)
class Identity:
    """What the node API knows a machine by: digests of its token, the token before, and the secret of its boot.

    `assignment`: id of the assignment that the token is bound to, 0 for none. `used`: when the token was first used.
    `approved` False: held until a person approves it. `boot_expected`: the controller caused its next registration.
    """

    resource: str
    token_sha256: str | None
    claim_sha256: str
    assignment: int
    issued: datetime
    used: datetime | None = None
    previous_sha256: str | None = None
    approved: bool = True
    boot_expected: bool = False


@dataclass(frozen=True)
class ApiToken:
    """An operator's token: `role` is viewer, operator or admin; `expires` None: never."""

    name: str
    role: str
    created: datetime
    expires: datetime | None = None

    def is_expired(self, now: datetime) -> bool:
        """Whether it is worth nothing any more."""
        return self.expires is not None and now >= self.expires


@dataclass(frozen=True)
class HostKey:
    """An SSH host key: `public` in OpenSSH's form, `sealed` the encrypted private key."""

    subject: str
    public: str
    sealed: str


@dataclass(frozen=True)
class AuditRow:
    """One change, by whom and why. `before` and `after` hold what changed; a volume's name is `storage/name`."""

    id: int
    time: datetime
    actor: str
    reason: str
    action: str
    kind: str
    name: str
    before: Parameters = field(default_factory=dict)
    after: Parameters = field(default_factory=dict)
