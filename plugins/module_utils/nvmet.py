# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Grants of Linux's own NVMe target over TCP: one subsystem per grant, for one host only, all in configfs.

A subsystem of its own for each client means that taking a grant away touches nobody else: the namespace is switched
off, which the kernel does not report as done before the last request of that client has ended.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import sys
import time
import uuid
import zlib
from pathlib import Path

from ansible_collections.openqrm.datacenter.plugins.module_utils.block_grants import BlockServer, volume_size
from ansible_collections.openqrm.datacenter.plugins.module_utils.commands import run
from ansible_collections.openqrm.datacenter.plugins.module_utils.configfs import EACH_S, ConfigFs, within
from ansible_collections.openqrm.datacenter.plugins.module_utils.files import read_text
from ansible_collections.openqrm.datacenter.plugins.module_utils.grants import GrantError
from ansible_collections.openqrm.datacenter.plugins.module_utils.loops import Loops

CONFIGFS = "/sys/kernel/config/nvmet"
MODULES = ["nvmet", "nvmet-tcp"]
LONGEST_NAME = 223
FIRST_PORT = 4711  # number of our first port object; its address is what clients see
ESTABLISHED = "01"
TABLES = ("/proc/net/tcp", "/proc/net/tcp6")


def serial_of(target):
    """Return the serial number of the subsystem for a target: as long as NVMe allows, 20 characters."""
    return hashlib.sha256(target.encode()).hexdigest()[:20]


def subsystem_of(target, host):
    """Return the directory of the subsystem that serves a target to a host; its name is the host's and the target's."""
    return f"subsystems/{host}:{target}"


def key_of(secret):
    """Return a secret as a DH-HMAC-CHAP key: its SHA-256 in 64 hexadecimal digits, with their CRC, in Base64.

    Source: NVMe base specification 2.0, 8.13.5.8. The node makes the same of the secret.
    """
    key = hashlib.sha256(secret.encode()).hexdigest().encode()
    return f"DHHC-1:00:{base64.b64encode(key + zlib.crc32(key).to_bytes(4, 'little')).decode()}:"


def subsystem_steps(device_path, host, value, ports, has_authentication):
    """Return the steps to the subsystem of a grant. What clients know the volume by follows from the target."""
    subsystem = subsystem_of(value["target"], host)
    namespace = f"{subsystem}/namespaces/1"
    device = uuid.UUID(hashlib.sha256(value["target"].encode()).hexdigest()[:32])
    secret = [("attribute", f"hosts/{host}/dhchap_key", key_of(value["secret"]))] if value["secret"] else []
    return [
        ("directory", f"hosts/{host}", ""),
        *(secret if has_authentication else []),
        ("directory", subsystem, ""),
        ("attribute", f"{subsystem}/attr_allow_any_host", "0"),
        ("attribute", f"{subsystem}/attr_serial", serial_of(value["target"])),
        ("directory", namespace, ""),
        ("attribute", f"{namespace}/device_path", device_path),
        ("attribute", f"{namespace}/device_uuid", str(device)),
        ("attribute", f"{namespace}/enable", "1"),
        ("link", f"{subsystem}/allowed_hosts/{host}", f"hosts/{host}"),
        *(("link", f"ports/{port}/subsystems/{Path(subsystem).name}", subsystem) for port in ports),
    ]


def port_steps(number, address, service):
    """Return the steps to a port, the object that stands for an address and its TCP port."""
    attributes = {
        "addr_trtype": "tcp",
        "addr_adrfam": "ipv6" if ":" in address else "ipv4",
        "addr_traddr": address,
        "addr_trsvcid": str(service),
    }
    steps = [("attribute", f"ports/{number}/{name}", value) for name, value in attributes.items()]
    return [("directory", f"ports/{number}", ""), *steps]


