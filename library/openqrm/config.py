"""The configuration file `openqrm.yml`: where the store, the boot tree, the node API and the networks are."""

from __future__ import annotations

import dataclasses
import difflib
import ipaddress
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_type_hints
from urllib.parse import urlsplit

import yaml

from openqrm.disks import WIPES
from openqrm.errors import ConfigError, InvalidValueError
from openqrm.names import check_url

MAX_SECONDS, MAX_PORT = 7 * 24 * 3600, 65535
SEARCH = (Path("openqrm.yml"), Path("/etc/openqrm/openqrm.yml"))


@dataclass(frozen=True)
class Boot:
    """The boot tree: the inventory host and directory that hold it, and its URLs as nodes see them."""

    host: str = "localhost"
    root: str = "/srv/openqrm/boot"
    url: str = "http://127.0.0.1"
    tls_url: str = "https://127.0.0.1"


@dataclass(frozen=True)
class Api:
    """The node API: address and port it listens on, and its URL as nodes see it."""

    listen: str = "127.0.0.1"
    port: int = 7443
    url: str = "https://127.0.0.1:7443"


@dataclass(frozen=True)
class Operators:
    """The operator API: address and port it listens on; no address: there is none."""

    listen: str = ""
    port: int = 7444


@dataclass(frozen=True)
class Network:
    """One network: its prefix, and the range `first-last` from which the product gives out addresses (or empty)."""

    cidr: str = ""
    pool: str = ""


@dataclass(frozen=True)
class Networks:
    """The management network, on which nodes boot, and the storage network (empty: they are one)."""

    management: Network = field(default_factory=Network)
    storage: Network = field(default_factory=Network)


@dataclass(frozen=True)
class Deadlines:
    """How long to wait, in seconds: for a node to come up, to go down, and for a heartbeat; for a task of an operation
    on a host; for a node's work on its own disks; between two tries of an operation; for a turn on a storage server;
    for a sign of life of a controller on another host; and, beside the first, for a transfer."""

    node_up_s: int = 300
    node_down_s: int = 180
    heartbeat_s: int = 240
    operation_s: int = 1800
    disk_s: int = 3600
    retry_s: int = 5
    turn_s: int = 900
    lease_s: int = 7200
    transfer_s: int = 3000


@dataclass(frozen=True)
class Registration:
    """Who may become a resource, and when a machine that is known may register again.

    `policy`: `accept` everybody, `known_macs` only, or `approval` by a person. `reboot`: a boot that the controller did
    not cause is believed after `silence_s` without a heartbeat (`silent`), or once a person approves it (`ordered`).
    """

    policy: str = "accept"
    reboot: str = "silent"
    silence_s: int = 30
    pending: int = 1000
    token_s: int = 3600


@dataclass(frozen=True)
class Config:
    """All settings of one data centre; `path` is the file they came from."""

    path: Path = Path("openqrm.yml")
    store: str = "sqlite:////var/lib/openqrm/openqrm.db"
    state_dir: str = "/var/lib/openqrm"
    cache_dir: str = "/var/cache/openqrm"
    inventory: tuple[str, ...] = ()
    collections: tuple[str, ...] = ()
    boot: Boot = field(default_factory=Boot)
    api: Api = field(default_factory=Api)
    operators: Operators = field(default_factory=Operators)
    power_host: str = "localhost"
    dhcp_host: str = ""
    networks: Networks = field(default_factory=Networks)
    deadlines: Deadlines = field(default_factory=Deadlines)
    registration: Registration = field(default_factory=Registration)
    console_log: str = ""
    disk_wipe: str = "none"

    @property
    def ca_file(self) -> Path:
        """The certificate of the data centre's own authority, which nodes trust."""
        return Path(self.state_dir, "pki", "ca.pem")


def find_config(explicit: str | None = None) -> Path:
    """The configuration file: the given one, else $OPENQRM_CONFIG, else ./openqrm.yml, else /etc/openqrm/openqrm.yml.

    Raises: ConfigError.
    """
    named = explicit or os.environ.get("OPENQRM_CONFIG")
    if named:
        return Path(named)
    for path in SEARCH:
        if path.is_file():
            return path.resolve()
    places = ", ".join(str(path) for path in SEARCH)
    raise ConfigError(
        f"No configuration file: $OPENQRM_CONFIG is not set and none of {places} exists.",
        remedy="Write one (docs/configuration.md) or run `openqrm lab up`.",
    )


def load_config(explicit: str | None = None) -> Config:
    """The configuration from `find_config`'s file, checked.

    Raises: ConfigError naming file, line and key.
    """
    path = find_config(explicit)
    try:
        node = yaml.compose(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}.", remedy="Check the path and its permissions.") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{path}:{line}: this is not YAML: {error.problem}.", remedy="Correct the line.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not YAML: {error}.", remedy="Write it as text in UTF-8.") from error
    config: Config = _section(path, Config, node, "") if node is not None else Config()
    return dataclasses.replace(_checked(path, config), path=path)


