"""The storage server of a lab with one more disk, for volumes of LVM."""

from __future__ import annotations

from pathlib import Path

from tests.support.lab_session import LabSession
from tests.support.storage_server import StorageServer

ROLE = "openqrm.datacenter.storage_lvm"
GROUP = "/dev/vg0"
MOUNTED = f"/srv/openqrm/lvm{GROUP}"
DISK_MIB = 24 << 10
POOL = {"storage_lvm_pool_size_mib": 16 << 10}


class LvmServer(StorageServer):
    """The server, with what LVM says of the group."""

    def __init__(self, lab: LabSession, directory: Path) -> None:
        super().__init__(lab, directory, ROLE, GROUP)

    def report(self, fields: str) -> list[list[str]]:
        """The fields of LVM's logical volumes of the group, in order of their names."""
        options = ["--noheadings", "--separator", ";", "--options", fields, "--sort", "lv_name"]
        lines = self.lab.on_storage("lvs", *options, "vg0").splitlines()
        return [line.strip().split(";") for line in lines]
