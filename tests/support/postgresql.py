"""A private PostgreSQL server for one test run: its own directory, a Unix socket, no TCP port."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

INSTALLATIONS = Path("/usr/lib/postgresql")
OWNER = "postgres"
OPTIONS = "-c listen_addresses='' -c fsync=off -c full_page_writes=off -c max_connections=200"


@dataclass(frozen=True)
class Server:
    """A running server; `binaries` is where its programs are, `socket` the directory of its socket."""

    binaries: Path
    socket: Path
    numbers: Iterator[int]

    def stop(self, mode: str = "immediate") -> None:
        """Ends the server as a crash does, or by `fast`: transactions are rolled back, connections cut."""
        _run(self.socket, [*_control(self.binaries, self.socket), "-m", mode, "stop"])

    def start(self) -> None:
        """Starts the server; returns when it takes connections."""
        options = f"{OPTIONS} -k {self.socket}"
        _run(self.socket, [*_control(self.binaries, self.socket), "-l", self.socket / "log", "-o", options, "start"])

    def create_database(self) -> str:
        """The SQLAlchemy URL of a new, empty database."""
        name = f"openqrm_{next(self.numbers)}"
        command = [self.binaries / "createdb", "-h", self.socket, "-U", OWNER, name]
        subprocess.run(command, check=True, capture_output=True)
        return f"postgresql+psycopg://{OWNER}@/{name}?host={self.socket}"


@contextmanager
def running_server() -> Iterator[Server]:
    """Makes a cluster in a temporary directory, runs it for the block's time, and removes both."""
    binaries = _binaries()
    directory = Path(tempfile.mkdtemp(prefix="openqrm-postgresql-"))
    try:
        if os.geteuid() == 0:
            shutil.chown(directory, OWNER)
        data = directory / "data"
        _run(directory, [binaries / "initdb", "-D", data, "-U", OWNER, "-A", "trust", "-E", "UTF8", "--no-sync"])
        server = Server(binaries, directory, count(1))
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(directory)


def _control(binaries: Path, directory: Path) -> list[Path | str]:
    return [binaries / "pg_ctl", "-D", directory / "data", "-w"]


def _binaries() -> Path:
    """The directory of the newest installed server's programs."""
    found = sorted(INSTALLATIONS.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    assert found, f"No PostgreSQL server below {INSTALLATIONS}: run scripts/setup.sh, or install Debian's postgresql."
    return found[-1].parent


def _run(directory: Path, command: list[Path | str]) -> None:
    """Runs as the current user, or as `postgres` where that is root, which the server refuses."""
    user = OWNER if os.geteuid() == 0 else None
    group = pwd.getpwnam(OWNER).pw_gid if user else None
    with (directory / "commands").open("a+") as output:
        done = subprocess.run(
            command,
            cwd=directory,
            stdout=output,
            stderr=output,
            check=False,
            user=user,
            group=group,
            extra_groups=[] if user else None,
        )
        output.seek(0)
        assert done.returncode == 0, f"{command[0]} failed:\n{output.read()}"
