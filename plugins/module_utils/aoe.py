# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Grants of ATA over Ethernet: one vblade process per grant, which answers one MAC address only.

A process is known by its command line, which says all there is to a grant. With systemd each is an instance of a
template unit, which is started at boot and again when it ends; without, it is a detached process.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import time
from pathlib import Path

from ansible_collections.openqrm.datacenter.plugins.module_utils.block_grants import BlockServer
from ansible_collections.openqrm.datacenter.plugins.module_utils.commands import run
from ansible_collections.openqrm.datacenter.plugins.module_utils.files import read_text, write_all_atomic, write_atomic
from ansible_collections.openqrm.datacenter.plugins.module_utils.grants import GrantError

PROGRAM = "/usr/sbin/vblade"
SLOTS = 255  # per shelf; 255 means all of them
LAST_SHELF = 65534  # 65535 means all of them
INTERFACE = re.compile(r"[A-Za-z0-9._-]{1,15}\Z")
IO_OPTIONS = {"sync": ["-s"], "direct": ["-d"], "buffered": []}
UNITS_AT_ONCE = 500
TEMPLATE = "openqrm-aoe@.service"
UNIT = """\
# Managed by openqrm.datacenter
[Unit]
Description=openQRM: AoE volume %i
Wants=network-online.target
After=network-online.target local-fs.target
StartLimitIntervalSec=0

[Service]
EnvironmentFile={directory}/%i
ExecStart={program} $ARGUMENTS
StandardOutput=null
Restart=always
RestartSec=2

[Install]
WantedBy=multi-user.target
"""


def place_of(number):
    """Return (shelf, slot) of a volume by its number. No two numbers have the same."""
    return 1 + number // SLOTS, number % SLOTS


def instance_of(client, value):
    """Return the name of the unit's instance for a grant, as 1.7-525400780001."""
    return f"{value['shelf']}.{value['slot']}-{client.replace(':', '')}"


def arguments_of(path, client, value, io):
    """Return the arguments of vblade for a grant."""
    access = ["-r"] if value["mode"] == "ro" else []
    place = [str(value["shelf"]), str(value["slot"])]
    return [*IO_OPTIONS[io], *access, "-m", client, *place, value["interface"], path]


class Processes:
    """The processes of this machine, as far as they matter here."""

    def all(self):
        """Return process id -> arguments of every vblade."""
        found = {}
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                words = entry.read_bytes().decode(errors="replace").split("\0")[:-1]
                if words and words[0] == PROGRAM and not self._has_ended(entry.parent):
                    found[int(entry.parent.name)] = words[1:]
        return found

    def start(self, arguments):
        """Start a vblade that outlives this process."""
        null = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in range(3)]
        os.posix_spawn(PROGRAM, [PROGRAM, *arguments], {"PATH": "/usr/sbin:/usr/bin"}, file_actions=null, setsid=True)

    def kill(self, pid):
        """End a process at once: vblade keeps nothing that it would have to write."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def _has_ended(self, directory):
        return (read_text(directory / "stat") or "").rpartition(")")[2].split()[:1] in ([], ["Z"], ["X"])


class Network:
    """The interfaces of this machine."""

    def __init__(self, command=run):
        """Keep what runs ip(8)."""
        self._command = command
        self._interfaces = None

    def interface_to(self, address):
        """Return the interface by which an address is reached, or None."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect((address, 9))  # This sends nothing: the kernel looks for a route.
            except OSError:
                return None
            own = probe.getsockname()[0]
        if self._interfaces is None:
            lines = [line.split() for line in self._command(["ip", "-o", "address", "show"]).splitlines()]
            self._interfaces = {words[3].partition("/")[0]: words[1] for words in lines}
        return self._interfaces.get(own)


