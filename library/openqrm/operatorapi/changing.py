"""Calls that change something: for operators and administrators."""

# No postponed annotations: FastAPI reads those of the routes, which are made of local names.

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Body, Depends, FastAPI, Path, Response

from openqrm import operators
from openqrm.names import check_name
from openqrm.operatorapi.app import Caller, Operations, caller
from openqrm.operatorapi.bodies import Changed, Created, Job, NamesBody, RestartBody, StartBody, StopBody, TokenBody

ObjectName = Annotated[str, Path(max_length=200, examples=["web01"])]
# Kinds that are rows of the store alone; the others take work on servers, which the command line does.
KINDS = ("resource", "appliance")
EXAMPLES = {
    "resource": {"cores": 4, "memory_mib": 8192, "macs": ["52:54:00:12:34:56"]},
    "appliance": {"image": "nginx", "requirements": {"memory_mib": 1024}},
}


def add(app: FastAPI, operations: Operations) -> None:
    """Adds the calls."""
    _add_lifecycle(app, operations)
    _add_approval(app, operations)
    for kind in KINDS:
        _add_objects(app, operations, kind)
    _add_tokens(app, operations)


def _add_lifecycle(app: FastAPI, operations: Operations) -> None:
    operator = Annotated[Caller, Depends(caller(operations, "operator"))]

    async def act(who: Caller, verb: str, name: str, body: StartBody | StopBody | RestartBody, playbook: str) -> Job:
        check_name("Appliance", name)
        words = {key: value for key, value in body.model_dump(exclude={"check"}).items() if value}
        arguments: Mapping[str, object] = {"appliances": [name], **words}
        work = operations.work.carry_out
        return await operations.call(work, verb, arguments, who.actor, playbook=playbook, check=body.check)

    @app.post("/api/v1/appliances/{name}/start", status_code=202, summary="Start an appliance, or show the plan")
    async def start(who: operator, name: ObjectName, body: StartBody) -> Job:
        return await act(who, "start", name, body, "appliance_start")

    @app.post("/api/v1/appliances/{name}/stop", status_code=202, summary="Stop an appliance, or show the plan")
    async def stop(who: operator, name: ObjectName, body: StopBody) -> Job:
        return await act(who, "stop", name, body, "appliance_stop")

    @app.post("/api/v1/appliances/{name}/restart", status_code=202, summary="Stop an appliance, then start it")
    async def restart(who: operator, name: ObjectName, body: RestartBody) -> Job:
        return await act(who, "stop", name, body, "appliance_restart")

    @app.post("/api/v1/appliances/{name}/move", status_code=202, summary="Move an appliance to another machine")
    async def move(who: operator, name: ObjectName, body: StartBody) -> Job:
        return await act(who, "move", name, body, "appliance_move")


def _add_approval(app: FastAPI, operations: Operations) -> None:
    admin = Annotated[Caller, Depends(caller(operations, "admin"))]

    @app.post("/api/v1/approvals", status_code=202, summary="Let machines in that are held")
    async def approve(who: admin, body: NamesBody) -> Job:
        verb, arguments = "resource_approve", {"resources": [check_name("Resource", name) for name in body.names]}
        work = operations.work.carry_out
        return await operations.call(work, verb, arguments, who.actor, playbook=verb, check=body.check)


def _add_objects(app: FastAPI, operations: Operations, kind: str) -> None:
    admin = Annotated[Caller, Depends(caller(operations, "admin"))]
    fields = Annotated[dict[str, Any], Body(examples=[EXAMPLES[kind]])]
    path = f"/api/v1/{kind}s/{{name}}"

    @app.put(path, operation_id=f"put_{kind}", summary=f"Make this {kind}, or change it; fields left out stay")
    async def put(who: admin, name: ObjectName, body: fields) -> Changed:
        entry = {**body, "name": check_name(kind.capitalize(), name)}
        return Changed(**await operations.call(operations.work.change, kind, "create", [entry], who.actor))

    @app.delete(path, operation_id=f"delete_{kind}", summary=f"Remove this {kind}, if nothing uses it")
    async def delete(who: admin, name: ObjectName) -> Changed:
        entry = {"name": check_name(kind.capitalize(), name)}
        return Changed(**await operations.call(operations.work.change, kind, "remove", [entry], who.actor))


def _add_tokens(app: FastAPI, operations: Operations) -> None:
    admin = Annotated[Caller, Depends(caller(operations, "admin"))]
    store = operations.center.store

    @app.post("/api/v1/tokens", status_code=201, summary="Make a token for an operator; it is shown this once")
    async def create(who: admin, body: TokenBody) -> Created:
        token = await operations.call(
            operators.create, store, body.name, body.role, who.actor, expires_in_days=body.expires_in_days
        )
        return Created(name=body.name, role=body.role, token=token)

    @app.delete("/api/v1/tokens/{name}", status_code=204, summary="Revoke a token")
    async def revoke(who: admin, name: ObjectName) -> Response:
        await operations.call(operators.revoke, store, name, who.actor)
        return Response(status_code=204)
