"""Limits that hold before any request is looked at: the size of a body, and the time a client may take to send."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

MAX_BODY_BYTES = 256 * 1024
BODY_TIMEOUT_S = 15.0
HEADER_TIMEOUT_S = 15.0


class BodyLimit:
    """ASGI middleware: reads the body, at most MAX_BODY_BYTES and BODY_TIMEOUT_S of it, then calls the application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers 413 or 408 itself; passes everything else on with its body read."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if _declared_length(scope) > MAX_BODY_BYTES:
            await _refuse(send, 413, "The body is too large.", f"Send at most {MAX_BODY_BYTES} bytes.")
            return
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                body = await _read(receive)
        except TimeoutError:
            await _refuse(send, 408, "The body did not arrive in time.", f"Send it within {BODY_TIMEOUT_S:.0f} s.")
            return
        if body is None:
            await _refuse(send, 413, "The body is too large.", f"Send at most {MAX_BODY_BYTES} bytes.")
            return
        await self._app(scope, _replay(body, receive), send)


def _declared_length(scope: Scope) -> int:
    """The Content-Length of the request, 0 without one. The server has checked that it is a number."""
    return max((int(value) for name, value in scope["headers"] if name == b"content-length"), default=0)


async def _read(receive: Receive) -> bytes | None:
    """The whole body, or None as soon as it is larger than allowed."""
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            return None
        if not message.get("more_body", False):
            return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body once, then whatever comes (the disconnection)."""
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return pending.pop() if pending else await receive()

    return replay


async def _refuse(send: Send, status: int, error: str, remedy: str) -> None:
    body = json.dumps({"error": error, "remedy": remedy}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class TimedProtocol(H11Protocol):
    """HTTP/1.1 that closes a connection whose request line and headers take longer than HEADER_TIMEOUT_S.

    The server times idle connections between requests only, so a client that sends a byte now and then would stay.
    """

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Starts the clock for the first request."""
        super().connection_made(transport)
        self._start_clock()

    def data_received(self, data: bytes) -> None:
        """Takes the data; stops the clock when the headers are complete, starts it for those of the next request."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_clock()
        elif self._deadline is None:
            self._start_clock()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops the clock."""
        self._stop_clock()
        super().connection_lost(exc)

    def _start_clock(self) -> None:
        self._deadline = self.loop.call_later(HEADER_TIMEOUT_S, self.transport.close)

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def protocol() -> Any:
    """The protocol class, in the type that uvicorn's configuration wants."""
    return TimedProtocol
