# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Grants of volumes that are block devices or raw files. What iSCSI, NVMe over TCP and AoE have in common.

The grants are in one file, of which what the kernel or a daemon serves is made again after a reboot.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import re
import stat
import time
from pathlib import Path

from ansible_collections.openqrm.datacenter.plugins.module_utils.files import read_text, write_atomic
from ansible_collections.openqrm.datacenter.plugins.module_utils.grants import GrantError, GrantServer, plain_path

TARGET = re.compile(r"[a-z0-9](?:[a-z0-9.:-]{0,125}[a-z0-9])?\Z")
SECRET = re.compile(r"[A-Za-z0-9+/=_.-]{12,128}\Z")
IDENTITIES = {
    "iqn": re.compile(r"iqn\.[0-9]{4}-[0-9]{2}\.[a-z0-9.:-]{1,200}\Z"),
    "nqn": re.compile(r"nqn\.[0-9]{4}-[0-9]{2}\.[A-Za-z0-9._:-]{1,200}\Z"),
    "mac": re.compile(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\Z"),
}


class BlockServer(GrantServer):
    """A service that serves volumes to clients as block devices; ``method`` is its name, ``identity`` one of above.

    ``unit`` is the systemd unit of a daemon that forgets at its end what it serves, empty where there is none.
    """

    method = ""
    identity = ""
    unit = ""

    def __init__(self, state_dir, timeout_s):
        """Keep the directory of the grants file, and the seconds that the service may take to end sessions."""
        self._path = Path(state_dir, f"{self.method}.json")
        self._timeout_s = timeout_s

    @contextlib.contextmanager
    def locked(self):
        """Let nobody else change grants meanwhile."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._path.with_suffix(".lock").open("w") as lock:
            deadline = time.monotonic() + self._timeout_s
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError as error:
                    if time.monotonic() >= deadline:
                        raise GrantError(
                            f"{self._path.with_suffix('.lock')} is held by another run; try again."
                        ) from error
                    time.sleep(0.1)
            yield

    def key(self, grant):
        """Return (path, the client's identity) of a grant."""
        path = plain_path(grant["path"])
        client = grant["client"].get(self.identity) or ""
        client = client.lower() if self.identity == "mac" else client
        if not IDENTITIES[self.identity].match(client):
            raise GrantError(f"Grant of {path}: the client's {self.identity} {client!r} is not one.")
        return path, client

    def check(self, grant):
        """Raise GrantError unless there is a volume that can be served under the grant's name with its secret."""
        name, target, secret = grant["path"], grant.get("target") or "", grant.get("secret") or ""
        if not TARGET.match(target):
            raise GrantError(f"Grant of {name}: the target {target!r} is not a name; use a-z, 0-9, '.', ':' and '-'.")
        if secret and not SECRET.match(secret):
            raise GrantError(f"Grant of {name}: a secret has 12 to 128 letters, digits and '+/=_.-'; this one has not.")
        if volume_size(name) is None:
            raise GrantError(
                f"Grant of {name}: there is no such block device or file on this server; create the volume first."
            )

    def value(self, grant):
        """Return how the volume is to be served."""
        return {
            "target": grant["target"],
            "mode": "ro" if grant.get("read_only") else "rw",
            "secret": grant.get("secret") or "",
        }

    def shown(self, value):
        """Return what a diff shows: not the secret."""
        return f"{value['mode']} {value['target']}{' with a secret' if value['secret'] else ''}"

    def is_read_only(self, value):
        """Return whether a grant is read-only."""
        return value["mode"] == "ro"

    def check_all(self, grants):
        """Raise GrantError when two volumes would have the same target, or one volume two."""
        paths = {}
        for path, clients in grants.items():
            targets = {value["target"] for value in clients.values()}
            if len(targets) > 1:
                raise GrantError(f"Grant of {path}: it has the targets {' and '.join(sorted(targets))}; use one.")
            other = paths.setdefault(targets.pop(), path)
            if other != path:
                target = next(iter(clients.values()))["target"]
                raise GrantError(f"Grant of {path}: the target {target} is that of {other}; revoke its grants first.")

    def written(self):
        """Return the grants of the file."""
        return json.loads(read_text(self._path) or "{}")

    def apply(self, grants, pairs):
        """Write the file, and serve ``pairs`` where they are granted. The file comes first: a reboot goes by it."""
        write_atomic(self._path, json.dumps(grants, indent=1, sort_keys=True) + "\n", mode=0o600)
        self.serve(grants, {path for path, client in pairs if client in grants.get(path, {})})

    def serve(self, grants, paths):
        """Have these volumes served to their clients, as ``grants`` say. What is as wanted is left alone."""
        raise NotImplementedError


def volume_size(path):
    """Return the bytes of a regular file, 0 for a block device, or None where there is neither. Empty is none."""
    try:
        found = Path(path).stat()
    except FileNotFoundError:
        return None
    if stat.S_ISBLK(found.st_mode):
        return 0
    return (found.st_size or None) if stat.S_ISREG(found.st_mode) else None


def restore(server, wait_s):
    """Serve all that is granted and not served; return the volumes that cannot be, with the reason.

    At boot volumes and addresses come up beside this: what is missing is tried again for ``wait_s`` seconds.
    """
    deadline = time.monotonic() + wait_s
    with server.locked():
        while True:
            grants, problems = server.written(), {}
            for path in sorted({path for path, _client in server.unserved(grants)}):
                if volume_size(path) is None:
                    problems[path] = "there is no such block device or file"
                    continue
                try:
                    server.serve(grants, {path})
                except OSError as error:
                    problems[path] = str(error)
            if not problems or time.monotonic() >= deadline:
                return problems
            time.sleep(1)