def _section(path: Path, kind: type, node: yaml.Node, prefix: str) -> Any:
    """An instance of the dataclass `kind` from a YAML mapping."""
    if not isinstance(node, yaml.MappingNode):
        raise _error(path, node, prefix.rstrip(".") or "the file", "must be a mapping of keys to values")
    hints = get_type_hints(kind)
    known = sorted({item.name for item in dataclasses.fields(kind)} - {"path"})
    values: dict[str, Any] = {}
    for key, value in node.value:
        name = str(key.value)
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {prefix}{close[0]}?" if close else ""
            raise _error(path, key, f"{prefix}{name}", f"is not known{hint}; known: {', '.join(known)}")
        if name in values:
            raise _error(path, key, f"{prefix}{name}", "is given twice")
        values[name] = _value(path, hints[name], value, f"{prefix}{name}")
    return kind(**values)


def _value(path: Path, kind: Any, node: yaml.Node, name: str) -> Any:
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _section(path, kind, node, f"{name}.")
    if kind == tuple[str, ...]:
        if not isinstance(node, yaml.SequenceNode):
            raise _error(path, node, name, "must be a list")
        return tuple(_value(path, str, item, name) for item in node.value)
    if not isinstance(node, yaml.ScalarNode):
        raise _error(path, node, name, "must be a single value")
    text = str(node.value)
    if kind is int:
        highest = MAX_PORT if name.endswith(".port") else MAX_SECONDS
        if not (text.isascii() and text.isdigit() and 1 <= int(text) <= highest):
            raise _error(path, node, name, f"is {text!r}; it must be a whole number from 1 to {highest}")
        return int(text)
    try:
        CHECKS.get(name, str)(text)
    except ValueError as error:
        raise _error(path, node, name, f"is {text!r}: {error}") from error
    return text


def _absolute(text: str) -> None:
    if not text.startswith("/") or ".." in text.split("/"):
        raise ValueError("it must be an absolute path without '..'")


def _store_url(text: str) -> None:
    if not text.startswith(("sqlite:////", "postgresql+psycopg://")):
        raise ValueError("use sqlite:////absolute/path.db or postgresql+psycopg://user@host/database")


def _url(*schemes: str) -> Callable[[str], None]:
    """What nodes are told over HTTP is checked by digest or public; everything else goes over HTTPS, always."""

    def check(text: str) -> None:
        try:
            check_url("it", text, *schemes)
        except InvalidValueError as error:
            raise ValueError(f"it must be a URL, as {schemes[0]}://10.77.0.1. {error.remedy}") from error
        if urlsplit(text).port == 0:
            raise ValueError("its port cannot be 0")

    return check


def _choice(*words: str) -> Callable[[str], None]:
    def check(text: str) -> None:
        if text not in words:
            raise ValueError(f"use one of {', '.join(words)}")

    return check


def _prefix(text: str) -> None:
    if text:
        ipaddress.ip_network(text)


def _pool(text: str) -> None:
    ends = [ipaddress.ip_address(end.strip()) for end in text.split("-")] if text else []
    if ends and (len(ends) != 2 or ends[0].version != ends[1].version or int(ends[0]) > int(ends[1])):
        raise ValueError("it must be first-last, as 10.78.0.100-10.78.0.250")


# What the text of a key must be, beyond text. Raises: ValueError saying so.
CHECKS: dict[str, Callable[[str], object]] = {
    "store": _store_url,
    "state_dir": _absolute,
    "cache_dir": _absolute,
    "boot.root": _absolute,
    "boot.url": _url("http", "https"),
    "boot.tls_url": _url("https"),
    "api.url": _url("https"),
    "registration.policy": _choice("accept", "known_macs", "approval"),
    "registration.reboot": _choice("silent", "ordered"),
    "disk_wipe": _choice(*WIPES),
    **{f"networks.{name}.cidr": _prefix for name in ("management", "storage")},
    **{f"networks.{name}.pool": _pool for name in ("management", "storage")},
}


def _checked(path: Path, config: Config) -> Config:
    for label, network in (("management", config.networks.management), ("storage", config.networks.storage)):
        for address in network.pool.split("-") if network.pool and network.cidr else ():
            if ipaddress.ip_address(address.strip()) not in ipaddress.ip_network(network.cidr):
                raise ConfigError(
                    f"{path}: networks.{label}.pool: {address} is not in {network.cidr}.",
                    remedy="Give a pool of addresses of this network.",
                )
    deadlines = config.deadlines
    longest = max(
        deadlines.operation_s, deadlines.disk_s, deadlines.turn_s, deadlines.node_up_s + deadlines.node_down_s
    )
    if deadlines.lease_s <= longest:
        raise ConfigError(
            f"{path}: deadlines.lease_s is {deadlines.lease_s}: a controller may be silent for {longest} s.",
            remedy="Make it longer than operation_s, disk_s, turn_s, and node_up_s and node_down_s together.",
        )
    return config


def _error(path: Path, node: yaml.Node, name: str, problem: str) -> ConfigError:
    return ConfigError(f"{path}:{node.start_mark.line + 1}: {name} {problem}.", remedy="See docs/configuration.md.")
