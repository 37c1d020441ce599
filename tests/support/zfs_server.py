"""The storage server of a lab with OpenZFS and one more disk."""

from __future__ import annotations

from pathlib import Path

from tests.support.lab_session import LabSession
from tests.support.storage_server import StorageServer

ROLE = "openqrm.datacenter.storage_zfs"
LOCATION = "tank/openqrm"
MOUNTED = f"/srv/openqrm/zfs/{LOCATION}"
DEVICES = f"/dev/zvol/{LOCATION}"
DISK_MIB = 24 << 10


class ZfsServer(StorageServer):
    """The server, with what ZFS says of the location."""

    def __init__(self, lab: LabSession, directory: Path) -> None:
        super().__init__(lab, directory, ROLE, LOCATION)

    def report(self, kinds: str, fields: str) -> list[list[str]]:
        """The fields of all datasets, or snapshots, of these kinds below the location."""
        lines = self.lab.on_storage("zfs", "list", "-H", "-p", "-r", "-t", kinds, "-o", fields, LOCATION).splitlines()
        return [line.split("\t") for line in lines]
