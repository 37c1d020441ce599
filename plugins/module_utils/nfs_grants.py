# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Grants of an NFS server: which client address may mount which directory, and how.

Grants are kept as a dict of directory -> dict of client address -> "rw" or "ro", and a single one is named by its pair
(directory, client address). A server (kernel or nfs-ganesha) has

- ``written()``: the grants that are configured,
- ``unserved(grants)``: those pairs of ``grants`` that the running server does not serve as they are configured,
- ``apply(grants)``: make these the grants, all of them,
- ``end_sessions(revoked, grants)``: end what clients still hold of the revoked pairs and return the number left per
  pair; ``grants`` are those that stay,
- ``count_sessions(address)``: how many sessions a client has now, whatever directory it uses.
"""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path

from ansible_collections.openqrm.datacenter.plugins.module_utils.differences import Differences

PLAIN_PATH = re.compile(r"/[A-Za-z0-9@%+=:,._/-]+\Z")


class GrantError(ValueError):
    """A grant cannot be given; the message says which, what was found and what to do."""


def grant_key(grant):
    """Return (directory, client address) of a grant. Raises GrantError when they could not be in an exports file."""
    path, address = grant["path"], grant["client"].get("address") or ""
    if not PLAIN_PATH.match(path) or ".." in Path(path).parts:
        raise GrantError(f"Grant of {path!r}: give an absolute path of letters, digits and @%+=:,._- without '..'.")
    try:
        # A zone, as in fe80::1%eth0, could be any text.
        return str(Path(path)), str(ipaddress.ip_address("" if "%" in address else address))
    except ValueError as error:
        raise GrantError(f"Grant of {path}: the client's address {address!r} is not an IP address.") from error


def check_directory(path):
    """Raise GrantError unless the directory that is to be exported is there."""
    if not Path(path).is_dir() or Path(path).is_symlink():
        raise GrantError(f"Grant of {path}: there is no such directory on this server; create the volume first.")


def wanted_grants(found, grants, state):
    """Return the grants of ``found`` with ``grants`` added or taken away; raises GrantError for one that cannot be."""
    wanted = {path: dict(clients) for path, clients in found.items()}
    for grant in grants:
        path, address = grant_key(grant)
        if state == "present":
            check_directory(path)
            wanted.setdefault(path, {})[address] = "ro" if grant.get("read_only") else "rw"
        else:
            wanted.get(path, {}).pop(address, None)
    return {path: clients for path, clients in wanted.items() if clients}


def result_item(grant, changed):
    """Return the result of one grant."""
    path, address = grant_key(grant)
    return {"name": grant.get("volume") or path, "path": path, "client": {"address": address}, "changed": changed}


def ensure_grants(server, grants, state, check_mode):
    """Bring the grants to ``state``; return the module's result.

    Revoking ends the clients' sessions also where the grant is gone already, so that an interrupted run converges.
    """
    found = server.written()
    wanted = wanted_grants(found, grants, state)
    unserved = server.unserved(found)
    differences = Differences()
    items = []
    for grant in grants:
        path, address = grant_key(grant)
        before = found.get(path, {}).get(address)
        after = wanted.get(path, {}).get(address)
        if after and (path, address) in unserved:
            before = None
        items.append(result_item(grant, differences.note(f"{path} {address}", before, after)))
    if differences.changed and not check_mode:
        server.apply(wanted)
    if state == "absent":
        add_sessions(server, items, wanted, check_mode)
    return differences.result(items)


def add_sessions(server, items, wanted, check_mode):
    """Set ``sessions`` of revoked grants: ended and counted, in check mode only counted."""
    pairs = [(item["path"], item["client"]["address"]) for item in items]
    left = {} if check_mode else server.end_sessions(pairs, wanted)
    for item in items:
        pair = (item["path"], item["client"]["address"])
        item["sessions"] = server.count_sessions(pair[1]) if check_mode else left[pair]


def list_grants(server):
    """Return the grants that are served, with the number of sessions of their clients."""
    written = server.written()
    unserved = server.unserved(written)
    return [
        {
            "name": path,
            "path": path,
            "client": {"address": address},
            "read_only": mode == "ro",
            "sessions": server.count_sessions(address),
        }
        for path, clients in sorted(written.items())
        for address, mode in sorted(clients.items())
        if (path, address) not in unserved
    ]
