"""An NVMe/TCP host that needs no kernel's: two queues with one command at a time each.

Source: NVMe over Fabrics (in the NVMe base specification 2.0) and NVMe TCP transport 1.0.
"""

from __future__ import annotations

import contextlib
import hashlib
import socket
import struct
from collections.abc import Iterator

from tests.conformance.clients.client import OFFSET, TEXT_BYTES, Request, main

TIMEOUT_S = 10
PDU = struct.Struct("<BBBBI")  # type, flags, length of the header, where data begins, length of all
INITIALIZE, INITIALIZED, COMMAND, ANSWER, DATA = 0, 1, 4, 5, 7
SUCCESS = 0x08  # flag of data: no answer follows
FABRICS, FLUSH, WRITE, READ = 0x7F, 0x00, 0x01, 0x02
SET_PROPERTY, CONNECT = 0, 1
CONFIGURATION, ENABLED = 0x14, 0x460001  # entries of 64 and 16 bytes, enabled
SGL, IN_CAPSULE, BY_TRANSPORT = 0x40, 0x01, 0x5A
ADMIN, IO = 0, 1
DEPTH, NEW_CONTROLLER, NAMESPACE = 31, 0xFFFF, 1
BLOCK = OFFSET // TEXT_BYTES


class Queue:
    """A queue of a controller: a connection of its own."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._socket = socket.create_connection(address, TIMEOUT_S)
        self._socket.sendall(PDU.pack(INITIALIZE, 0, 128, 0, 128) + bytes(120))
        self._receive(INITIALIZED)

    def connect(self, number: int, controller: int, subsystem: str, host: str) -> int:
        """Have the queue accepted; returns the controller's number."""
        identity = hashlib.sha256(host.encode()).digest()[:16] + struct.pack("<H", controller)
        names = subsystem.encode().ljust(256, b"\0") + host.encode().ljust(256, b"\0")
        rest = struct.pack("<HHHBBI", 0, number, DEPTH, 0, 0, 0)
        return self.fabrics(CONNECT, rest, identity.ljust(256, b"\0") + names.ljust(768, b"\0"))

    def fabrics(self, kind: int, rest: bytes, data: bytes = b"") -> int:
        """Do a command of the fabrics; returns the number of its answer."""
        return self._ask(FABRICS, bytes([kind]), rest, data)[0]

    def transfer(self, operation: int, data: bytes = b"") -> bytes:
        """Do a command on the block with the text; returns what it reads."""
        block = struct.pack("<QH", BLOCK, 0)  # one block: its number is counted from 0
        return self._ask(operation, struct.pack("<I", NAMESPACE), block, data, wanted=TEXT_BYTES)[1]

    def close(self) -> None:
        """End the connection."""
        self._socket.close()

    def _ask(self, operation: int, first: bytes, rest: bytes, data: bytes, wanted: int = 0) -> tuple[int, bytes]:
        if data:
            where = struct.pack("<QI3xB", 0, len(data), IN_CAPSULE)
        else:
            where = struct.pack("<QI3xB", 0, wanted if operation == READ else 0, BY_TRANSPORT)
        entry = struct.pack("<BBH", operation, SGL, 0) + first.ljust(20, b"\0") + where + rest.ljust(24, b"\0")
        head = PDU.pack(COMMAND, 0, 72, 72 if data else 0, 72 + len(data))
        self._socket.sendall(head + entry + data)
        return self._answer()

    def _answer(self) -> tuple[int, bytes]:
        found = b""
        while True:
            kind, flags, body = self._receive(ANSWER, DATA)
            if kind == ANSWER:
                status = int.from_bytes(body[14:16], "little") >> 1
                if status:
                    raise OSError(f"the server refuses: status {status:#x}")
                return int.from_bytes(body[:4], "little"), found
            found += body[16:]  # after the header's numbers
            if flags & SUCCESS:
                return 0, found

    def _receive(self, *kinds: int) -> tuple[int, int, bytes]:
        kind, flags, _header, _data, length = PDU.unpack(self._bytes(PDU.size))
        body = self._bytes(length - PDU.size)
        if kind not in kinds:
            raise OSError(f"the server ends the connection: PDU {kind}")
        return kind, flags, body

    def _bytes(self, count: int) -> bytes:
        found = b""
        while len(found) < count:
            part = self._socket.recv(count - len(found))
            if not part:
                raise ConnectionError("the server has closed the connection")
            found += part
        return found


class NvmeVolume:
    """Namespace 1 of a subsystem."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def read(self) -> bytes:
        return self._queue.transfer(READ)

    def write(self, data: bytes) -> None:
        self._queue.transfer(WRITE, data)
        self._queue.transfer(FLUSH)


@contextlib.contextmanager
def opened(request: Request) -> Iterator[NvmeVolume]:
    """The volume of `subsystem`, as the host that `host` names."""
    parameters = request["parameters"]
    names = parameters["subsystem"], parameters["host"]
    address = parameters["addresses"].split(",")[0], int(parameters["port"])
    with contextlib.closing(Queue(address)) as admin:
        controller = admin.connect(ADMIN, NEW_CONTROLLER, *names) & 0xFFFF
        admin.fabrics(SET_PROPERTY, struct.pack("<IIQ", 0, CONFIGURATION, ENABLED))
        with contextlib.closing(Queue(address)) as queue:
            queue.connect(IO, controller, *names)
            yield NvmeVolume(queue)


if __name__ == "__main__":
    main(opened)
