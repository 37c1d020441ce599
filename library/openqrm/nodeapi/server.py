"""`openqrm serve`: the node API over TLS, until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import resource
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import uvicorn
from fastapi import FastAPI

from openqrm.config import Config
from openqrm.errors import ConfigError
from openqrm.nodeapi.app import Service, create_app
from openqrm.nodeapi.limits import protocol
from openqrm.pki import ensure_server_cert
from openqrm.store import Store, open_store

KEEP_ALIVE_S = 75
GRACE_S = 5
BACKLOG = 2048
MAX_PORT = 65535

log = logging.getLogger("openqrm.nodeapi")


class NodeServer(uvicorn.Server):
    """The node API over TLS. The caller handles signals: requests that wait for orders must be answered first."""

    def __init__(self, config: Config, store: Store) -> None:
        self._service = Service(store, config)
        super().__init__(_uvicorn_config(config, create_app(self._service)))

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Captures nothing."""
        yield

    def stop(self) -> None:
        """Ends the server: waiting requests are answered, new ones refused. Call it in the server's event loop."""
        log.info("stopping")
        self._service.board.stop()
        self.should_exit = True


def serve(config: Config) -> None:
    """Runs the node API of this data centre in the foreground until SIGTERM or SIGINT.

    Raises: ConfigError when it cannot listen; StoreError.
    """
    _configure_log()
    _raise_file_limit()
    store = open_store(config.store)
    try:
        with listening_socket(config) as listener:
            asyncio.run(_run(NodeServer(config, store), listener))
    finally:
        store.close()


def listening_socket(config: Config) -> socket.socket:
    """A socket that listens on the API's address and port. Raises: ConfigError."""
    address = (config.api.listen, config.api.port)
    try:
        if address[1] > MAX_PORT:
            raise ValueError(f"the highest port is {MAX_PORT}")
        is_ipv6 = ipaddress.ip_address(config.api.listen).version == 6
        return socket.create_server(address, family=socket.AF_INET6 if is_ipv6 else socket.AF_INET, backlog=BACKLOG)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{config.path}: the node API cannot listen on {address[0]} port {address[1]}: {error}.",
            remedy="Set api.listen to an address of this machine and api.port to a free port.",
        ) from error


def _uvicorn_config(config: Config, app: FastAPI) -> uvicorn.Config:
    host = urlsplit(config.api.url).hostname or config.api.listen
    certificate, key = ensure_server_cert(Path(config.state_dir) / "pki", "api", [config.api.listen, host])
    return uvicorn.Config(
        app,
        http=protocol(),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ssl_certfile=str(certificate),
        ssl_keyfile=str(key),
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
    )


async def _run(server: NodeServer, listener: socket.socket) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, server.stop)
    log.info("node API on %s port %s", *listener.getsockname()[:2])
    await server.serve(sockets=[listener])


def _configure_log() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    # Handshakes that fail and requests that are no HTTP are the clients' affair.
    logging.getLogger("uvicorn").setLevel(logging.ERROR)
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)


def _raise_file_limit() -> None:
    """Each connection is an open file; the usual soft limit of 1,024 is too low for a fleet."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
