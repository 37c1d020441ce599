# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Power of machines without a BMC: off and reset by ssh, on by Wake-on-LAN; those that can be reached are on."""

from __future__ import annotations

import ipaddress
import re
import socket
from typing import ClassVar

from ansible_collections.openqrm.datacenter.plugins.module_utils.commands import CommandError
from ansible_collections.openqrm.datacenter.plugins.module_utils.power import Driver, PowerError

ADDRESS = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*|[0-9A-Fa-f:]+:[0-9A-Fa-f:.]*")
MAC = re.compile(r"[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}")
# The answer comes before the machine goes down, so that a refusal is told from a connection that breaks off.
COMMANDS = {"off": "poweroff", "reset": "reboot"}
DETACHED = "nohup sh -c 'sleep 1; exec {command}' > /dev/null 2>&1 < /dev/null &"
NO_BOOT_DEVICE = "a machine without a BMC cannot be told what to boot from; set the order in its firmware."
WAKE_PORT = 9


class Ssh(Driver):
    """Machines whose system is reached by ssh; ``run(argv, timeout_s)`` runs the client."""

    cannot: ClassVar[dict] = {
        "on": "it is off, and cannot be switched on by ssh; switch it on by hand, or set power driver wol or redfish.",
        "boot_device": NO_BOOT_DEVICE,
    }

    def __init__(self, run, options):
        """Keep the settings; ``options``: user, port, identity_file, known_hosts_file, request_timeout_s."""
        self._run = run
        self._options = options

    def check(self, endpoint):
        """Raise PowerError for an address that is none."""
        if not ADDRESS.fullmatch(endpoint.get("address") or ""):
            raise PowerError(
                f"Resource {endpoint['name']}: its address is {endpoint.get('address') or 'empty'}; give the host name "
                "or IP address under which its system is reached."
            )

    def power(self, endpoint):
        """Return ``on`` where the machine answers at all, be it by refusing the connection."""
        try:
            where = (endpoint["address"], self._options["port"])
            socket.create_connection(where, timeout=self._options["request_timeout_s"]).close()
        except ConnectionRefusedError:
            return "on"
        except socket.gaierror as error:
            raise PowerError(
                f"Resource {endpoint['name']}: its address {endpoint['address']} is not known: {error}."
            ) from error
        except OSError:
            return "off"
        return "on"

    def switch(self, endpoint, action):
        """Have the machine's system power off or reboot. Its host key must be known."""
        options = {
            "BatchMode": "yes",
            "StrictHostKeyChecking": "yes",
            "ConnectTimeout": self._options["request_timeout_s"],
        }
        if self._options["known_hosts_file"]:
            options["UserKnownHostsFile"] = self._options["known_hosts_file"]
        argv = ["ssh", *(f"-o{name}={value}" for name, value in options.items()), "-p", str(self._options["port"])]
        argv += ["-i", self._options["identity_file"]] if self._options["identity_file"] else []
        argv += ["-l", self._options["user"], "--", endpoint["address"], DETACHED.format(command=COMMANDS[action])]
        try:
            self._run(argv, 2 * self._options["request_timeout_s"])
        except CommandError as error:
            raise PowerError(
                f"Resource {endpoint['name']}: {action} by ssh to {endpoint['address']} failed: "
                f"{error.output or 'no answer'} See that its host key is known and the user's key accepted there."
            ) from error


class Wol(Ssh):
    """Machines that wake by a magic packet; the rest is by ssh."""

    cannot: ClassVar[dict] = {"boot_device": NO_BOOT_DEVICE}

    def check(self, endpoint):
        """Raise PowerError for an address or MAC address that is none."""
        super().check(endpoint)
        if not MAC.fullmatch(endpoint.get("mac") or ""):
            raise PowerError(f"Resource {endpoint['name']}: it has no MAC address that could be woken.")

    def switch(self, endpoint, action):
        """Wake the machine, or have its system power off or reboot."""
        if action != "on":
            super().switch(endpoint, action)
            return
        broadcast = str(ipaddress.IPv4Address(self._options["broadcast"]))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            for _time in range(self._options["packets"]):
                sender.sendto(magic_packet(endpoint["mac"]), (broadcast, WAKE_PORT))


def magic_packet(mac):
    """Return what wakes the NIC: six bytes 255, then sixteen times its address. Source: AMD's white paper 20213."""
    return b"\xff" * 6 + bytes.fromhex(mac.replace(":", "")) * 16


def ssh_arguments():
    """Return the options that the modules share."""
    return {
        "user": {"type": "str", "default": "root"},
        "port": {"type": "int", "default": 22},
        "identity_file": {"type": "path"},
        "known_hosts_file": {"type": "path"},
        "request_timeout_s": {"type": "int", "default": 5},
    }
