"""The routes of the node API. Each is a thin wrapper of a rule in `openqrm.nodes`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Annotated, ParamSpec, TypeVar

from fastapi import Depends, FastAPI, Header, Path, Query, Response

from openqrm import __version__, nodes
from openqrm.config import Config
from openqrm.errors import OpenqrmError
from openqrm.hostkeys import secrets_of
from openqrm.model import Order
from openqrm.nodeapi.bodies import (
    ErrorAnswer,
    Exchanged,
    Hardware,
    Heartbeat,
    NodeEvent,
    OrderAnswer,
    OrderResult,
    Registered,
    Secrets,
)
from openqrm.nodeapi.errors import add_error_handlers
from openqrm.nodeapi.limits import BodyLimit
from openqrm.nodeapi.waiting import HeartbeatBatch, OrderBoard
from openqrm.registration import UnauthorizedError, exchange, token_sha256
from openqrm.store import Store

# Store calls are short; more threads would only wait for each other's locks.
STORE_THREADS = 4
MAX_WAIT_S = 60

WATCH_S = 15
log = logging.getLogger("openqrm.nodeapi")
P = ParamSpec("P")
T = TypeVar("T")


class Service:
    """What the routes share: the store, threads for its blocking calls, the waiting nodes and collected heartbeats."""

    def __init__(self, store: Store, config: Config) -> None:
        self.store = store
        self.config = config
        self.board = OrderBoard(self._pending_orders)
        self.batch = HeartbeatBatch(self._write_heartbeats)
        self.since = datetime.now(UTC)
        self._threads = ThreadPoolExecutor(STORE_THREADS, thread_name_prefix="store")

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The result of a blocking function, run in one of the store's threads."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: function(*args, **kwargs))

    async def next_order(self, token: str) -> tuple[str, Order | None]:
        """The name of the token's resource and its pending order. Raises: UnauthorizedError."""

        def read() -> tuple[str, Order | None]:
            with self.store.read() as reader:
                return nodes.next_order(reader, token)

        return await self.call(read)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Polls for orders while entered."""
        tasks = [asyncio.create_task(self.board.run()), asyncio.create_task(self._watch())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            self._threads.shutdown(wait=True)

    async def _watch(self) -> None:
        """Looks for overdue heartbeats for ever."""
        while True:
            await asyncio.sleep(WATCH_S)
            try:
                for name in await self.call(lambda: nodes.mark_silent(self.store, self.config)):
                    log.warning("%s is silent: unknown", name)
            except OpenqrmError as error:
                log.error("heartbeats cannot be checked: %s", error)

    async def _pending_orders(self) -> Mapping[str, Order]:
        def read() -> Mapping[str, Order]:
            with self.store.read() as reader:
                return nodes.pending_orders(reader)

        return await self.call(read)

    async def _write_heartbeats(self, reports: Sequence[tuple[str, Heartbeat]]) -> Sequence[str | None]:
        return await self.call(nodes.heartbeats, self.store, reports)


def bearer(authorization: Annotated[str, Header(max_length=256)] = "") -> str:
    """The digest of the call's token. Raises: UnauthorizedError."""
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise UnauthorizedError
    return token_sha256(token.strip())


Token = Annotated[str, Depends(bearer)]


def create_app(service: Service) -> FastAPI:
    """The ASGI application of the node API; its description is at /openapi.json."""

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with service.running():
            yield

    errors: dict[int | str, dict[str, object]] = {
        status: {"model": ErrorAnswer, "description": text}
        for status, text in ((400, "The request is not valid"), (401, "No valid token"), (413, "Body too large"))
    }
    app = FastAPI(
        title="openQRM node API",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        responses=errors,
    )
    add_error_handlers(app)
    app.add_middleware(BodyLimit)
    _add_registration(app, service)
    _add_orders(app, service)
    _add_reports(app, service)
    return app


