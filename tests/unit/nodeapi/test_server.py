"""The server as a process: `openqrm serve` starts, answers, ends on a signal, and says why it cannot start."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from openqrm.config import Api, Config
from openqrm.errors import ConfigError
from openqrm.nodeapi import server as servers
from openqrm.store import open_store

from .conftest import NAME, bearer, registration

LIBRARY = Path(__file__).parents[3] / "library"


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def served(path: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    """`openqrm serve` as a process, once it listens."""
    config = path / "openqrm.yml"
    config.write_text(f"store: sqlite:///{path}/openqrm.db\nstate_dir: {path}/state\napi: {{port: {port}}}\n")
    open_store(f"sqlite:///{path}/openqrm.db", create=True).close()
    environment = {**os.environ, "PYTHONPATH": str(LIBRARY), "OPENQRM_CONFIG": str(config)}
    command = [sys.executable, "-m", "openqrm", "serve"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert f"port {port}" in process.stderr.readline()
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_server_answers_until_a_signal_and_then_lets_waiting_nodes_go(tmp_path: Path, number: signal.Signals) -> None:
    port = free_port()
    with served(tmp_path, port) as process:
        context = ssl.create_default_context(cafile=f"{tmp_path}/state/pki/ca.pem")
        with httpx.Client(base_url=f"https://127.0.0.1:{port}", verify=context, timeout=60) as client:
            token = client.post("/node/v1/register", json=registration()).json()["token"]
            waiting = client.build_request("GET", "/node/v1/order", params={"wait_s": 60}, headers=bearer(token))
            plain = socket.create_connection(("127.0.0.1", port))
            with context.wrap_socket(plain, server_hostname="127.0.0.1") as stream:
                lines = [f"GET {waiting.url.raw_path.decode()} HTTP/1.1", "Host: x", f"Authorization: Bearer {token}"]
                stream.sendall("\r\n".join([*lines, "", ""]).encode())
                heartbeat = {"boot_id": "boot-1", "mode": "idle"}
                assert client.post("/node/v1/heartbeat", json=heartbeat, headers=bearer(token)).status_code == 204
                process.send_signal(number)
                assert stream.recv(1024).startswith(b"HTTP/1.1 204 ")
        assert process.wait(timeout=60) == 0
        assert process.stderr is not None
        log = process.stderr.read()
    assert f"{NAME} registered" in log
    assert token not in log
    assert "Traceback" not in log


def test_port_that_is_taken_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        config = Config(api=Api(port=taken.getsockname()[1]))
        with pytest.raises(ConfigError, match="cannot listen"):
            servers.listening_socket(config)


@pytest.mark.parametrize(("listen", "port"), [("nonsense", 7443), ("192.0.2.1", 7443), ("127.0.0.1", 99999)])
def test_address_that_cannot_be_is_an_error(listen: str, port: int) -> None:
    with pytest.raises(ConfigError, match=r"api\.listen"):
        servers.listening_socket(Config(api=Api(listen=listen, port=port)))


def test_ipv6_addresses_work() -> None:
    with servers.listening_socket(Config(api=Api(listen="::1", port=free_port()))) as listener:
        assert listener.family == socket.AF_INET6
