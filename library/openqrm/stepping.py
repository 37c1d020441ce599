"""Who carries out the steps of a playbook (`openqrm.planning.steps`): the command line that runs it, or its own tasks.

A task is a process of its own: to load the library and open the store would cost it more than most steps do. The
command line has both, and answers on a socket in the run's private directory. `ansible-playbook` alone has no such
socket, and its tasks do without; so do those whose command line died.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from openqrm.config import Config
    from openqrm.datacenter import Datacenter

SOCKET = "OPENQRM_STEPS"
Answer = dict[str, Any]


def ask(request: Mapping[str, Any], config: str | None = None) -> Answer:
    """The answer to a step's request. `config` None: of the configuration that `openqrm.config` finds.

    Every step may be done again when it is not known whether it was done. Raises: ConfigError, StoreError.
    """
    path = os.environ.get(SOCKET)
    if path and config is None:
        with contextlib.suppress(OSError, ValueError):
            return _ask_socket(path, request)
    from openqrm.config import load_config
    from openqrm.datacenter import Datacenter
    from openqrm.planning.steps import answer

    center = Datacenter.open(load_config(config))
    try:
        return answer(center, request)
    finally:
        center.close()


def is_served() -> bool:
    """Whether another process answers, so that this one needs not load the library."""
    return SOCKET in os.environ


def _ask_socket(path: str, request: Mapping[str, Any]) -> Answer:
    """Raises: OSError, ValueError where the other side is gone. It may take as long as the step's own deadlines."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        with connection.makefile("rw", encoding="utf-8") as stream:
            stream.write(json.dumps(request) + "\n")
            stream.flush()
            answered: Answer = json.loads(stream.readline())
            return answered


@contextlib.contextmanager
def serve(
    directory: Path, config: Config, on_wait: Callable[[str], None] = lambda _reason: None
) -> Iterator[dict[str, str]]:
    """Answers in threads while the context is open; yields the environment variables by which tasks find the socket.

    `on_wait` is told when an operation begins to wait for its turn.
    """
    with (
        contextlib.closing(_Center(config, on_wait)) as center,
        _Server(str(directory / "steps"), center.answer) as server,
    ):
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        try:
            yield {SOCKET: str(server.server_address)}
        finally:
            server.shutdown()


class _Center:
    """The data centre, opened by the first request."""

    def __init__(self, config: Config, on_wait: Callable[[str], None]) -> None:
        self._config = config
        self._on_wait = on_wait
        self._lock = threading.Lock()
        self._center: Datacenter | None = None

    def answer(self, request: Mapping[str, Any]) -> Answer:
        from openqrm.errors import OpenqrmError
        from openqrm.planning.steps import answer

        try:
            answered = answer(self._open(), request)
        except OpenqrmError as error:
            return {"error": error.parts()}
        if "waits" in answered and not request["waited_s"]:
            self._on_wait(answered["waits"])
        return answered

    def _open(self) -> Datacenter:
        from openqrm.datacenter import Datacenter

        with self._lock:
            if self._center is None:
                self._center = Datacenter.open(self._config)
            return self._center

    def close(self) -> None:
        if self._center:
            self._center.close()


class _Server(socketserver.ThreadingUnixStreamServer):
    """One thread per request; a request that is still waited for when the run ends is left behind."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, path: str, answer: Callable[[Mapping[str, Any]], Answer]) -> None:
        super().__init__(path, _Handler)
        self.answer = answer


class _Handler(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        line = self.rfile.readline()
        if line:
            self.wfile.write(json.dumps(self.server.answer(json.loads(line))).encode() + b"\n")
