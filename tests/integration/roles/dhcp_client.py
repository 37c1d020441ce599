"""Asks a DHCP server as boot firmware does and prints the answer as JSON: dhcp_client.py INTERFACE MAC KIND ARCH."""

from __future__ import annotations

import json
import random
import socket
import struct
import sys

MAGIC = b"\x63\x82\x53\x63"


def option(number: int, value: bytes) -> bytes:
    """Return one encoded DHCP option."""
    return bytes([number, len(value)]) + value


def discover(mac: bytes, kind: str, arch: int, transaction: int) -> bytes:
    """Return a DHCPDISCOVER: ``kind`` is firmware (a PXE client), http (UEFI HTTP boot), ipxe, or plain."""
    head = struct.pack("!BBBBIHH16s16s64s128s", 1, 1, 6, 0, transaction, 0, 0x8000, b"", mac, b"", b"")
    options = option(53, b"\x01") + option(55, bytes([1, 3, 6, 12, 15, 54, 60, 66, 67, 43]))
    if kind != "plain":
        options += option(93, struct.pack("!H", arch)) + option(94, b"\x01\x02\x01") + option(97, b"\0" * 17)
        client = "HTTPClient" if kind == "http" else "PXEClient"
        options += option(60, f"{client}:Arch:{arch:05d}:UNDI:002001".encode())
    if kind == "ipxe":
        options += option(77, b"iPXE") + option(175, option(176, b"\x01"))
    return head + MAGIC + options + b"\xff"


def parse(reply: bytes) -> dict[str, object]:
    """Return the fields of a reply that boot firmware looks at."""
    options: dict[int, bytes] = {}
    rest = reply[240:]
    while rest and rest[0] != 255:
        if rest[0] == 0:
            rest = rest[1:]
            continue
        options[rest[0]] = rest[2 : 2 + rest[1]]
        rest = rest[2 + rest[1] :]
    return {
        "address": socket.inet_ntoa(reply[16:20]),
        "next_server": socket.inet_ntoa(reply[20:24]),
        "file": (options.get(67) or reply[108:236]).split(b"\0")[0].decode(),
        "host_name": options.get(12, b"").decode(),
        "vendor_class": options.get(60, b"").decode(),
        "vendor_options": options.get(43, b"").hex(),
    }


def ask(interface: str, mac: str, kind: str, arch: int) -> dict[str, object]:
    """Return the first offer to a DHCPDISCOVER; asks up to five times, 2 s each."""
    transaction = random.getrandbits(32)
    hardware = bytes.fromhex(mac.replace(":", ""))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
        client.bind(("", 68))
        client.settimeout(2)
        for _attempt in range(5):
            client.sendto(discover(hardware, kind, arch, transaction), ("255.255.255.255", 67))
            try:
                while True:
                    reply = client.recv(4096)
                    if reply[4:8] == struct.pack("!I", transaction):
                        return parse(reply)
            except TimeoutError:
                continue
    return {}


if __name__ == "__main__":
    print(json.dumps(ask(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))))
