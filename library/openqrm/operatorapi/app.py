"""The operator API: what is common to all routes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, ParamSpec, TypeVar

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.exceptions import HTTPException

from openqrm import __version__, operators
from openqrm.datacenter import Datacenter
from openqrm.model import ApiToken
from openqrm.nodeapi.bodies import ErrorAnswer
from openqrm.nodeapi.errors import add_error_handlers
from openqrm.nodeapi.limits import BodyLimit
from openqrm.operatorapi.work import Work
from openqrm.registration import UnauthorizedError

THREADS = 8
P = ParamSpec("P")
T = TypeVar("T")
SCHEME = HTTPBearer(auto_error=False, description="A token of `openqrm token create`.")
ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorAnswer, "description": text}
    for status, text in (
        (400, "The request is not valid"),
        (401, "No valid token"),
        (403, "The token's role does not allow this"),
        (404, "There is no such object"),
        (405, "No such call"),
        (409, "The state of things does not allow this"),
        (413, "Body too large"),
        (503, "The store cannot be used now"),
    )
}
DESCRIPTION = """Objects, plans and changes of one data centre.

A change answers with the number of its plan, whose progress is at `/api/v1/plans/{id}`. Roles: a `viewer` reads, an
`operator` also starts, stops, restarts and moves appliances, an `admin` also makes and removes objects, approves
machines and manages tokens. Every call is in the audit log."""


class Operations:
    """What the routes share: the data centre, threads for calls that block, and the work."""

    def __init__(self, center: Datacenter) -> None:
        self.center = center
        self.work = Work(center)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="operator")

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The result of a function that blocks, run in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(function, *args, **kwargs))

    def close(self) -> None:
        """Ends all work."""
        self.work.close()
        self._threads.shutdown(wait=True)


@dataclass(frozen=True)
class Caller:
    """Who calls."""

    token: ApiToken

    @property
    def actor(self) -> str:
        """As the audit log names them."""
        return operators.actor_of(self.token)


def caller(operations: Operations, role: str) -> Callable[..., Awaitable[Caller]]:
    """A dependency: the caller, who has at least this role. Raises: UnauthorizedError, ForbiddenError."""

    async def enter(
        request: Request, given: Annotated[HTTPAuthorizationCredentials | None, Depends(SCHEME)] = None
    ) -> Caller:
        request.state.entered = True
        if given is None:
            raise UnauthorizedError(remedy="Send it as `Authorization: Bearer TOKEN`.")
        address = request.client.host if request.client else ""
        call = f"{request.method} {request.url.path[:200]}"
        store = operations.center.store
        token = await operations.call(operators.enter, store, given.credentials, role, call, address)
        return Caller(token)

    return enter


class CallerFirst(APIRoute):
    """A route that lets nobody know what is wrong with a body before it is known who sent it.

    FastAPI reads the body before it asks for the caller.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler of the route."""
        handle = super().get_route_handler()

        async def enter_first(request: Request) -> Response:
            try:
                return await handle(request)
            except (RequestValidationError, HTTPException):
                for needed in self.dependant.dependencies:
                    if needed.call and not getattr(request.state, "entered", False):
                        await needed.call(request, await SCHEME(request))
                raise

        return enter_first


def create_app(operations: Operations) -> FastAPI:
    """The ASGI application; its description is at /openapi.json."""
    from openqrm.operatorapi import changing, reading

    app = FastAPI(
        title="openQRM operator API",
        version=__version__,
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        responses=ERRORS,
    )
    app.router.route_class = CallerFirst
    add_error_handlers(app)
    app.add_middleware(BodyLimit)
    reading.add(app, operations)
    changing.add(app, operations)
    return app
