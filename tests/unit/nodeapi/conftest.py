"""A node API that runs, over TLS, in a thread of the test."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from openqrm.config import Api, Config
from openqrm.nodeapi import server as servers
from openqrm.store import Store, open_store

MAC = "52:54:00:12:34:56"
NAME = "node-52-54-00-12-34-56"


@dataclass(frozen=True)
class Running:
    """A server that runs: its address, its store, a client that trusts its authority, and how to stop it."""

    port: int
    store: Store
    client: httpx.Client
    context: ssl.SSLContext
    stop: Callable[[], None]

    def register(self, mac: str = MAC, **changes: Any) -> str:
        """Registers a machine, in a boot that the controller caused, and returns its token."""
        with self.store.write("test", "reset") as writer:
            writer.expect_boot([f"node-{mac.replace(':', '-')}"])
        answer = self.client.post("/node/v1/register", json=registration(mac, **changes))
        assert answer.status_code == 200, answer.text
        return str(answer.json()["token"])


def registration(mac: str = MAC, **changes: Any) -> dict[str, Any]:
    """The body of a registration."""
    body: dict[str, Any] = {
        "macs": [mac],
        "boot_mac": mac,
        "address": "10.77.0.50",
        "boot_id": "boot-1",
        "mode": "idle",
        "cores": 1,
        "memory_mib": 768,
    }
    return body | changes


def bearer(token: str) -> dict[str, str]:
    """The header that carries the token."""
    return {"authorization": f"Bearer {token}"}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    opened = open_store(f"sqlite:///{tmp_path}/openqrm.db", create=True)
    yield opened
    opened.close()


@contextlib.contextmanager
def running_server(config: Config, store: Store) -> Iterator[Running]:
    """A node API on a free port of the loopback interface."""
    with servers.listening_socket(config) as listener:
        server = servers.NodeServer(config, store)
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=lambda: loop.run_until_complete(server.serve(sockets=[listener])))
        thread.start()
        context = ssl.create_default_context(cafile=f"{config.state_dir}/pki/ca.pem")
        port = listener.getsockname()[1]

        def stop() -> None:
            if thread.is_alive():
                loop.call_soon_threadsafe(server.stop)
            thread.join()

        try:
            with httpx.Client(base_url=f"https://127.0.0.1:{port}", verify=context, timeout=30) as client:
                yield Running(port, store, client, context, stop)
        finally:
            stop()
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()


@pytest.fixture
def api(tmp_path: Path, store: Store) -> Iterator[Running]:
    """A node API that runs."""
    config = Config(path=tmp_path / "openqrm.yml", state_dir=str(tmp_path), api=Api(port=0))
    with running_server(config, store) as running:
        yield running


@pytest.fixture(scope="module")
def shared_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A node API for all tests of a module that are refused by it."""
    path = tmp_path_factory.mktemp("api")
    store = open_store(f"sqlite:///{path}/openqrm.db", create=True)
    with running_server(Config(path=path / "openqrm.yml", state_dir=str(path), api=Api(port=0)), store) as running:
        yield running
    store.close()
