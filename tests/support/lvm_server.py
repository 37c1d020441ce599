"""The storage server of a lab with one more disk, for volumes of LVM."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.support.lab_session import LabSession
from tests.support.roles import Host, Outcome, Step, run

ROLE = "openqrm.datacenter.storage_lvm"
GROUP = "/dev/vg0"
MOUNTED = f"/srv/openqrm/lvm{GROUP}"
DISK_MIB = 24 << 10
POOL = {"storage_lvm_pool_size_mib": 16 << 10}
TIMEOUT_S = 3600


class LvmServer:
    """The server, and the verbs of the role on it. `directory` is for playbooks."""

    def __init__(self, lab: LabSession, directory: Path) -> None:
        self.lab = lab
        self._directory = directory

    def attach_disk(self) -> str:
        """The device of a new, empty disk of the server."""
        image = self.lab.directory / "images/storage-lvm.raw"
        with image.open("wb") as stream:
            stream.truncate(DISK_MIB << 20)
        before = self._disks()
        attach = ["virsh", "--connect", self.lab.info["libvirt_uri"], "attach-disk", "storage", str(image), "vde"]
        options = ["--driver", "qemu", "--subdriver", "raw", "--live"]
        subprocess.run([*attach, *options], check=True, capture_output=True, timeout=60)
        return f"/dev/{self.lab.wait('the disk', lambda: self._disks() - before).pop()}"

    def _disks(self) -> set[str]:
        return set(self.lab.on_storage("lsblk", "--nodeps", "--noheadings", "--output", "NAME").split())

    def steps(self, steps: Sequence[Step], variables: Mapping[str, Any] | None = None) -> list[Outcome]:
        """The outcomes of steps, which one playbook runs."""
        host = Host("lab-storage", self.lab.directory / "inventory")
        settings = {"OPENQRM_CONFIG": str(self.lab.directory / "openqrm.yml")}
        os.environ.update(settings)
        return run(self._directory, steps, variables or {}, host=host, timeout_s=TIMEOUT_S)

    def verb(self, name: str, *volumes: Mapping[str, Any], check: bool = False, **variables: Any) -> Outcome:
        """The outcome of one verb of the role."""
        return self.steps([step(name, *volumes, check=check)], variables)[0]

    def report(self, fields: str) -> list[list[str]]:
        """The fields of LVM's logical volumes of the group, in order of their names."""
        options = ["--noheadings", "--separator", ";", "--options", fields, "--sort", "lv_name"]
        lines = self.lab.on_storage("lvs", *options, "vg0").splitlines()
        return [line.strip().split(";") for line in lines]


def step(name: str, *volumes: Mapping[str, Any], check: bool = False) -> Step:
    """A verb for these volumes of the group; for none: for the group."""
    if name in ("prepare", "volume_list"):
        return Step(ROLE, name, {"storage_locations": [{"location": GROUP}]}, check)
    return Step(ROLE, name, {"storage_volumes": [{"location": GROUP} | dict(volume) for volume in volumes]}, check)
