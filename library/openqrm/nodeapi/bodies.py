"""What nodes may send, with a limit on every field. Unknown fields are ignored: a node may be newer than we are."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from openqrm.names import SHA256, check_address, check_mac

MAX_EPOCH = 2**31 - 1
MAX_SIZE_MIB = 1 << 40


def _plain(text: str) -> str:
    """The text as one printable line: firmware tables hold control characters; logs and terminals must not."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def _mac(text: str) -> str:
    return check_mac(text)


def _address(text: str) -> str:
    return check_address("Address", text) if text else ""


def _digest(text: str) -> str:
    if text and not SHA256.fullmatch(text):
        raise ValueError("must be 64 lower-case hexadecimal digits, or empty")
    return text


def _unique(macs: list[str]) -> list[str]:
    return list(dict.fromkeys(macs))


Text = Annotated[str, Field(max_length=256), AfterValidator(_plain)]
Message = Annotated[str, Field(max_length=4096), AfterValidator(_plain)]
Word = Annotated[str, Field(max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]*$|^$")]
Mac = Annotated[str, Field(max_length=17), AfterValidator(_mac)]
Address = Annotated[str, Field(max_length=45), AfterValidator(_address)]
Digest = Annotated[str, Field(max_length=64), AfterValidator(_digest)]
Epoch = Annotated[int, Field(ge=0, le=MAX_EPOCH)]
Mib = Annotated[int, Field(ge=0, le=MAX_SIZE_MIB)]
Load = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]


class Body(BaseModel):
    """Base of all bodies: frozen; unknown fields are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Dmi(Body):
    """What the firmware says about the machine; `uuid` is its SMBIOS UUID."""

    vendor: Text = ""
    product: Text = ""
    serial: Text = ""
    uuid: Text = ""


class Disk(Body):
    """A local disk."""

    name: Text
    size_mib: Mib
    model: Text = ""


class NodeNic(Body):
    """A network interface; `speed_mbit` -1: not known."""

    mac: Text
    name: Text = ""
    driver: Text = ""
    link: bool = False
    speed_mbit: Annotated[int, Field(ge=-1, le=2**32)] = -1


class Bmc(Body):
    """The management controller's address, empty if there is none."""

    address: Address = ""


class Hardware(Body):
    """The body of a registration: who the node is and what it is made of.

    `claim`: a secret that the node made for this boot; it may repeat its registration with it if the answer was lost.
    """

    macs: Annotated[list[Mac], Field(min_length=1, max_length=64), AfterValidator(_unique)]
    boot_mac: Mac
    address: Address
    boot_id: Word
    claim: Annotated[str, Field(max_length=128, pattern=r"^[A-Za-z0-9_-]*$")] = ""
    mode: Literal["idle", "assigned", "deployed"] = "idle"
    firmware: Word = ""
    arch: Annotated[str, Field(pattern=r"^[a-z0-9_]{1,32}$")] = "x86_64"
    cores: Annotated[int, Field(ge=1, le=65536)]
    memory_mib: Annotated[int, Field(ge=1, le=MAX_SIZE_MIB)]
    kernel: Digest = ""
    dmi: Dmi = Dmi()
    disks: Annotated[list[Disk], Field(max_length=1024)] = []
    nics: Annotated[list[NodeNic], Field(max_length=64)] = []
    bmc: Bmc = Bmc()


class Registered(Body):
    """The answer to a registration: `heartbeat_s`, `token_s`: how often to send heartbeats, to exchange the token.

    `approved` false: the machine is held until a person approves it.
    """

    resource: str
    token: str
    state: str
    heartbeat_s: int
    token_s: int
    approved: bool


class Secrets(Body):
    """What only this machine may know: the private SSH host key of what is assigned to it, and the secret of its root's
    grant on the storage server; empty where there is none."""

    ssh_host_key: str
    grant: str


class Exchanged(Body):
    """A new token; the one before is good until the new one was used, and a minute longer. `secrets`: if asked for."""

    token: str
    approved: bool
    secrets: Secrets | None = None


class OrderAnswer(Body):
    """What a node is to do. `manifest` is the digest of the manifest file to read, empty if none is needed."""

    id: int
    order: Literal["assign", "reboot", "poweroff", "release"]
    epoch: int
    manifest: str


class OrderResult(Body):
    """What became of an order."""

    result: Literal["accepted", "done", "failed"]
    message: Message = ""


class NodeEvent(Body):
    """Something that happened on a node; `step` is where, as `mount_root`."""

    severity: Literal["info", "warning", "error"]
    step: Text = ""
    message: Message
    epoch: Epoch = 0


class Heartbeat(Body):
    """A sign of life: what the node booted and runs."""

    boot_id: Word
    mode: Literal["idle", "deployed"]
    stage: Literal["init", "up", "disk"] = "up"
    epoch: Epoch = 0
    manifest: Digest = ""
    kernel: Digest = ""
    uptime_s: Annotated[float, Field(ge=0, le=1e11, allow_inf_nan=False)] = 0
    load: Annotated[list[Load], Field(max_length=3)] = []
    memory_free_mib: Mib = 0


class ErrorAnswer(Body):
    """Every error: what is wrong, and what to do."""

    error: str
    remedy: str = ""
