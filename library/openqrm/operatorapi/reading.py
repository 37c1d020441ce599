"""Calls that read: for viewers."""

# No postponed annotations: FastAPI reads those of the routes, which are made of local names.

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Path, Query

from openqrm import operators
from openqrm.desired import view
from openqrm.errors import NotFoundError
from openqrm.model import KINDS
from openqrm.operatorapi.app import Caller, Operations, caller
from openqrm.operatorapi.bodies import ListOf, Page
from openqrm.store import Reader
from openqrm.store.kinds import full_name, plain
from openqrm.store.schema import MAX_ID

Limit = Annotated[int, Query(ge=1, le=10_000)]
Ids = Annotated[int, Path(ge=1, le=MAX_ID, examples=[17])]
After = Annotated[str, Query(max_length=200, description="Only what sorts behind this name.")]


def add(app: FastAPI, operations: Operations) -> None:
    """Adds the calls."""
    for kind in KINDS:
        _add_kind(app, operations, kind)
    _add_journals(app, operations)


def rows(items: Iterable[object]) -> list[dict[str, Any]]:
    """Values as JSON has them; times in ISO 8601."""
    return [_row(plain(item)) for item in items]


def _tokens(reader: Reader) -> list[dict[str, Any]]:
    return [_row(operators.view(token)) for token in reader.api_tokens()]


def _row(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {key: getattr(value, "isoformat", lambda v=value: v)() for key, value in fields.items()}


def _add_kind(app: FastAPI, operations: Operations, kind: str) -> None:
    viewer = Annotated[Caller, Depends(caller(operations, "viewer"))]

    @app.get(f"/api/v1/{kind}s", operation_id=f"list_{kind}s", summary=f"List {kind}s")
    async def listed(_: viewer, limit: Limit = 1000, after: After = "") -> Page:
        return await operations.call(_reading, operations, lambda reader: _page(reader, kind, after, limit))

    name_of = "{name:path}" if kind == "volume" else "{name}"  # a volume's name is STORAGE/NAME

    @app.get(f"/api/v1/{kind}s/{name_of}", operation_id=f"show_{kind}", summary=f"One {kind}")
    async def shown(_: viewer, name: Annotated[str, Path(max_length=200, examples=["web01"])]) -> dict[str, Any]:
        return await operations.call(_reading, operations, lambda reader: _one(reader, kind, name))


def _reading(operations: Operations, function: Callable[[Reader], Any]) -> Any:
    with operations.center.store.read() as reader:
        return function(reader)


def _page(reader: Reader, kind: str, after: str, limit: int) -> Page:
    names = [name for name in reader.names(kind) if name > after]
    found = sorted(reader.named(kind, names[:limit]), key=full_name)
    return Page(items=rows(view(item) for item in found), next=names[limit - 1] if len(names) > limit else "")


def _one(reader: Reader, kind: str, name: str) -> dict[str, Any]:
    found = reader.named(kind, [name])
    if not found:
        raise NotFoundError(kind.capitalize(), name, reader.names(kind))
    return rows([view(found[0])])[0]


def _add_journals(app: FastAPI, operations: Operations) -> None:
    viewer = Annotated[Caller, Depends(caller(operations, "viewer"))]
    admin = Annotated[Caller, Depends(caller(operations, "admin"))]

    @app.get("/api/v1/plans", summary="The newest plans, newest first")
    async def plans(_: viewer, limit: Limit = 50) -> ListOf:
        return ListOf(items=await operations.call(_reading, operations, lambda r: rows(r.plans(limit=limit))))

    @app.get("/api/v1/plans/{plan_id}", summary="A plan with its operations and how far they are")
    async def plan(_: viewer, plan_id: Ids) -> dict[str, Any]:
        return await operations.call(_reading, operations, lambda reader: rows([reader.plan(plan_id)])[0])

    @app.get("/api/v1/events", summary="The newest events, oldest first")
    async def events(_: viewer, limit: Limit = 100) -> ListOf:
        return ListOf(items=await operations.call(_reading, operations, lambda r: rows(r.events(limit=limit))))

    @app.get("/api/v1/audit", summary="The newest rows of the audit log, oldest first")
    async def audit(_: admin, limit: Limit = 100) -> ListOf:
        return ListOf(items=await operations.call(_reading, operations, lambda r: rows(r.audit(limit=limit))))

    @app.get("/api/v1/tokens", summary="The tokens of operators, without the tokens")
    async def tokens(_: admin) -> ListOf:
        return ListOf(items=await operations.call(_reading, operations, _tokens))
