"""`openqrm serve`: the APIs for nodes and operators over TLS, until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import resource
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import uvicorn
from fastapi import FastAPI

from openqrm.config import Config
from openqrm.datacenter import Datacenter
from openqrm.errors import ConfigError
from openqrm.nodeapi.app import Service, create_app
from openqrm.nodeapi.limits import protocol
from openqrm.operatorapi.app import Operations
from openqrm.operatorapi.app import create_app as create_operator_app
from openqrm.pki import ensure_server_cert
from openqrm.store import Store

KEEP_ALIVE_S = 75
GRACE_S = 5
BACKLOG = 2048
MAX_PORT = 65535

log = logging.getLogger("openqrm.nodeapi")


class NodeServer(uvicorn.Server):
    """The node API over TLS. The caller handles signals: requests that wait for orders must be answered first."""

    def __init__(self, config: Config, store: Store) -> None:
        self._service = Service(store, config)
        host = urlsplit(config.api.url).hostname or config.api.listen
        super().__init__(_uvicorn_config(config, create_app(self._service), "api", [config.api.listen, host]))

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Captures nothing."""
        yield

    def stop(self) -> None:
        """Ends the server: waiting requests are answered, new ones refused. Call it in the server's event loop."""
        log.info("stopping")
        self._service.board.stop()
        self.should_exit = True


class OperatorServer(uvicorn.Server):
    """The operator API over TLS; the caller handles signals here too."""

    def __init__(self, center: Datacenter) -> None:
        self.operations = Operations(center)
        listen = center.config.operators.listen
        app = create_operator_app(self.operations)
        super().__init__(_uvicorn_config(center.config, app, "operators", [listen]))

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Captures nothing."""
        yield

    def stop(self) -> None:
        """Ends the server. Call it in the server's event loop."""
        self.should_exit = True


Listening = tuple[NodeServer | OperatorServer, socket.socket]


def serve(config: Config) -> None:
    """Runs the APIs of this data centre in the foreground until SIGTERM or SIGINT: for nodes, and if configured for
    operators.

    Raises: ConfigError when it cannot listen; StoreError.
    """
    _configure_log()
    _raise_file_limit()
    center = Datacenter.open(config)
    with contextlib.ExitStack() as stack:
        stack.callback(center.close)
        listener = stack.enter_context(listening_socket(config))
        servers: list[tuple[NodeServer | OperatorServer, socket.socket]] = [
            (NodeServer(config, center.store), listener)
        ]
        if config.operators.listen:
            operators = OperatorServer(center)
            stack.callback(operators.operations.close)
            servers.append((operators, stack.enter_context(operator_socket(config))))
        asyncio.run(_run(servers))


def operator_socket(config: Config) -> socket.socket:
    """A socket that listens on the operator API's address and port. Raises: ConfigError."""
    return _listening(config, "operators", config.operators.listen, config.operators.port)


def listening_socket(config: Config) -> socket.socket:
    """A socket that listens on the node API's address and port. Raises: ConfigError."""
    return _listening(config, "api", config.api.listen, config.api.port)


def _listening(config: Config, section: str, listen: str, port: int) -> socket.socket:
    try:
        if port > MAX_PORT:
            raise ValueError(f"the highest port is {MAX_PORT}")
        is_ipv6 = ipaddress.ip_address(listen).version == 6
        family = socket.AF_INET6 if is_ipv6 else socket.AF_INET
        return socket.create_server((listen, port), family=family, backlog=BACKLOG)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{config.path}: openqrm serve cannot listen on {listen} port {port}: {error}.",
            remedy=f"Set {section}.listen to an address of this machine and {section}.port to a free port.",
        ) from error


def _uvicorn_config(config: Config, app: FastAPI, name: str, addresses: Sequence[str]) -> uvicorn.Config:
    certificate, key = ensure_server_cert(Path(config.state_dir) / "pki", name, addresses)
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


async def _run(servers: Sequence[Listening]) -> None:
    def stop() -> None:
        for server, _ in servers:
            server.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    for server, listener in servers:
        what = "node API" if isinstance(server, NodeServer) else "operator API"
        log.info("%s on %s port %s", what, *listener.getsockname()[:2])
    await asyncio.gather(*(server.serve(sockets=[listener]) for server, listener in servers))


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