def _add_registration(app: FastAPI, service: Service) -> None:
    refusals: dict[int | str, dict[str, object]] = {
        403: {"model": ErrorAnswer, "description": "Not let in"},
        409: {"model": ErrorAnswer, "description": "The machine with these MACs is alive, or they belong to several"},
    }

    @app.post("/node/v1/register", responses=refusals)
    async def register(body: Hardware) -> Registered:
        """Makes a machine known, or known again; the answer holds the token for all other calls."""
        result = await service.call(nodes.register, service.store, service.config, body, since=service.since)
        log.info(
            "%s registered from %s: %s, %s%s",
            result.resource,
            body.address,
            body.mode,
            result.state,
            "" if result.known else " (new)",
        )
        return Registered(
            resource=result.resource,
            token=result.token,
            state=result.state,
            heartbeat_s=nodes.HEARTBEAT_INTERVAL_S,
            token_s=service.config.registration.token_s,
            approved=result.approved,
        )

    @app.post(
        "/node/v1/token", responses={403: {"model": ErrorAnswer, "description": "Bound to an assignment that ended"}}
    )
    async def token(token: Token, secrets: bool = False) -> Exchanged:
        """Exchanges the token for a new one, which is bound to what the machine is assigned to now."""
        fresh, approved = await service.call(exchange, service.store, token)
        if not (secrets and approved):
            return Exchanged(token=fresh, approved=approved)
        found = await service.call(secrets_of, service.store, service.config, token_sha256(fresh))
        return Exchanged(token=fresh, approved=approved, secrets=Secrets.model_validate(found))

    @app.get("/node/v1/secrets", responses={403: {"model": ErrorAnswer, "description": "Token not bound to that"}})
    async def secrets(token: Token) -> Secrets:
        """What the machine must know of what is assigned to it now, and nobody else may."""
        return Secrets.model_validate(await service.call(secrets_of, service.store, service.config, token))


def _add_orders(app: FastAPI, service: Service) -> None:
    @app.get("/node/v1/order", response_model=OrderAnswer, responses={204: {"description": "No order within the wait"}})
    async def order(token: Token, wait_s: Annotated[int, Query(ge=0, le=MAX_WAIT_S)] = 30) -> OrderAnswer | Response:
        """The next order for the machine; waits for one for up to `wait_s` seconds."""
        name, found = await service.next_order(token)
        if found is None and wait_s:
            found = await service.board.wait(name, wait_s)
        if found is None:
            return Response(status_code=204)
        log.info("order %s %s epoch=%s given to %s", found.id, found.order, found.epoch, name)
        return OrderAnswer.model_validate(found, from_attributes=True)

    @app.post(
        "/node/v1/order/{order_id}",
        status_code=204,
        responses={404: {"model": ErrorAnswer, "description": "Not an order of this machine"}},
    )
    async def order_result(token: Token, order_id: Annotated[int, Path(ge=1, le=2**31 - 1)], body: OrderResult) -> None:
        """What became of an order."""
        found = await service.call(nodes.order_result, service.store, token, order_id, body)
        log.info(
            "order %s %s %s by %s%s",
            found.id,
            found.order,
            body.result,
            found.resource,
            f": {body.message}" if body.message else "",
        )


def _add_reports(app: FastAPI, service: Service) -> None:
    @app.post("/node/v1/event", status_code=204)
    async def event(token: Token, body: NodeEvent) -> None:
        """Something that happened on the machine."""
        name = await service.call(nodes.event, service.store, token, body)
        level = {"warning": logging.WARNING, "error": logging.ERROR}.get(body.severity, logging.INFO)
        log.log(level, "%s %s: %s", name, body.step or body.severity, body.message)

    @app.post("/node/v1/heartbeat", status_code=204)
    async def heartbeat(token: Token, body: Heartbeat) -> None:
        """A sign of life."""
        if await service.batch.add(token, body) is None:
            raise UnauthorizedError
