"""Network namespaces for daemons and their clients, made and removed by each test."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

SERVER, CLIENT, STRANGER = "10.77.0.1", "10.77.0.9", "10.77.0.10"


@dataclass(frozen=True)
class Network:
    """A namespace of a server (interface srv0) joined to one of a client (cl0) that has two addresses."""

    server: str
    client: str

    def ask(self, *argv: str) -> str:
        """What a command in the client's namespace prints, errors included."""
        done = subprocess.run(
            ["ip", "netns", "exec", self.client, *argv], capture_output=True, text=True, timeout=60, check=False
        )
        return done.stdout + done.stderr


def ip(*arguments: str) -> None:
    """Run ip(8)."""
    subprocess.run(["ip", *arguments], check=True, timeout=60)


@pytest.fixture
def network() -> Iterator[Network]:
    """A private network of two namespaces."""
    assert os.geteuid() == 0, "these tests make network namespaces: run them as root"
    mark = secrets.token_hex(3)
    made = Network(f"oqr-s-{mark}", f"oqr-c-{mark}")
    try:
        for name in (made.server, made.client):
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        ip("link", "add", "srv0", "netns", made.server, "type", "veth", "peer", "name", "cl0", "netns", made.client)
        for name, device, address in (
            (made.server, "srv0", SERVER),
            (made.client, "cl0", CLIENT),
            (made.client, "cl0", STRANGER),
        ):
            ip("-n", name, "address", "add", f"{address}/24", "dev", device)
            ip("-n", name, "link", "set", device, "up")
        yield made
    finally:
        for name in (made.server, made.client):
            subprocess.run(["ip", "netns", "delete", name], timeout=60, check=False)