class NvmetServer(BlockServer):
    """The NVMe target of this machine's kernel, over TCP."""

    method = "nvme_tcp"
    identity = "nqn"

    def __init__(self, state_dir, timeout_s, addresses, service, authentication, tree=None, loops=None, command=run):
        """Keep the settings; ``service`` is the TCP port, ``authentication``: auto, required or off."""
        super().__init__(state_dir, timeout_s)
        self._addresses = dict(enumerate(addresses, FIRST_PORT))
        self._service = service
        self._authentication = authentication
        self._tree = tree or ConfigFs(CONFIGFS)
        self._loops = loops or Loops()
        self._command = command
        self._clients = {}

    def key(self, grant):
        """Return (path, host), and note the address by which the host's connections are known."""
        pair = super().key(grant)
        if grant["client"].get("address"):
            self._clients[pair[1]] = grant["client"]["address"]
        return pair

    def check(self, grant):
        """Raise GrantError also for what NVMe does not have: read-only access, and longer names."""
        super().check(grant)
        path, host = self.key(grant)
        if grant.get("read_only"):
            raise GrantError(f"Grant of {path}: Linux's NVMe target cannot grant it read-only; use iscsi or aoe.")
        if len(Path(subsystem_of(grant["target"], host)).name) > LONGEST_NAME:
            raise GrantError(f"Grant of {path}: host and target are together longer than {LONGEST_NAME} characters.")
        if self._authentication == "required" and not grant.get("secret"):
            raise GrantError(f"Grant of {path}: authentication is required, but the grant has no secret.")

    def value(self, grant):
        """Return how the volume is served, with the client's address, by which its connections are known."""
        secret = "" if self._authentication == "off" else grant.get("secret") or ""
        return dict(super().value(grant), secret=secret, address=grant["client"].get("address") or "")

    def check_all(self, grants):
        """Raise GrantError also when a host would have two secrets: the kernel keeps one per host."""
        super().check_all(grants)
        secrets = {}
        for path, clients in grants.items():
            for host, value in clients.items():
                if secrets.setdefault(host, value["secret"]) != value["secret"]:
                    raise GrantError(f"Grant of {path}: {host} has another grant with another secret; use the same.")

    def unserved(self, grants):
        """Return the pairs that are not in configfs as they should be."""
        devices = self._devices()
        return {
            (path, host)
            for path, clients in grants.items()
            for host, value in clients.items()
            if not all(self._tree.is_done(step) for step in self._steps(devices.get(path, path), host, value))
        }

    def leftover(self, grants):
        """Return the pairs that have a subsystem and no grant."""
        return {pair for pair in self._subsystems() if pair[1] not in grants.get(pair[0], {})}

    def serve(self, grants, paths):
        """Make ports and the subsystems of these volumes."""
        if not self._tree.has("subsystems") or not self._tree.has("ports"):
            self._command(["modprobe", "--all", *MODULES])
        for number, address in self._addresses.items():
            self._tree.apply(port_steps(number, address, self._service))
        found, devices = self._subsystems(), self._devices()
        for path in sorted(paths):
            # The kernel would serve a file with blocks of 4096 bytes, which file systems with smaller ones do not bear.
            device = devices.get(path) or (self._loops.attach(path) if volume_size(path) else path)
            for host, value in sorted(grants[path].items()):
                subsystem = subsystem_of(value["target"], host)
                # A namespace that is in use cannot be changed.
                for pair, name in found.items():
                    if (pair == (path, host)) != (name == subsystem):
                        self._remove(name, self._loops.all())
                self._tree.apply([("directory", f"hosts/{host}", "")])
                if value["secret"] and self._authentication == "required" and not self._has_authentication(host):
                    raise GrantError("The kernel of this server has no NVMe authentication (CONFIG_NVME_TARGET_AUTH).")
                self._tree.apply(self._steps(device, host, value))

    def end_sessions(self, pairs, grants):
        """Take the volumes from the hosts; return pair -> sessions left.

        0 where the subsystem has gone, and with it the namespace and the last request of the host, and where a host
        without another grant has no connection left.
        """
        found = self._subsystems()
        subsystems = {pair: found[pair] for pair in pairs if pair in found}

        def remove():
            for subsystem in subsystems.values():
                self._cut(subsystem)
            loops = self._loops.all()
            for subsystem in subsystems.values():
                self._remove(subsystem, loops)

        deadline = time.monotonic() + self._timeout_s + EACH_S * len(pairs)
        problem = within(self._timeout_s + EACH_S * len(pairs), remove) if subsystems else None
        left = {pair: int(pair in subsystems and self._tree.has(subsystems[pair])) for pair in pairs}
        if problem and not any(left.values()):
            raise OSError(problem)
        hosts = {host for _path, host in pairs} - {host for clients in grants.values() for host in clients}
        gone = {host: self._clients.get(host, "") for host in hosts}
        while set(gone.values()) & (now := self._connected()) and time.monotonic() < deadline:
            time.sleep(0.05)
        return {pair: count or int(gone.get(pair[1]) in now) for pair, count in left.items()}

    def count_sessions(self, pair):
        """Return 1 where the host is connected, else 0: the kernel does not tell to which of its subsystems."""
        address = self.written().get(pair[0], {}).get(pair[1], {}).get("address") or self._clients.get(pair[1])
        return int(address in self._connected())

    def _steps(self, device, host, value):
        return subsystem_steps(device, host, value, self._addresses, self._has_authentication(host))

    def _devices(self):
        """Return file -> loop device."""
        return {path: device for device, path in self._loops.all().items()}

    def _has_authentication(self, host):
        """Whether the kernel can have this host prove itself."""
        return self._tree.has(f"hosts/{host}/dhchap_key")

    def _subsystems(self):
        """Return (path, host) -> subsystem of those that are ours: their serial numbers follow from their names."""
        found, files = {}, self._loops.all()
        for name in self._tree.names("subsystems"):
            serial = self._tree.read(f"subsystems/{name}/attr_serial")
            for at in (at for at, letter in enumerate(name) if letter == ":"):
                if serial and serial == serial_of(name[at + 1 :]):
                    device = self._tree.read(f"subsystems/{name}/namespaces/1/device_path")
                    found[files.get(device, device), name[:at]] = f"subsystems/{name}"
        return found

    def _cut(self, subsystem):
        """Let nobody connect any more, and cut the connections that there are."""
        for host in self._tree.names(f"{subsystem}/allowed_hosts"):
            self._tree.unlink(f"{subsystem}/allowed_hosts/{host}")
        for port in self._tree.names("ports"):
            self._tree.unlink(f"ports/{port}/subsystems/{Path(subsystem).name}")

    def _remove(self, subsystem, loops):
        """Remove a subsystem, and its loop device if it has one of ``loops``.

        The kernel is done with the namespace when no request is under way any more.
        """
        self._cut(subsystem)
        self._tree.disable(f"{subsystem}/namespaces/1")
        device = self._tree.read(f"{subsystem}/namespaces/1/device_path")
        self._tree.remove(f"{subsystem}/namespaces/1")
        self._tree.remove(subsystem)
        if device in loops:
            self._loops.detach(device)

    def _connected(self):
        """Return the addresses that have a connection to the service."""
        return {address for table in TABLES for address in peers(read_text(table) or "", self._service)}


def peers(table, port):
    """Return the addresses of established connections to ``port`` in ``table``, the text of /proc/net/tcp or tcp6."""
    lines = [line.split() for line in table.splitlines()[1:]]
    found = [
        fields[2] for fields in lines if fields[3] == ESTABLISHED and int(fields[1].rpartition(":")[2], 16) == port
    ]
    return {address_of(text.rpartition(":")[0]) for text in found}


def address_of(digits):
    """Return the address that /proc/net/tcp writes as ``digits``: 32-bit words in the machine's order of bytes."""
    words = [bytes.fromhex(digits[at : at + 8]) for at in range(0, len(digits), 8)]
    packed = b"".join(word[::-1] if sys.byteorder == "little" else word for word in words)
    return str(ipaddress.ip_address(packed))
