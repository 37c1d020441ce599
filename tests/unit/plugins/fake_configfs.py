"""A directory tree that behaves as configfs does: objects come with attributes and groups, and go whole."""

from __future__ import annotations

import errno
import os
import re
import shutil
from pathlib import Path

from ansible_collections.openqrm.datacenter.plugins.module_utils.configfs import ConfigFs

# What the kernel puts into a new object: pattern of its path -> attributes with their first values. "x/" is a group.
LIO = {
    r"iscsi": {},
    r"iscsi/[^/]+": {},
    r"iscsi/[^/]+/tpgt_1": {
        "acls/": "",
        "lun/": "",
        "np/": "",
        "enable": "0",
        "attrib/authentication": "1",
        "attrib/generate_node_acls": "0",
        "attrib/demo_mode_write_protect": "1",
        "attrib/prod_mode_write_protect": "0",
    },
    r"iscsi/.*/tpgt_1/acls/[^/]+": {"info": "No active iSCSI Session for x", "auth/userid": "", "auth/password": ""},
    r"iscsi/.*/acls/[^/]+/lun_0": {"write_protect": "0"},
    r"iscsi/.*/tpgt_1/lun/lun_0": {},
    r"iscsi/.*/np/.+": {},
    r"core/(iblock|fileio)_\d+": {},
    r"core/[^/]+/[^/]+": {"control": "", "udev_path": "", "enable": "0", "wwn/vpd_unit_serial": ""},
}
NVMET = {
    r"hosts/[^/]+": {},
    r"subsystems/[^/]+": {
        "allowed_hosts/": "",
        "namespaces/": "",
        "attr_allow_any_host": "0",
        "attr_serial": "random",
    },
    r"subsystems/[^/]+/namespaces/1": {
        "device_path": "(null)",
        "device_uuid": "random",
        "buffered_io": "0",
        "enable": "0",
    },
    r"ports/\d+": {
        "subsystems/": "",
        "addr_trtype": "",
        "addr_adrfam": "",
        "addr_traddr": "",
        "addr_trsvcid": "",
    },
}
GROUPS = ("acls", "lun", "np", "attrib", "auth", "wwn", "allowed_hosts", "namespaces", "subsystems")


class FakeConfigFs(ConfigFs):
    """A part of configfs in a directory; ``objects`` is LIO or NVMET. Objects that are in use cannot be removed."""

    def __init__(self, root: Path, objects: dict[str, dict[str, str]], *first: str) -> None:
        super().__init__(root)
        self.objects = objects
        self.log: list[str] = []
        for name in first:
            (root / name).mkdir(parents=True)

    def make_directory(self, path: Path) -> None:
        name = str(path.relative_to(self.root))
        attributes = next(found for pattern, found in self.objects.items() if re.fullmatch(pattern, name))
        path.mkdir()
        self.log.append(f"make {name}")
        for attribute, value in attributes.items():
            if attribute.endswith("/"):
                (path / attribute).mkdir()
            else:
                (path / attribute).parent.mkdir(exist_ok=True)
                (path / attribute).write_text(f"{value}\n")

    def write(self, path: str | Path, value: str) -> None:
        if not (self.root / path).exists():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        enable = self.root / Path(path).parent / "enable"
        if str(path).endswith("device_path") and enable.read_text() == "1":
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), str(path))
        self.log.append(f"write {path} {value}")
        prefix = "T10 VPD Unit Serial Number: " if str(path).endswith("vpd_unit_serial") else ""
        super().write(path, prefix + value)

    def remove_directory(self, path: Path) -> None:
        for entry in path.iterdir():
            for inner in entry.iterdir() if entry.name in GROUPS else [entry]:
                if inner.is_symlink() or inner.is_dir():
                    raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), str(inner))
        shutil.rmtree(path)
