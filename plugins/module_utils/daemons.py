# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Daemons that run in the foreground, kept by systemd or, where there is none, as detached processes."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import time
from collections import namedtuple
from pathlib import Path

from ansible_collections.openqrm.datacenter.plugins.module_utils.commands import CommandError, run
from ansible_collections.openqrm.datacenter.plugins.module_utils.files import file_digest, read_text, write_atomic

Daemon = namedtuple(
    "Daemon",
    "name argv run_dir log_path restart_files reload_files ready_ports timeout_s stop_signal",
    defaults=["TERM"],
)

LISTENING = ("0A", "07")  # TCP listening, UDP without a peer
UNIT_DIR = "/etc/systemd/system"
UNIT = """\
# Managed by openqrm.datacenter
[Unit]
Description=openQRM {name}
Wants=network-online.target
After=network-online.target

[Service]
ExecStart={command}
ExecReload=/bin/kill -HUP $MAINPID
StandardOutput=append:{log_path}
StandardError=append:{log_path}
KillSignal=SIG{stop_signal}
TasksMax=infinity
Restart=on-failure
RestartSec=2

[Install]
WantedBy=multi-user.target
"""


class DaemonError(Exception):
    """A daemon cannot be started or stopped; the message ends with the last lines of its log."""


def start_time(pid):
    """Return when process ``pid`` was started (clock ticks since boot), or None when it does not run."""
    stat = read_text_if_any(f"/proc/{pid}/stat")
    fields = stat.rpartition(")")[2].split()
    if not fields or fields[0] in ("Z", "X"):
        return None
    return int(fields[19])


def read_text_if_any(path):
    """Return the text of a file below /proc, empty when its process is gone."""
    try:
        return read_text(path) or ""
    except OSError:
        return ""


def socket_inodes(pid):
    """Return the inodes of the sockets that process ``pid`` holds."""
    inodes = set()
    try:
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            target = str(descriptor.readlink())
            if target.startswith("socket:["):
                inodes.add(target[len("socket:[") : -1])
    except OSError:
        pass  # The process has ended, or closed a descriptor meanwhile: the caller asks again.
    return inodes


def listening_ports(pid):
    """Return the ports, as ``tcp:80`` or ``udp:69``, on which process ``pid`` listens."""
    inodes = socket_inodes(pid)
    ports = set()
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in read_text_if_any(f"/proc/{pid}/net/{table}").splitlines()[1:]:
            fields = line.split()
            if fields[3] in LISTENING and fields[9] in inodes:
                ports.add(f"{table[:3]}:{int(fields[1].rpartition(':')[2], 16)}")
    return ports


def wanted_record(daemon):
    """Return what the daemon is to be started with: its command and the digests of the files it reads."""
    return {
        "argv": list(daemon.argv),
        "restart_files": {path: file_digest(path) for path in daemon.restart_files},
        "reload_files": {path: file_digest(path) for path in daemon.reload_files},
    }


def choose_action(state, running, found, wanted):
    """Return what brings the daemon to ``state``: start, stop, restart, reload, or an empty string for nothing.

    ``found`` is the record of the last start (None: unknown), ``wanted`` the one of a start now.
    """
    if state == "stopped":
        return "stop" if running else ""
    if not running:
        return "start"
    if found is None or any(found.get(key) != wanted[key] for key in ("argv", "restart_files")):
        return "restart"
    return "reload" if found.get("reload_files") != wanted["reload_files"] else ""


class ProcessSupervisor:
    """Keeps a daemon as a detached process whose pid and start time are noted in the run directory."""

    def __init__(self, daemon):
        """Keep the daemon's description."""
        self._daemon = daemon
        self._pid_path = Path(daemon.run_dir, f"{daemon.name}.process")

    def pid(self):
        """Return the process id of the running daemon, or None. A reused id is told by its start time."""
        noted = (read_text(self._pid_path) or "").split()
        if len(noted) == 2 and start_time(int(noted[0])) == int(noted[1]):
            return int(noted[0])
        return None

    def start(self):
        """Start the daemon in a session of its own, its output appended to the log."""
        with Path(self._daemon.log_path).open("ab") as log:
            process = subprocess.Popen(
                self._daemon.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/"
            )
        write_atomic(self._pid_path, f"{process.pid} {start_time(process.pid) or 0}\n")

    def reload(self):
        """Have the daemon read its files again."""
        os.kill(self.pid(), signal.SIGHUP)

    def stop(self):
        """End the daemon: by its signal, and SIGKILL when it does not obey in time."""
        pid = self.pid()
        if pid is not None:
            for number in (signal.Signals[f"SIG{self._daemon.stop_signal}"], signal.SIGKILL):
                os.kill(pid, number)
                if wait_until(lambda: self.pid() is None, self._daemon.timeout_s):
                    break
        self._pid_path.unlink(missing_ok=True)


