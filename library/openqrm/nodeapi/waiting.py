"""Waiting without a thread or connection per node: one poll finds all orders, heartbeats are written in groups."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from openqrm.errors import OpenqrmError
from openqrm.model import Order
from openqrm.nodeapi.bodies import Heartbeat

POLL_S = 0.1

log = logging.getLogger("openqrm.nodeapi")
T = TypeVar("T")

PendingOrders = Callable[[], Awaitable[Mapping[str, Order]]]
WriteHeartbeats = Callable[[Sequence[tuple[str, Heartbeat]]], Awaitable[Sequence[str | None]]]


class OrderBoard:
    """Wakes the requests that wait for an order: one read of the store for all of them, every POLL_S seconds."""

    def __init__(self, pending: PendingOrders) -> None:
        self._pending = pending
        self._waiting: dict[str, set[asyncio.Future[Order | None]]] = {}
        self._stopped = False

    async def wait(self, resource: str, timeout_s: float) -> Order | None:
        """The next order of the resource, or None after the time (or at once when the server is stopping)."""
        if self._stopped:
            return None
        future: asyncio.Future[Order | None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(resource, set()).add(future)
        try:
            async with asyncio.timeout(timeout_s):
                return await future
        except TimeoutError:
            return None
        finally:
            self._leave(resource, future)

    async def run(self) -> None:
        """Polls for ever, while anybody waits. A store that cannot be read is logged once, and tried again."""
        failing = False
        while True:
            await asyncio.sleep(POLL_S)
            if not self._waiting:
                continue
            try:
                self._wake(await self._pending())
                failing = False
            except OpenqrmError as error:
                if not failing:
                    log.error("orders cannot be read: %s", error)
                failing = True

    def stop(self) -> None:
        """Answers everybody that waits with None; nobody waits from now on."""
        self._stopped = True
        for futures in self._waiting.values():
            for future in futures:
                _resolve(future, None)

    def _wake(self, orders: Mapping[str, Order]) -> None:
        for resource, order in orders.items():
            for future in self._waiting.get(resource, ()):
                _resolve(future, order)

    def _leave(self, resource: str, future: asyncio.Future[Order | None]) -> None:
        futures = self._waiting[resource]
        futures.discard(future)
        if not futures:
            del self._waiting[resource]


class HeartbeatBatch:
    """Writes heartbeats in groups: those that arrive while one transaction runs share the next one."""

    def __init__(self, write: WriteHeartbeats) -> None:
        self._write = write
        self._items: list[tuple[str, Heartbeat, asyncio.Future[str | None]]] = []
        self._writing: asyncio.Task[None] | None = None

    async def add(self, token_sha256: str, heartbeat: Heartbeat) -> str | None:
        """The resource whose heartbeat was written, None if the token is nobody's. Raises: OpenqrmError."""
        future: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._items.append((token_sha256, heartbeat, future))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_all())
        return await future

    async def _write_all(self) -> None:
        while self._items:
            items, self._items = self._items, []
            try:
                names = await self._write([(token, heartbeat) for token, heartbeat, _ in items])
            except OpenqrmError as error:
                for *_, future in items:
                    if not future.done():
                        future.set_exception(error)
            else:
                for (*_, future), name in zip(items, names, strict=True):
                    _resolve(future, name)
        self._writing = None


def _resolve(future: asyncio.Future[T], value: T) -> None:
    if not future.done():
        future.set_result(value)
