"""One data centre: its configuration, its store and its types."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from openqrm.config import Config
from openqrm.store import Store, open_store
from openqrm.types import TypeRegistry


@dataclass(frozen=True)
class Datacenter:
    """What every part on the controller works on. Close it when done; do not share it between processes."""

    config: Config
    store: Store

    @classmethod
    def open(cls, config: Config) -> Datacenter:
        """The data centre of this configuration. Raises: StoreError."""
        return cls(config, open_store(config.store))

    @cached_property
    def types(self) -> TypeRegistry:
        """The types of this collection and of the configured ones. Raises: ConfigError."""
        return TypeRegistry.load(self.config.collections)

    def close(self) -> None:
        """Closes the store's connections."""
        self.store.close()
