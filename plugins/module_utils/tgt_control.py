# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The control socket of tgtd, spoken to as tgtadm does.

tgtadm takes passwords as arguments only, which every user of a machine can read in /proc: so it is not used. A request
is a header of fixed size with text behind it, in a connection of its own; tgtd obeys root alone.

Source: usr/tgtadm.h and usr/mgmt.c of tgt 1.0.85, whose header is the same since 1.0.24.
"""

from __future__ import annotations

import re
import socket
import struct
from collections import namedtuple

# mode, operation, driver, length of all, target, session, logical unit, connection, host, device type, direction of
# an account, pack, force
HEADER = struct.Struct("=II64sIiQQIIIIII")
ANSWER = struct.Struct("=II")  # error, length of all
TARGET, UNIT, PORTAL, CONNECTION, ACCOUNT = 1, 2, 3, 6, 7
NEW, DELETE, SHOW, BIND, UNBIND, UPDATE = range(6)
NO_TARGET, NO_SESSION, NO_CONNECTION, NO_USER, TARGET_ACTIVE = 4, 6, 7, 15, 19
PROBLEMS = {
    NO_TARGET: "there is no such target",
    5: "there is no such logical unit",
    NO_SESSION: "there is no such session",
    NO_CONNECTION: "there is no such connection",
    9: "the target is there already",
    11: "the logical unit is there already",
    12: "the access rule is there already",
    13: "there is no such access rule",
    14: "the account is there already",
    NO_USER: "there is no such account",
    17: "the request is not valid",
    TARGET_ACTIVE: "the target has sessions",
    20: "the logical unit is in use",
}

Target = namedtuple("Target", "tid name path serial read_only accounts rules")
Target.__doc__ = """A target as tgtd lists it.

Its number and name; the file or device of its volume, its serial number and whether it is read-only (None where it has
no volume yet); its accounts in their order; the names and addresses that are let in.
"""
CONNECTIONS = re.compile(r"^Session: (\d+)\n +Connection: (\d+)\n +Initiator: (\S+)$", re.MULTILINE)
PORTALS = re.compile(r"^Portal: (\S+),\d+$", re.MULTILINE)


class TgtError(OSError):
    """tgtd refused a request; ``code`` is one of the numbers above."""

    def __init__(self, what, code):
        """Keep the code; ``what`` was asked."""
        self.code = code
        super().__init__(f"tgtd: {what}: {PROBLEMS.get(code, f'error {code}')}")


class TgtAbsentError(OSError):
    """tgtd does not run, or has another socket."""


def parse_targets(text):
    """Return the targets of a list that tgtd prints. Raises OSError where a name or number is there twice.

    What a client says of itself comes before what the server knows, and cannot take its place.
    """
    found = []
    for block in re.split(r"^Target (?=\d+: )", text, flags=re.MULTILINE)[1:]:
        head, _newline, rest = block.partition("\n")
        tid, _colon, name = head.partition(": ")
        sections, lines = {}, []
        for line in rest.splitlines():
            if line.startswith("    ") and line[4:5] != " ":
                sections[line.strip()] = lines = []
            else:
                lines.append(line.strip())
        found.append(parse_target(int(tid), name, sections))
    for field in ("tid", "name"):
        if len({getattr(target, field) for target in found}) < len(found):
            raise OSError("tgtd: the list of targets is not clear: look at `tgtadm --op show --mode target`.")
    return found


def parse_target(tid, name, sections):
    """Return a target of the list; its volume is the last logical unit, behind that of the controller."""
    unit = {}
    for line in sections.get("LUN information:", []):
        key, _colon, value = line.partition(": ")
        unit = {"LUN": value} if key == "LUN" else dict(unit, **{key: value})
    has_volume = unit.get("LUN", "0") != "0"
    return Target(
        tid,
        name,
        unit.get("Backing store path") if has_volume else None,
        unit.get("SCSI SN") if has_volume else None,
        unit.get("Readonly") == "Yes" if has_volume else None,
        sections.get("Account information:", []),
        sections.get("ACL information:", []),
    )


class TgtControl:
    """A running tgtd, by its control socket."""

    def __init__(self, path, timeout_s):
        """Keep the path of the socket, and the seconds that tgtd may take to answer."""
        self._path = str(path)
        self._timeout_s = timeout_s

    def ask(self, mode, operation, text="", what="", tid=-1, sid=0, lun=0, cid=0):
        """Return the text that tgtd answers. ``what`` names the request in errors, which never show its ``text``.

        Raises TgtAbsentError, TgtError and OSError.
        """
        data = text.encode() + b"\0" if text else b""
        length = HEADER.size + len(data)
        header = HEADER.pack(mode, operation, b"iscsi", length, tid, sid, lun, cid, 0, 0, 0, 0, 0)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(self._timeout_s)
            try:
                connection.connect(self._path)
            except (FileNotFoundError, ConnectionRefusedError) as error:
                raise TgtAbsentError(f"tgtd does not answer at {self._path}: prepare this server first.") from error
            connection.sendall(header + data)
            code, size = ANSWER.unpack(self._received(connection, ANSWER.size))
            if code:
                raise TgtError(what or "request", code)
            return self._received(connection, size - ANSWER.size).rstrip(b"\0").decode(errors="replace")

    def targets(self):
        """Return all targets."""
        return parse_targets(self.ask(TARGET, SHOW, what="list targets"))

    def connections(self, tid):
        """Return the (session, connection, initiator) of a target. Those that end stay until their last I/O has."""
        try:
            text = self.ask(CONNECTION, SHOW, what="list connections", tid=tid)
        except TgtError as error:
            if error.code == NO_TARGET:
                return []
            raise
        return [(int(sid), int(cid), name) for sid, cid, name in CONNECTIONS.findall(text)]

    def portals(self):
        """Return the portals, as 10.78.0.10:3260."""
        return set(PORTALS.findall(self.ask(PORTAL, SHOW, what="list portals")))

    def _received(self, connection, size):
        """Return so many bytes."""
        data = b""
        while len(data) < size:
            more = connection.recv(size - len(data))
            if not more:
                raise OSError(f"tgtd at {self._path} ended while it was asked.")
            data += more
        return data
