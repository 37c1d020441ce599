# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Grants of nfs-ganesha: one file per exported directory, taken up and checked over D-Bus."""

from __future__ import annotations

import re
import time
from pathlib import Path

from ansible_collections.openqrm.datacenter.plugins.module_utils.commands import CommandError, run
from ansible_collections.openqrm.datacenter.plugins.module_utils.files import read_text, write_atomic
from ansible_collections.openqrm.datacenter.plugins.module_utils.nfs_grants import NfsServer

EXPORT = """\
# Managed by openqrm.datacenter.deployment_nfs
EXPORT {{
    Export_Id = {number};
    Path = "{path}";
    Pseudo = "{path}";
    Protocols = 4;
    Transports = TCP;
    SecType = sys;
    Access_Type = None;
    FSAL {{ Name = VFS; }}
{clients}}}
"""
CLIENT = "    CLIENT {{ Clients = {address}; Protocols = 4; Access_Type = {access}; Squash = No_Root_Squash; }}\n"
ACCESS = {"rw": "RW", "ro": "RO"}
PATH = re.compile(r'^    Path = "([^"]+)";$', re.MULTILINE)
CLIENTS = re.compile(r"^    CLIENT { Clients = (\S+); Protocols = 4; Access_Type = (\S+);", re.MULTILINE)
SERVED = re.compile(r"uint16 (\d+)\s+string \"([^\"]+)\"")
LAST_NUMBER = 65000


def parse_export(text):
    """Return (directory, client address -> mode) of an export file."""
    modes = {access: mode for mode, access in ACCESS.items()}
    return PATH.search(text).group(1), {address: modes[access] for address, access in CLIENTS.findall(text)}


def format_export(number, path, clients):
    """Return the file of export ``number``: the directory for these clients."""
    lines = "".join(CLIENT.format(address=address, access=ACCESS[mode]) for address, mode in sorted(clients.items()))
    return EXPORT.format(number=number, path=path, clients=lines)


class GaneshaServer(NfsServer):
    """The nfs-ganesha of this machine; ``directory`` holds its export files, named by their number."""

    def __init__(self, directory, bus, timeout_s, command=run):
        """Keep the settings; ``bus`` is the D-Bus address, empty for the system's bus."""
        self._directory = Path(directory)
        self._bus = [f"--bus={bus}"] if bus else ["--system"]
        self._timeout_s = timeout_s
        self._command = command

    def written(self):
        """Return the grants of the export files."""
        return dict(parse_export(read_text(file)) for file in self._files().values())

    def unserved(self, grants):
        """Return the pairs of ``grants`` whose directory the server does not export."""
        served = self._served()
        return {(path, address) for path, clients in grants.items() if path not in served for address in clients}

    def apply(self, grants, _pairs):
        """Write and remove export files and have the server add, update and remove these exports."""
        files = self._files()
        numbers = {parse_export(read_text(file))[0]: number for number, file in files.items()}
        served = self._served()
        for path in sorted(set(numbers) - set(grants)):
            self._remove(numbers[path], served.get(path))
        free = (number for number in range(1, LAST_NUMBER) if number not in files)
        for path, clients in sorted(grants.items()):
            number = numbers.get(path) or next(free)
            self._write(number, format_export(number, path, clients), path in served)
        self._wait_for(set(grants))

    def end_sessions(self, revoked, grants):
        """Return (directory, address) -> 0: removing an export or a client of it ends its state inside the server."""
        served = self._served()
        return {pair: int(pair[0] in served and pair[1] in grants.get(pair[0], {})) for pair in revoked}

    def count_sessions(self, pair):
        """Return the number of clients with this address that the server knows, whatever directory they use."""
        answer = self._call("ClientMgr", "clientmgr.ShowClients")
        return len(re.findall(rf'string "(?:::ffff:)?{re.escape(pair[1])}"', answer))

    def _files(self):
        return {int(file.stem): file for file in self._directory.glob("*.conf")}

    def _served(self):
        """Return directory -> export number of what the server exports, without its pseudo root."""
        answer = self._call("ExportMgr", "exportmgr.ShowExports")
        return {path: int(number) for number, path in SERVED.findall(answer) if number != "0"}

    def _write(self, number, text, is_served):
        file = self._directory / f"{number}.conf"
        if is_served and read_text(file) == text:
            return
        write_atomic(file, text)
        method = "UpdateExport" if is_served else "AddExport"
        self._call("ExportMgr", f"exportmgr.{method}", f"string:{file}", f"string:EXPORT(Export_Id={number})")

    def _remove(self, number, served_number):
        (self._directory / f"{number}.conf").unlink(missing_ok=True)
        if served_number is not None:
            self._call("ExportMgr", "exportmgr.RemoveExport", f"uint16:{served_number}")

    def _wait_for(self, paths):
        deadline = time.monotonic() + self._timeout_s
        while set(self._served()) != paths:
            if time.monotonic() >= deadline:
                raise CommandError(["nfs-ganesha"], None, f"it exports {sorted(self._served())}, not {sorted(paths)}")
            time.sleep(0.2)

    def _call(self, manager, method, *arguments):
        target = ["--dest=org.ganesha.nfsd", f"/org/ganesha/nfsd/{manager}", f"org.ganesha.nfsd.{method}"]
        return self._command(["dbus-send", *self._bus, "--print-reply", *target, *arguments], timeout_s=self._timeout_s)
