"""The storage server of a lab with more disks, for volumes of a type that needs its kernel."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.support.lab_session import LabSession
from tests.support.roles import Host, Outcome, Step, run

TIMEOUT_S = 3600


class StorageServer:
    """The server, and the verbs of a role at one location of it. `directory` is for playbooks."""

    def __init__(self, lab: LabSession, directory: Path, role: str, location: str) -> None:
        self.lab = lab
        self.role = role
        self.location = location
        self._directory = directory

    def attach_disk(self, size_mib: int, target: str = "vde") -> str:
        """The device of a new, empty disk of the server; `target` is its place on the bus."""
        image = self.lab.directory / f"images/storage-{target}.raw"
        with image.open("wb") as stream:
            stream.truncate(size_mib << 20)
        before = self._disks()
        attach = ["virsh", "--connect", self.lab.info["libvirt_uri"], "attach-disk", "storage", str(image), target]
        options = ["--driver", "qemu", "--subdriver", "raw", "--live"]
        subprocess.run([*attach, *options], check=True, capture_output=True, timeout=60)
        return f"/dev/{self.lab.wait('the disk', lambda: self._disks() - before).pop()}"

    def _disks(self) -> set[str]:
        return set(self.lab.on_storage("lsblk", "--nodeps", "--noheadings", "--output", "NAME").split())

    @property
    def host(self) -> Host:
        """The server, as the lab's inventory knows it."""
        return Host("lab-storage", self.lab.directory / "inventory")

    def steps(self, steps: Sequence[Step], variables: Mapping[str, Any] | None = None) -> list[Outcome]:
        """The outcomes of steps, which one playbook runs."""
        settings = {"OPENQRM_CONFIG": str(self.lab.directory / "openqrm.yml")}
        os.environ.update(settings)
        return run(self._directory, steps, variables or {}, host=self.host, timeout_s=TIMEOUT_S)

    def step(self, name: str, *volumes: Mapping[str, Any], check: bool = False) -> Step:
        """A verb for these volumes of the location; for none: for the location."""
        if name in ("prepare", "volume_list", "space"):
            return Step(self.role, name, {"storage_locations": [{"location": self.location}]}, check)
        items = [{"location": self.location} | dict(volume) for volume in volumes]
        return Step(self.role, name, {"storage_volumes": items}, check)

    def verb(self, name: str, *volumes: Mapping[str, Any], check: bool = False, **variables: Any) -> Outcome:
        """The outcome of one verb of the role."""
        return self.steps([self.step(name, *volumes, check=check)], variables)[0]
