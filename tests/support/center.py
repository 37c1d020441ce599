"""A data centre of simulated parts in a temporary directory: store, boot tree, inventory and fake types."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import yaml
from openqrm.config import Config, load_config
from openqrm.datacenter import Datacenter
from openqrm.model import Appliance, Kernel, Nic, Requirements, Resource, Storage
from openqrm.planning import changes
from openqrm.planning.changes import Prepared
from openqrm.runner import RunResult, environment, run_playbook
from openqrm.store import Store, open_store, upgrade

KERNEL = Kernel(0, "default", "6.1.0-13-cloud-amd64", "x86_64", "a" * 64, "b" * 64, "c" * 64)


@dataclass
class FakeCenter:
    """The data centre; `root` holds all of its files."""

    root: Path
    config: Config
    store: Store

    def add_nodes(self, count: int, *, memory_mib: int = 1024, prefix: str = "node") -> list[str]:
        """Idle resources with the fake power driver; their names."""
        nodes = [
            Resource(
                0,
                f"{prefix}{number:05}",
                cores=2,
                memory_mib=memory_mib,
                nics=(
                    Nic(f"52:54:00:{number >> 16:02x}:{number >> 8 & 255:02x}:{number & 255:02x}", role="management"),
                ),
                address=f"10.{77 + (number >> 16)}.{number >> 8 & 255}.{number & 255}",
                power_driver="fake",
                power={"address": "fake", "system": f"{number}"},
                mode="idle",
            )
            for number in range(1, count + 1)
        ]
        with self.store.write("test", "nodes") as tx:
            tx.save(nodes)
            tx.set_state("resource", [node.name for node in nodes], "idle")
        return [node.name for node in nodes]

    def add_appliances(self, names: Sequence[str], *, storages: int = 1, **fields: object) -> None:
        """Appliances over a golden image on each of so many fake storage servers, in turn."""
        servers = [f"san{number + 1}" for number in range(storages)]
        with self.store.write("test", "storages") as tx:
            known = {storage.name for storage in tx.storages()}
            new = [server for server in servers if server not in known]
            tx.save([Storage(0, server, "fake", server, "/srv/fake", "10.78.0.10") for server in new])
        images = [{"name": f"golden-{server}", "storage": server, "deployment": "fake"} for server in new]
        if images and not (result := self.run("image_create", images=images)).ok:
            raise RuntimeError("; ".join(result.errors))
        with self.store.write("test", "appliances") as tx:
            rows = [
                Appliance(0, name, "default", f"golden-{servers[n % storages]}", requirements=Requirements())
                for n, name in enumerate(names)
            ]
            tx.save([replace(row, **fields) for row in rows])  # type: ignore[arg-type]

    def run(self, playbook: str, *, check: bool = False, **variables: object) -> RunResult:
        """Runs the playbook by ansible-runner."""
        return run_playbook(self.config, playbook, variables, check=check)

    def prepare(self, verb: str, *, owner: str, **arguments: object) -> Prepared:
        """Prepares a plan, as the command line does before it runs the playbook."""
        return changes.prepare(Datacenter(self.config, self.store), verb, arguments, owner=owner, actor="test")

    def ansible_playbook(self, playbook: str, *flags: str, **variables: object) -> subprocess.CompletedProcess[str]:
        """Runs the playbook by ansible-playbook, as an operator would."""
        inventory = [part for source in self.config.inventory for part in ("-i", source)]
        command = [*inventory, f"openqrm.datacenter.{playbook}", "-e", json.dumps(variables), *flags]
        return subprocess.run(
            [str(Path(sys.executable).with_name("ansible-playbook")), *command],
            env=os.environ | environment(self.config),
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )

    def fault(self, *faults: Mapping[str, object]) -> None:
        """Lets verbs of fake types fail: `verb`, `fault` (fail or hang), `item` and `times` if wanted."""
        self._write_inventory(list(faults))

    def _write_inventory(self, faults: list[Mapping[str, object]]) -> None:
        local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        hosts: dict[str, object] = {name: {} for name in ("localhost", *(f"san{n}" for n in range(1, 9)))}
        common = local | {"fake_state_dir": str(self.root / "fake"), "fake_faults": faults}
        (self.root / "inventory.yml").write_text(yaml.safe_dump({"all": {"hosts": hosts, "vars": common}}))


def make_center(root: Path, url: str = "") -> FakeCenter:
    """A data centre below `root`, in a new SQLite database or the given empty one."""
    settings = {
        "store": url or f"sqlite:///{root}/openqrm.db",
        "state_dir": str(root / "state"),
        "cache_dir": str(root / "cache"),
        "inventory": [str(root / "inventory.yml")],
        "boot": {"host": "localhost", "root": str(root / "boot")},
        "deadlines": {"node_up_s": 20, "node_down_s": 10, "heartbeat_s": 240, "retry_s": 1},
    }
    (root / "openqrm.yml").write_text(yaml.safe_dump(settings))
    config = load_config(str(root / "openqrm.yml"))
    upgrade(config.store)
    center = FakeCenter(root, config, open_store(config.store))
    center.fault()
    with center.store.write("test", "seed") as tx:
        tx.save([KERNEL])
        tx.set_setting("default_kernel", "default")
    return center