class SystemdSupervisor:
    """Keeps a daemon as the systemd service ``openqrm-<name>``."""

    def __init__(self, daemon, unit_dir=UNIT_DIR, command=run):
        """Keep the daemon's description; ``command`` runs systemctl."""
        self._daemon = daemon
        self._unit = f"openqrm-{daemon.name}.service"
        self._path = Path(unit_dir, self._unit)
        self._command = command

    def pid(self):
        """Return the main process id of the running service, or None."""
        answer = self._command(["systemctl", "show", "--property=MainPID", "--value", self._unit])
        return int(answer) if answer.strip() not in ("", "0") else None

    def start(self):
        """Write the unit, enable it and start it."""
        line = " ".join(shlex.quote(part.replace("%", "%%").replace("$", "$$")) for part in self._daemon.argv)
        fields = {name: getattr(self._daemon, name) for name in ("name", "log_path", "stop_signal")}
        write_atomic(self._path, UNIT.format(command=line, **fields))
        self._command(["systemctl", "daemon-reload"])
        self._command(["systemctl", "enable", self._unit])
        self._command(["systemctl", "restart", self._unit], timeout_s=self._daemon.timeout_s)

    def reload(self):
        """Have the daemon read its files again."""
        self._command(["systemctl", "reload", self._unit])

    def stop(self):
        """Stop the service and keep it from starting at boot."""
        self._command(["systemctl", "disable", "--now", self._unit], timeout_s=self._daemon.timeout_s)


def wait_until(condition, timeout_s, interval_s=0.05):
    """Return True as soon as ``condition()`` holds, False when it does not within ``timeout_s``."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(interval_s)
    return True


def log_tail(path, lines=8):
    """Return the last lines of a log, empty when there is none."""
    return "\n".join((read_text(path) or "").splitlines()[-lines:])


class DaemonControl:
    """Brings one daemon to a state and notes what it was started with."""

    def __init__(self, daemon, supervisor):
        """Keep the description and its supervisor (ProcessSupervisor or SystemdSupervisor)."""
        self._daemon = daemon
        self._supervisor = supervisor
        self._record_path = Path(daemon.run_dir, f"{daemon.name}.json")
        self._wanted = wanted_record(daemon)

    def action(self, state):
        """Return what has to be done to reach ``state`` (started or stopped): see choose_action."""
        text = read_text(self._record_path)
        found = json.loads(text) if text else None
        return choose_action(state, self._supervisor.pid() is not None, found, self._wanted)

    def apply(self, action):
        """Carry out ``action`` and wait until the daemon serves. Raises DaemonError, CommandError."""
        Path(self._daemon.run_dir).mkdir(parents=True, exist_ok=True)
        Path(self._daemon.log_path).parent.mkdir(parents=True, exist_ok=True)
        if action == "reload":
            self._supervisor.reload()
        if action in ("stop", "restart"):
            self._supervisor.stop()
        if action in ("start", "restart"):
            self._start()
        if action == "stop":
            self._record_path.unlink(missing_ok=True)
        else:
            write_atomic(self._record_path, json.dumps(self._wanted, indent=1) + "\n")

    def _start(self):
        try:
            self._supervisor.start()
        except (OSError, CommandError) as error:
            raise DaemonError(self._describe(f"cannot be started: {error}")) from error
        wait_until(lambda: self._supervisor.pid() is None or self._serves(), self._daemon.timeout_s)
        if self._supervisor.pid() is None:
            raise DaemonError(self._describe("ended right after its start"))
        if not self._serves():
            wanted = ", ".join(self._daemon.ready_ports)
            raise DaemonError(self._describe(f"does not listen on {wanted} after {self._daemon.timeout_s} s"))

    def _serves(self):
        pid = self._supervisor.pid()
        return pid is not None and set(self._daemon.ready_ports) <= listening_ports(pid)

    def _describe(self, problem):
        command = " ".join(self._daemon.argv)
        tail = log_tail(self._daemon.log_path) or "(empty)"
        return f"Daemon {self._daemon.name} {problem}. Command: {command}. End of {self._daemon.log_path}: {tail}"
