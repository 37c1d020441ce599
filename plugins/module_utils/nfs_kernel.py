# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Grants of Linux's own NFS server: one exports file, exportfs, and the clients that nfsd shows below /proc."""

from __future__ import annotations

import contextlib
import re
import time
from pathlib import Path

from ansible_collections.openqrm.datacenter.plugins.module_utils.commands import run
from ansible_collections.openqrm.datacenter.plugins.module_utils.files import read_text, write_atomic
from ansible_collections.openqrm.datacenter.plugins.module_utils.nfs_grants import NfsServer

HEAD = "# Managed by openqrm.datacenter.deployment_nfs\n"
LINE = re.compile(r"(\S+)\s+([^\s(]+)\(([^)]*)\)")
ADDRESS = re.compile(r'^address: "\[?([0-9a-fA-F:.]+?)\]?:\d+"', re.MULTILINE)
OPEN_FILE = re.compile(r'superblock: "([0-9a-f]+):([0-9a-f]+):(\d+)"')


def parse_exports(text):
    """Return the grants in ``text``, an exports file or the output of ``exportfs -s``."""
    grants = {}
    for path, client, options in LINE.findall(text):
        grants.setdefault(path, {})[client] = "ro" if "ro" in options.split(",") else "rw"
    return grants


def format_exports(grants, options):
    """Return the exports file of ``grants``, one line each: the directory for one client address with ``options``."""
    return HEAD + "".join(
        f"{path} {address}({mode},{options})\n"
        for path, clients in sorted(grants.items())
        for address, mode in sorted(clients.items())
    )


class KernelServer(NfsServer):
    """The kernel's NFS server of this machine."""

    def __init__(self, exports_file, options, timeout_s, nfsd="/proc/fs/nfsd", command=run):
        """Keep the settings: ``options`` are the export options after rw or ro, ``timeout_s`` bounds revoking."""
        self._exports_file = exports_file
        self._options = options
        self._timeout_s = timeout_s
        self._nfsd = Path(nfsd)
        self._command = command

    def written(self):
        """Return the grants of the exports file."""
        return parse_exports(read_text(self._exports_file) or "")

    def unserved(self, grants):
        """Return the pairs of ``grants`` that are not in the kernel's export list, or there in another mode."""
        served = parse_exports(self._command(["exportfs", "-s"])) if grants else {}
        return {
            (path, address)
            for path, clients in grants.items()
            for address, mode in clients.items()
            if served.get(path, {}).get(address) != mode
        }

    def apply(self, grants, _pairs):
        """Write the exports file and have the server take it up. What other files export stays."""
        Path(self._exports_file).parent.mkdir(parents=True, exist_ok=True)
        write_atomic(self._exports_file, format_exports(grants, self._options))
        self._command(["exportfs", "-r"], timeout_s=self._timeout_s)

    def end_sessions(self, revoked, grants):
        """End the sessions of clients that have no grant left; return (directory, address) -> what is left.

        Without an export the kernel refuses each request for the directory at once, whatever the client has open.
        Source: nfsd looks the export up at every PUTFH. Ending the client's state frees what it has open, too.
        A client that keeps a grant is left alone; its files that are still open below the directory are counted.
        """
        kept = {address for clients in grants.values() for address in clients}
        deadline = time.monotonic() + self._timeout_s
        for address in {address for _path, address in revoked} - kept:
            self._expire(address, deadline)
        return {
            (path, address): self._open_below(path, address) if address in kept else len(self._holders(address))
            for path, address in revoked
        }

    def count_sessions(self, pair):
        """Return the number of clients with this address, whatever directory they use."""
        return len(self._clients(pair[1]))

    def _clients(self, address):
        found = []
        for info in self._nfsd.glob("clients/*/info"):
            match = ADDRESS.search(read_gone(info))
            if match and match.group(1) == address:
                found.append(info.parent)
        return found

    def _holders(self, address):
        """Return the clients with this address that have a file open. A live one comes back at once, with nothing."""
        return [client for client in self._clients(address) if read_gone(client / "states").strip()]

    def _expire(self, address, deadline):
        for client in self._clients(address):
            expire(client)
        while self._holders(address) and time.monotonic() < deadline:
            for client in self._holders(address):
                expire(client)
            time.sleep(0.2)

    def _open_below(self, path, address):
        device = Path(path).stat().st_dev if Path(path).exists() else None
        numbers = set()
        for client in self._clients(address):
            for major, minor, inode in OPEN_FILE.findall(read_gone(client / "states")):
                if device == (int(major, 16) << 8 | int(minor, 16)):
                    numbers.add(inode)
        if not numbers:
            return 0
        tests = [word for number in sorted(numbers) for word in ("-o", "-inum", number)][1:]
        found = self._command(["find", path, "-xdev", *tests], timeout_s=self._timeout_s)
        return len(found.splitlines())


def read_gone(path):
    """Return the text of a file of nfsd, empty when its client has gone."""
    try:
        return read_text(path) or ""
    except OSError:
        return ""


def expire(client):
    """End the state of the client whose directory below /proc/fs/nfsd/clients this is."""
    with contextlib.suppress(OSError):  # It has gone meanwhile, or is busy: the caller looks again.
        (client / "ctl").write_text("expire\n", encoding="ascii")
