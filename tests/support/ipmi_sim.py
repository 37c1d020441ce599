"""A simulated BMC: OpenIPMI's ipmi_sim, with a machine that is two files."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PASSWORD = "sixteen-letters!"  # noqa: S105
STARTED_S = 30
CONFIGURATION = """name "{name}"
set_working_mc 0x20
  startlan 1
    addr 127.0.0.1 {port}
    priv_limit admin
    allowed_auths_callback none md2 md5 straight
    allowed_auths_user none md2 md5 straight
    allowed_auths_operator none md2 md5 straight
    allowed_auths_admin none md2 md5 straight
    guid a123456789abcdefa123456789abcdef
  endlan
  chassis_control "{directory}/chassis"
  user 1 false "" "" user 10 none md2 md5 straight
  user 2 true "admin" "{password}" admin 10 none md2 md5 straight
"""
COMMANDS = "mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr\nmc_enable 0x20\n"
CHASSIS = """#!/bin/sh
cd {directory}
echo "$*" >> asked
verb=$1
shift
while [ $# -gt 0 ]; do
    if [ "$verb" = get ]; then
        printf '%s:%s\\n' "$1" "$(cat "$1" 2> /dev/null || echo 0)"
        shift
    else
        [ -e deaf ] || [ "$1" = reset ] || echo "$2" > "$1"
        shift 2
    fi
done
"""


@dataclass(frozen=True)
class Machine:
    """A machine with a BMC; `directory` holds the files power and boot, and asked: what its BMC was asked to do."""

    directory: Path
    address: str

    def asked(self) -> list[str]:
        """What the BMC changed of the machine, in order."""
        path = self.directory / "asked"
        lines = path.read_text().splitlines() if path.exists() else []
        return [line for line in lines if line.startswith("set")]


@contextlib.contextmanager
def machine(directory: Path) -> Iterator[Machine]:
    """A machine that is off, with its simulated BMC, until the block ends."""
    (directory / "state").mkdir(parents=True)
    port = free_port()
    values = {"name": directory.name, "port": port, "directory": directory, "password": PASSWORD}
    (directory / "lan.conf").write_text(CONFIGURATION.format(**values))
    (directory / "commands").write_text(COMMANDS)
    (directory / "boot").write_text("none\n")
    program = directory / "chassis"
    program.write_text(CHASSIS.format(**values))
    program.chmod(0o755)
    argv = ["ipmi_sim", "-n", "-c", "lan.conf", "-f", "commands", "-s", "state"]
    with (directory / "log").open("wb") as log, subprocess.Popen(argv, cwd=directory, stdout=log, stderr=log) as bmc:
        try:
            wait_for(port, bmc)
            yield Machine(directory, f"127.0.0.1:{port}")
        finally:
            bmc.terminate()


def free_port() -> int:
    """A UDP port of the loopback interface that nothing listens on."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


def wait_for(port: int, bmc: subprocess.Popen[bytes]) -> None:
    """Return when the BMC has bound its UDP port, which proc(5) shows in hexadecimal."""
    deadline = time.monotonic() + STARTED_S
    while f":{port:04X} " not in Path("/proc/net/udp").read_text():
        assert bmc.poll() is None and time.monotonic() < deadline, "ipmi_sim does not run: see its log"
        time.sleep(0.05)
