"""Many HTTP clients in one process, which read as fast as the kernel gives: what limits is the server."""

from __future__ import annotations

import errno
import hashlib
import os
import resource
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PORTION = 1 << 20
TIMEOUT_S = 300
NAMESPACE = "OPENQRM_BENCH_NETWORK"


def in_own_network() -> None:
    """Goes on in a network namespace that has a loopback interface only: runs the program again, inside of one."""
    if os.environ.get(NAMESPACE) != str(os.getpid()):
        os.environ[NAMESPACE] = str(os.getpid())
        os.execvp("unshare", ["unshare", "--net", sys.executable, *sys.argv])  # noqa: S606 (no shell is wanted)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    _, limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))


def dropped_connections() -> int:
    """How many connections this network namespace has dropped because a server's queue was full."""
    names, values = (
        line.split()[1:] for line in Path("/proc/net/netstat").read_text().splitlines() if line.startswith("TcpExt:")
    )
    counters = dict(zip(names, map(int, values), strict=True))
    return counters["ListenDrops"] + counters["ListenOverflows"] + counters["TCPReqQFullDrop"]


@dataclass(frozen=True)
class Fetch:
    """One file: its path and size, and its SHA-256 if that is to be checked; else the bytes are only counted."""

    path: str
    size: int
    digest: str = ""


@dataclass(frozen=True)
class Outcome:
    """What all nodes received, in bytes, why some failed, and how many connections were dropped."""

    received: int
    failed: tuple[str, ...]
    dropped: int = 0


@dataclass
class Node:
    """A node at its work: what it still has to fetch, and the answer that it is reading."""

    fetches: Iterator[Fetch]
    fetch: Fetch = field(default_factory=lambda: Fetch("", 0))
    head: bytes = b""
    left: int = -1  # of the body; -1: the head is not complete
    received: int = 0
    digest: hashlib._Hash = field(default_factory=hashlib.sha256)

    def connect(self, address: tuple[str, int]) -> socket.socket | None:
        """A connection for the next file; None if there is none."""
        fetch = next(self.fetches, None)
        if fetch is None:
            return None
        self.fetch, self.head, self.left, self.digest = fetch, b"", -1, hashlib.sha256()
        connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        connection.setblocking(False)
        code = connection.connect_ex(address)
        if code not in (0, errno.EINPROGRESS):
            raise OSError(code, os.strerror(code))
        return connection

    def ask(self, connection: socket.socket) -> None:
        """Sends the request. Raises: OSError if it was not connected."""
        code = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
        connection.sendall(f"GET {self.fetch.path} HTTP/1.0\r\nHost: boot\r\n\r\n".encode())

    def read(self, connection: socket.socket, buffer: bytearray) -> bool:
        """Reads what is there; whether the file is complete. Raises: OSError, ValueError for anything else."""
        if self.left >= 0 and not self.fetch.digest:
            # MSG_TRUNC: the kernel counts the bytes and drops them.
            self._count(connection.recv_into(buffer, PORTION, socket.MSG_TRUNC))
        else:
            data = connection.recv(PORTION)
            body = data if self.left >= 0 else self._body(data)
            if body or not data:
                self._count(len(body))
                self.digest.update(body)
        if self.left == 0 and self.fetch.digest and self.digest.hexdigest() != self.fetch.digest:
            raise ValueError("another content came")
        return self.left == 0

    def _body(self, data: bytes) -> bytes:
        """What of the data belongs to the body, once the head is complete."""
        self.head += data
        head, end, body = self.head.partition(b"\r\n\r\n")
        if end:
            status = head.partition(b"\r\n")[0].decode("latin-1")
            if " 200 " not in status or f"\r\nContent-Length: {self.fetch.size}\r".encode() not in head + b"\r":
                raise ValueError(f"{status}, not 200 with {self.fetch.size} bytes")
            self.left = self.fetch.size
        return body

    def _count(self, number: int) -> None:
        if not 0 < number <= self.left:
            raise ValueError(f"the connection ended with {self.left} of {self.fetch.size} bytes to come")
        self.left -= number
        self.received += number


def fetch_all(address: tuple[str, int], nodes: Sequence[Sequence[Fetch]]) -> Outcome:
    """Lets all nodes begin at once, and returns when each has all its files or has failed."""
    storm = _Storm(address)
    for fetches in nodes:
        storm.next_file(Node(iter(fetches)))
    storm.run()
    return Outcome(storm.received, tuple(storm.failed))


class _Storm:
    """The nodes that are at work."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._selector = selectors.DefaultSelector()
        self._buffer = bytearray(PORTION)
        self.received = 0
        self.failed: list[str] = []

    def run(self) -> None:
        """Serves the nodes until none is left."""
        deadline = time.monotonic() + TIMEOUT_S
        while self._selector.get_map():
            for key, events in self._selector.select(timeout=1):
                self._step(key.fileobj, key.data, events)  # type: ignore[arg-type]
            if time.monotonic() > deadline:
                for key in list(self._selector.get_map().values()):
                    self._fail(key.fileobj, key.data, "not complete in time")  # type: ignore[arg-type]
        self._selector.close()

    def next_file(self, node: Node) -> None:
        """Lets the node begin with its next file, or leave if it has all."""
        try:
            connection = node.connect(self._address)
        except OSError as error:
            self.failed.append(f"{node.fetch.path.rpartition('/')[0]}: {error}")
            connection = None
        if connection is None:
            self.received += node.received
        else:
            self._selector.register(connection, selectors.EVENT_WRITE, node)

    def _step(self, connection: socket.socket, node: Node, events: int) -> None:
        try:
            if events & selectors.EVENT_WRITE:
                node.ask(connection)
                self._selector.modify(connection, selectors.EVENT_READ, node)
            elif node.read(connection, self._buffer):
                self._selector.unregister(connection)
                connection.close()
                self.next_file(node)
        except BlockingIOError:
            return
        except (OSError, ValueError) as error:
            self._fail(connection, node, str(error))

    def _fail(self, connection: socket.socket, node: Node, reason: str) -> None:
        self._selector.unregister(connection)
        connection.close()
        self.received += node.received
        self.failed.append(f"{node.fetch.path.rpartition('/')[0] or '/'}: {reason}")