class AoeServer(BlockServer):
    """The vblade processes of this machine."""

    method = "aoe"
    identity = "mac"

    def __init__(
        self,
        state_dir,
        timeout_s,
        interface="",
        io="sync",
        supervisor="systemd",
        unit_dir="/etc/systemd/system",
        processes=None,
        network=None,
        command=run,
    ):
        """Keep the settings; without ``interface`` it is the one by which a client is reached."""
        super().__init__(state_dir, timeout_s)
        self._interface = interface
        self._io = io
        self._has_systemd = supervisor == "systemd"
        self._unit_path = Path(unit_dir, TEMPLATE)
        self._directory = self._path.parent / "aoe"
        self._processes = processes or Processes()
        self._network = network or Network(command)
        self._command = command

    def check(self, grant):
        """Raise GrantError also for a volume without a number, and where no interface leads to the client."""
        super().check(grant)
        number, path = grant.get("number") or 0, grant["path"]
        if not 0 < number < LAST_SHELF * SLOTS:
            raise GrantError(f"Grant of {path}: its number, {number}, says no shelf and slot; give the volume's.")
        if not INTERFACE.match(self._interface_of(grant)):
            raise GrantError(f"Grant of {path}: no interface leads to the client; set its address, or the interface.")

    def value(self, grant):
        """Return how the volume is served: by which interface, as which shelf and slot. There are no secrets."""
        shelf, slot = place_of(grant["number"])
        interface = self._interface_of(grant)
        return dict(super().value(grant), secret="", shelf=shelf, slot=slot, interface=interface)

    def shown(self, value):
        """Return what a diff shows."""
        return f"{value['mode']} e{value['shelf']}.{value['slot']} on {value['interface']}"

    def unserved(self, grants):
        """Return the pairs for which no process runs, or one with other arguments."""
        running = {tuple(arguments) for arguments in self._processes.all().values()}
        return {
            (path, client)
            for path, clients in grants.items()
            for client, value in clients.items()
            if tuple(arguments_of(path, client, value, self._io)) not in running
        }

    def leftover(self, grants):
        """Return the pairs that have a process and no grant."""
        return {pair for pair in self._running().values() if pair[1] not in grants.get(pair[0], {})}

    def serve(self, grants, paths):
        """Have a process for each client of these volumes, and none that is not as it should be."""
        unserved = {pair for pair in self.unserved(grants) if pair[0] in paths}
        stale = [pid for pid, pair in self._running().items() if pair in unserved]
        wanted = {pair: grants[pair[0]][pair[1]] for pair in sorted(unserved)}
        texts = {pair: arguments_of(*pair, value, self._io) for pair, value in wanted.items()}
        if not self._has_systemd:
            self._end(stale, time.monotonic() + self._timeout_s)
            for arguments in texts.values():
                self._processes.start(arguments)
        elif wanted:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            words = {instance_of(pair[1], value): texts[pair] for pair, value in wanted.items()}
            write_all_atomic({self._directory / name: f"ARGUMENTS={' '.join(words[name])}\n" for name in words})
            self._write_unit()
            self._systemctl(["enable"], list(words))
            self._systemctl(["restart"], list(words))
        self._wait_for(grants, paths)

    def end_sessions(self, pairs, _grants):
        """End the processes of these pairs; return pair -> processes left. AoE knows no sessions beside them.

        Processes are killed first, because systemd takes its time; without its file an instance is not started again.
        """
        deadline = time.monotonic() + self._timeout_s
        hidden = [self._hide(path) for pair in pairs for path in self._instances(pair)]
        self._end_all(pairs, deadline)
        if hidden:
            self._systemctl(["disable", "--now"], [path.name.lstrip(".") for path in hidden])
            self._end_all(pairs, deadline)
        for path in hidden:
            path.unlink()
        left = list(self._running().values())
        return {pair: left.count(pair) for pair in pairs}

    def count_sessions(self, pair):
        """Return the number of processes that serve the pair."""
        return list(self._running().values()).count(pair)

    def _interface_of(self, grant):
        address = grant["client"].get("address") or ""
        return self._interface or (address and self._network.interface_to(address)) or ""

    def _running(self):
        """Return process id -> pair."""
        found = {}
        for pid, words in self._processes.all().items():
            if "-m" in words[:-1]:
                found[pid] = (words[-1], words[words.index("-m") + 1])
        return found

    def _instances(self, pair):
        """Return the files of the unit's instances that are for the pair, also those that a killed run has hidden."""
        end = f" -m {pair[1]} "
        name = f"*-{pair[1].replace(':', '')}"
        files = [*self._directory.glob(name), *self._directory.glob(f".{name}")]
        texts = {path: read_text(path) or "" for path in files}
        return [path for path, text in texts.items() if end in text and text.rstrip("\n").endswith(f" {pair[0]}")]

    def _hide(self, path):
        """Return the path under which the file of an instance is found by us, but not by systemd."""
        hidden = path if path.name.startswith(".") else path.with_name(f".{path.name}")
        path.replace(hidden)
        return hidden

    def _end_all(self, pairs, deadline):
        """End every process of these pairs."""
        wanted = set(pairs)
        self._end([pid for pid, pair in self._running().items() if pair in wanted], deadline)

    def _end(self, pids, deadline):
        """Kill processes and wait until they have gone."""
        for pid in pids:
            self._processes.kill(pid)
        while set(pids) & set(self._processes.all()) and time.monotonic() < deadline:
            time.sleep(0.02)

    def _write_unit(self):
        text = UNIT.format(directory=self._directory, program=PROGRAM)
        if read_text(self._unit_path) != text:
            write_atomic(self._unit_path, text)  # Enabling an instance has systemd read it.

    def _systemctl(self, words, instances):
        """Run systemctl for these instances, for many at once."""
        units = [TEMPLATE.replace("@", f"@{name}") for name in instances]
        for at in range(0, len(units), UNITS_AT_ONCE):
            self._command(["systemctl", *words, *units[at : at + UNITS_AT_ONCE]], timeout_s=60 + len(units))

    def _wait_for(self, grants, paths):
        """Wait until the processes run."""
        deadline = time.monotonic() + self._timeout_s
        while {path for path, _client in self.unserved(grants)} & paths:
            if time.monotonic() >= deadline:
                missing = sorted({path for path, _client in self.unserved(grants)} & paths)
                raise OSError(f"{PROGRAM} does not stay up for {', '.join(missing)}")
            time.sleep(0.05)
