# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Grants of an NFS server: which client address may mount which directory, "rw" or "ro"."""

from __future__ import annotations

import ipaddress
from pathlib import Path

from ansible_collections.openqrm.datacenter.plugins.module_utils.grants import GrantError, GrantServer, plain_path


class NfsServer(GrantServer):
    """What the NFS servers (kernel, nfs-ganesha) have in common."""

    def key(self, grant):
        """Return (directory, client address) of a grant. Raises GrantError for what could not be in an exports file."""
        path, address = plain_path(grant["path"]), grant["client"].get("address") or ""
        try:
            # A zone, as in fe80::1%eth0, could be any text.
            return path, str(ipaddress.ip_address("" if "%" in address else address))
        except ValueError as error:
            raise GrantError(f"Grant of {path}: the client's address {address!r} is not an IP address.") from error

    def check(self, grant):
        """Raise GrantError unless the directory that is to be exported is there."""
        path = grant["path"]
        if not Path(path).is_dir() or Path(path).is_symlink():
            raise GrantError(f"Grant of {path}: there is no such directory on this server; create the volume first.")

    def value(self, grant):
        """Return how the client may mount the directory."""
        return "ro" if grant.get("read_only") else "rw"
