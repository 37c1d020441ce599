"""Both APIs on free ports over TLS, with what a fuzz run may call them with."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from openqrm import operators
from openqrm.config import Api, Config
from openqrm.config import Operators as OperatorsConfig
from openqrm.datacenter import Datacenter
from openqrm.nodeapi import server as servers
from openqrm.runner import RunResult
from openqrm.store import open_store

from tests.unit.nodeapi.conftest import registration
from tests.unit.operatorapi.conftest import fill


@dataclass(frozen=True)
class Target:
    """An API that runs: where, the file of its authority, and headers that let a caller in."""

    url: str
    ca: str
    headers: Mapping[str, str]
    secrets: tuple[str, ...]

    @property
    def port(self) -> int:
        """Its port."""
        return int(self.url.rpartition(":")[2])

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        """The answer to a request of a client that trusts its authority."""
        with httpx.Client(verify=ssl.create_default_context(cafile=self.ca), timeout=30) as client:
            return client.request(method, f"{self.url}{path}", **options)

    def description(self) -> dict[str, Any]:
        """Its OpenAPI description."""
        found: dict[str, Any] = self.ask("GET", "/openapi.json").json()
        return found

    def lives(self) -> bool:
        """Whether it answers."""
        return self.ask("GET", "/openapi.json").status_code == 200


@contextlib.contextmanager
def running(server: Any, listener: socket.socket) -> Iterator[int]:
    """The server in a thread; yields its port."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=lambda: loop.run_until_complete(server.serve(sockets=[listener])))
    thread.start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        loop.call_soon_threadsafe(server.stop)
        thread.join()
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


@pytest.fixture(scope="module")
def center(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Datacenter]:
    """A data centre with a few objects, whose playbook runs do nothing."""
    path = tmp_path_factory.mktemp("fuzz")
    listen = OperatorsConfig(listen="127.0.0.1", port=0)
    config = Config(path=path / "openqrm.yml", state_dir=str(path), api=Api(port=0), operators=listen)
    store = open_store(f"sqlite:///{path}/openqrm.db", create=True)
    with store.write("test", "test") as writer:
        fill(writer)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("openqrm.operatorapi.work.run_playbook", lambda *_, **__: RunResult("successful"))
        yield Datacenter(config, store)
    store.close()


@pytest.fixture(scope="module")
def node_api(center: Datacenter) -> Iterator[Target]:
    """The node API, with the token of a machine."""
    server = servers.NodeServer(center.config, center.store)
    with servers.listening_socket(center.config) as listener, running(server, listener) as port:
        ca, url = f"{center.config.state_dir}/pki/ca.pem", f"https://127.0.0.1:{port}"
        with httpx.Client(verify=ssl.create_default_context(cafile=ca)) as client:
            answer = client.post(f"{url}/node/v1/register", json=registration("52:54:00:00:00:77", claim="c1a1m"))
        token = answer.json()["token"]
        yield Target(url, ca, {"authorization": f"Bearer {token}"}, (token, "c1a1m"))


@pytest.fixture(scope="module")
def operator_api(center: Datacenter) -> Iterator[Target]:
    """The operator API, with the token of an administrator."""
    token = operators.create(center.store, "fuzz", "admin", "test")
    server = servers.OperatorServer(center)
    with servers.operator_socket(center.config) as listener, running(server, listener) as port:
        ca = f"{center.config.state_dir}/pki/ca.pem"
        yield Target(f"https://127.0.0.1:{port}", ca, {"authorization": f"Bearer {token}"}, (token,))
    server.operations.close()
