# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Grants of any storage service: which client may use which volume, and how. What all services have in common.

Grants are kept as a dict of path -> dict of client -> value, and a single one is named by its pair (path, client).
"""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

from ansible_collections.openqrm.datacenter.plugins.module_utils.differences import Differences

PLAIN_PATH = re.compile(r"/[A-Za-z0-9@%+=:,._/-]+\Z")


class GrantError(ValueError):
    """A grant cannot be given; the message says which, what was found and what to do."""


def plain_path(path):
    """Return the path of a grant. Raises GrantError when it is not absolute, or could mean anything to a command."""
    if not PLAIN_PATH.match(path) or ".." in Path(path).parts:
        raise GrantError(f"Grant of {path!r}: give an absolute path of letters, digits and @%+=:,._- without '..'.")
    return str(Path(path))


class GrantServer:
    """A service that serves volumes to clients: what ensure_grants and list_grants ask of it.

    Its own methods beside these are

    - ``key(grant)``: the pair of a grant; raises GrantError when there can be none,
    - ``check(grant)``: raises GrantError when the service cannot serve it,
    - ``value(grant)``: how it is to be served, as it is kept,
    - ``written()``: the grants that are configured,
    - ``unserved(grants)``: those pairs of ``grants`` that are not served as they are configured,
    - ``apply(grants, pairs)``: make ``grants`` the configured ones, all of them, and serve ``pairs`` as they say,
    - ``end_sessions(pairs, grants)``: end what clients still hold of revoked pairs and return the number left per
      pair; ``grants`` are those that stay,
    - ``count_sessions(pair)``: how many sessions the client has now.
    """

    identity = "address"  # the key of a grant's client by which the service knows it

    def locked(self):
        """Return a context in which nobody else changes grants."""
        return contextlib.nullcontext()

    def check_all(self, _grants):
        """Raise GrantError when these grants cannot be served together."""

    def leftover(self, _grants):
        """Return the pairs that are served although they are not in ``grants``, as a killed run leaves them."""
        return set()

    def shown(self, value):
        """Return what a diff shows of a grant's value."""
        return value

    def is_read_only(self, value):
        """Return whether a value is that of a grant that is read-only."""
        return value == "ro"


def wanted_grants(server, found, grants, state):
    """Return the grants of ``found`` with ``grants`` added or taken away; raises GrantError for one that cannot be."""
    wanted = {path: dict(clients) for path, clients in found.items()}
    for grant in grants:
        path, client = server.key(grant)
        if state == "present":
            server.check(grant)
            wanted.setdefault(path, {})[client] = server.value(grant)
        else:
            wanted.get(path, {}).pop(client, None)
    wanted = {path: clients for path, clients in wanted.items() if clients}
    if state == "present":
        server.check_all(wanted)
    return wanted


def ensure_grants(server, grants, state, check_mode):
    """Bring the grants to ``state``; return the module's result.

    Revoking ends the clients' sessions also where the grant is gone already, so that an interrupted run converges.
    """
    with server.locked():
        found = server.written()
        wanted = wanted_grants(server, found, grants, state)
        differences = Differences()
        items = compared(server, found, wanted, grants, differences)
        pairs = [server.key(grant) for grant in grants]
        if differences.changed and not check_mode:
            server.apply(wanted, pairs)
        if state == "absent":
            left = {} if check_mode else server.end_sessions(pairs, wanted)
            for number, pair in enumerate(pairs):
                items[number]["sessions"] = server.count_sessions(pair) if check_mode else left[pair]
    return differences.result(items)


def compared(server, found, wanted, grants, differences):
    """Return the results of the grants, and note in ``differences`` what is to change."""
    asked = {server.key(grant) for grant in grants}
    present = {path: clients for path, clients in wanted.items() if any((path, client) in asked for client in clients)}
    # What others have is not looked at: that takes its time where there are many.
    unserved = server.unserved({path: found[path] for path in present if path in found})
    leftover = set() if present else server.leftover(found)
    items = []
    for grant in grants:
        pair = path, client = server.key(grant)
        before = found.get(path, {}).get(client)
        after = wanted.get(path, {}).get(client)
        if after and pair in unserved:
            before = None
        same = before == after and not (pair in leftover and after is None)
        shown = [server.shown(value) if value else None for value in (before, after)]
        if not same and shown[0] == shown[1]:
            shown[0] = "another one" if after else "served, but not configured"
        changed = differences.note(f"{path} {client}", *shown)
        items.append(
            {
                "name": grant.get("volume") or path,
                "path": path,
                "client": {server.identity: client},
                "changed": changed,
            }
        )
    return items


def list_grants(server):
    """Return the grants that are served, with the number of sessions of their clients."""
    written = server.written()
    unserved = server.unserved(written)
    return [
        {
            "name": path,
            "path": path,
            "client": {server.identity: client},
            "read_only": server.is_read_only(value),
            "sessions": server.count_sessions((path, client)),
        }
        for path, clients in sorted(written.items())
        for client, value in sorted(clients.items())
        if (path, client) not in unserved
    ]
