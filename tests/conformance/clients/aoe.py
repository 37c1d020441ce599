"""A client of ATA over Ethernet that needs no kernel's: frames of its own on the NIC that leads to the server.

Source: AoE specification, revision 11.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tests.conformance.clients.client import OFFSET, TEXT_BYTES, Request, main

ETHERTYPE = 0x88A2
EVERYBODY = b"\xff" * 6
VERSION, RESPONSE, ERROR = 0x10, 0x08, 0x04
ATA, CONFIGURATION = 0, 1
HEADER = struct.Struct("!6s6sHBBHBBI")  # destination, source, type, flags, error, shelf, slot, command, tag
READ, WRITE, EXTENDED, WRITING = 0x24, 0x34, 0x40, 0x01
BLOCK = OFFSET // TEXT_BYTES
ATA_ERROR = 0x01
TRIES, ANSWER_S = 3, 1.0


class AoeVolume:
    """A volume by its shelf and slot, and the server's address, which its answer to a first question tells."""

    def __init__(self, interface: str, shelf: int, slot: int) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETHERTYPE))
        self._socket.bind((interface, ETHERTYPE))
        text = Path("/sys/class/net", interface, "address").read_text(encoding="ascii").strip()
        self._own = bytes.fromhex(text.replace(":", ""))
        self._shelf, self._slot, self._tag = shelf, slot, 0
        self._server = EVERYBODY
        self._server = self._ask(CONFIGURATION, bytes(8))[0]

    def read(self) -> bytes:
        return self._ata(READ, 0, b"")[:TEXT_BYTES]

    def write(self, data: bytes) -> None:
        self._ata(WRITE, WRITING, data)

    def close(self) -> None:
        """Give the interface back."""
        self._socket.close()

    def _ata(self, command: int, flags: int, data: bytes) -> bytes:
        address = BLOCK.to_bytes(6, "little")
        arguments = bytes([EXTENDED | flags, 0, 1, command]) + address + bytes(2)
        answer = self._ask(ATA, arguments + data)[1]
        if answer[3] & ATA_ERROR:
            raise OSError(f"the server cannot do it: status {answer[3]:#x}")
        return answer[12:]

    def _ask(self, command: int, body: bytes) -> tuple[bytes, bytes]:
        """The server's address, and its answer. A server that refuses says nothing, and a frame can be lost."""
        for _try in range(TRIES):
            self._tag += 1
            place = (self._shelf, self._slot, command, self._tag)
            head = HEADER.pack(self._server, self._own, ETHERTYPE, VERSION, 0, *place)
            self._socket.send((head + body).ljust(60, b"\0"))
            deadline = time.monotonic() + ANSWER_S
            while (left := deadline - time.monotonic()) > 0:
                self._socket.settimeout(left)
                with contextlib.suppress(TimeoutError):
                    frame = self._socket.recv(2048)
                    _own, server, _type, flags, error, *found = HEADER.unpack_from(frame)
                    if flags & RESPONSE and tuple(found) == place:
                        if flags & ERROR:
                            raise OSError(f"the server cannot do it: error {error}")
                        return server, frame[HEADER.size :]
        raise OSError(f"nobody serves e{self._shelf}.{self._slot} to this client")


@contextlib.contextmanager
def opened(request: Request) -> Iterator[AoeVolume]:
    """The volume of `shelf` and `slot`, by the NIC that leads to `server`."""
    parameters = request["parameters"]
    route = ["ip", "-json", "route", "get", parameters["server"]]
    answer = subprocess.run(route, check=True, capture_output=True, text=True, timeout=10).stdout
    volume = AoeVolume(json.loads(answer)[0]["dev"], int(parameters["shelf"]), int(parameters["slot"]))
    try:
        yield volume
    finally:
        volume.close()


if __name__ == "__main__":
    main(opened)
