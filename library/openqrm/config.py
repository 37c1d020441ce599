"""The configuration file `openqrm.yml`: where the store, the boot tree, the node API and the networks are."""

from __future__ import annotations

import dataclasses
import ipaddress
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_type_hints

import yaml

from openqrm.errors import ConfigError

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
    """How long to wait, in seconds: for a node to come up, to go down, and for a heartbeat."""

    node_up_s: int = 300
    node_down_s: int = 180
    heartbeat_s: int = 240


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
    power_host: str = "localhost"
    dhcp_host: str = ""
    networks: Networks = field(default_factory=Networks)
    deadlines: Deadlines = field(default_factory=Deadlines)

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
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not YAML: {error}") from error
    config: Config = _section(path, Config, node, "") if node is not None else Config()
    return dataclasses.replace(_checked(path, config), path=path)


def _section(path: Path, kind: type, node: yaml.Node, prefix: str) -> Any:
    """An instance of the dataclass `kind` from a YAML mapping."""
    if not isinstance(node, yaml.MappingNode):
        raise _error(path, node, prefix or "the file", "must be a mapping")
    hints = get_type_hints(kind)
    known = {item.name for item in dataclasses.fields(kind)} - {"path"}
    values: dict[str, Any] = {}
    for key, value in node.value:
        name = str(key.value)
        if name not in known:
            raise _error(path, key, f"{prefix}{name}", f"is not known; known: {', '.join(sorted(known))}")
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
    if kind is int:
        if not node.value.isdigit() or int(node.value) < 1:
            raise _error(path, node, name, f"is {node.value!r}; it must be a whole number above 0")
        return int(node.value)
    return str(node.value)


def _checked(path: Path, config: Config) -> Config:
    for label, network in (("management", config.networks.management), ("storage", config.networks.storage)):
        try:
            if network.cidr:
                ipaddress.ip_network(network.cidr)
            for address in network.pool.split("-") if network.pool else ():
                ipaddress.ip_address(address.strip())
        except ValueError as error:
            raise ConfigError(
                f"{path}: networks.{label}: {error}.", remedy="Use a prefix as 10.77.0.0/24, a pool as first-last."
            ) from error
    if not config.store.startswith(("sqlite:///", "postgresql+psycopg://")):
        raise ConfigError(
            f"{path}: store {config.store!r} is not supported.",
            remedy="Use sqlite:////absolute/path.db or postgresql+psycopg://user@host/database.",
        )
    return config


def _error(path: Path, node: yaml.Node, name: str, problem: str) -> ConfigError:
    return ConfigError(f"{path}:{node.start_mark.line + 1}: {name} {problem}.", remedy="See docs/configuration.md.")
