"""One place that turns errors into HTTP answers, all of the form `{"error": ..., "remedy": ...}`."""

from __future__ import annotations

import logging
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from openqrm.errors import (
    ApplyError,
    ConfigError,
    ConflictError,
    InUseError,
    InvalidValueError,
    NoResourceError,
    NotFoundError,
    OpenqrmError,
    StalePlanError,
    StateError,
    StoreError,
)
from openqrm.registration import ForbiddenError, UnauthorizedError

log = logging.getLogger("openqrm.nodeapi")

STATUS: dict[type[OpenqrmError], int] = {
    InvalidValueError: 400,
    UnauthorizedError: 401,
    ForbiddenError: 403,
    NotFoundError: 404,
    ConflictError: 409,
    InUseError: 409,
    StateError: 409,
    NoResourceError: 409,
    ConfigError: 409,
    StalePlanError: 409,
    ApplyError: 409,
    StoreError: 503,
}


def add_error_handlers(app: FastAPI) -> None:
    """Makes every error of the application one of the documented answers."""

    @app.exception_handler(OpenqrmError)
    async def _library(request: Request, error: OpenqrmError) -> JSONResponse:
        status = next((code for kind, code in STATUS.items() if isinstance(error, kind)), 500)
        return _answer(request, status, error.message, error.remedy)

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])[:120]
        return _answer(request, 400, f"{place}: {first['msg']}.", "See /openapi.json.")

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> JSONResponse:
        return _answer(request, error.status_code, f"{error.detail}.", "See /openapi.json.")

    @app.exception_handler(Exception)
    async def _unexpected(request: Request, error: Exception) -> JSONResponse:
        log.error("bug: %s", error, exc_info=error)
        return _answer(request, 500, "Internal error.", "The log of `openqrm serve` says more.")


def _answer(request: Request, status: int, error: str, remedy: str) -> JSONResponse:
    client = request.client.host if request.client else "?"
    level = logging.ERROR if status >= HTTPStatus.INTERNAL_SERVER_ERROR else logging.WARNING
    # Both come from outside: no line break gets into the log, nor half of a character, which no encoding has.
    error = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in error)
    log.log(level, "%s %r from %s: %s %s", request.method, request.url.path, client, status, error)
    headers = {"www-authenticate": "Bearer"} if status == HTTPStatus.UNAUTHORIZED else None
    return JSONResponse({"error": error, "remedy": remedy}, status, headers)
