"""The operator API: who may do what, what each call does, and the audit log."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from openqrm import operators
from openqrm.errors import StoreError
from openqrm.runner import RunResult

from .conftest import ROLES, Api

# Every call with the least role that it needs.
CALLS = {
    ("GET", "/api/v1/appliances"): "viewer",
    ("GET", "/api/v1/appliances/{name}"): "viewer",
    ("GET", "/api/v1/images"): "viewer",
    ("GET", "/api/v1/images/{name}"): "viewer",
    ("GET", "/api/v1/kernels"): "viewer",
    ("GET", "/api/v1/kernels/{name}"): "viewer",
    ("GET", "/api/v1/resources"): "viewer",
    ("GET", "/api/v1/resources/{name}"): "viewer",
    ("GET", "/api/v1/storages"): "viewer",
    ("GET", "/api/v1/storages/{name}"): "viewer",
    ("GET", "/api/v1/volumes"): "viewer",
    ("GET", "/api/v1/volumes/{name}"): "viewer",
    ("GET", "/api/v1/plans"): "viewer",
    ("GET", "/api/v1/plans/{plan_id}"): "viewer",
    ("GET", "/api/v1/events"): "viewer",
    ("GET", "/api/v1/audit"): "admin",
    ("GET", "/api/v1/tokens"): "admin",
    ("POST", "/api/v1/tokens"): "admin",
    ("DELETE", "/api/v1/tokens/{name}"): "admin",
    ("POST", "/api/v1/appliances/{name}/start"): "operator",
    ("POST", "/api/v1/appliances/{name}/stop"): "operator",
    ("POST", "/api/v1/appliances/{name}/restart"): "operator",
    ("POST", "/api/v1/appliances/{name}/move"): "operator",
    ("POST", "/api/v1/approvals"): "admin",
    ("PUT", "/api/v1/appliances/{name}"): "admin",
    ("PUT", "/api/v1/resources/{name}"): "admin",
    ("DELETE", "/api/v1/appliances/{name}"): "admin",
    ("DELETE", "/api/v1/resources/{name}"): "admin",
}


def described(api: Api) -> set[tuple[str, str]]:
    """The calls that the description names."""
    paths = api.client.get("/openapi.json").json()["paths"]
    return {(method.upper(), path.replace(":path", "")) for path, calls in paths.items() for method in calls}


def test_every_call_is_described_and_has_a_role(shared: Api) -> None:
    assert described(shared) == set(CALLS)


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_a_role_that_is_too_low_is_refused(shared: Api, method: str, path: str) -> None:
    place = path.format(name="nobody", plan_id=7)
    needed = ROLES.index(CALLS[method, path])
    for index, role in enumerate(ROLES):
        before = len(shared.runs.calls)
        answer = shared.call(role, method, place, {})
        assert (answer.status_code == 403) == (index < needed), answer.text
        assert index >= needed or len(shared.runs.calls) == before


@pytest.mark.parametrize(("method", "path"), CALLS)
@pytest.mark.parametrize("header", ["", "Bearer", "Bearer x", "Basic eDp5", "Bearer oqt_" + "x" * 5000])
def test_nobody_may_do_nothing(shared: Api, method: str, path: str, header: str) -> None:
    headers = {"authorization": header} if header else {}
    answer = shared.client.request(method, path.format(name="web01", plan_id=1), json={}, headers=headers)
    assert (answer.status_code, set(answer.json())) == (401, {"error", "remedy"})
    assert answer.headers["www-authenticate"] == "Bearer"


def audit(api: Api) -> list[tuple[str, str, str, object]]:
    """The rows of the audit log about calls: who, which, with which role, allowed or not."""
    with api.operations.center.store.read() as reader:
        return [(row.actor, row.name, row.after["role"], row.after["allowed"]) for row in reader.audit("api")]  # type: ignore[misc]


JUNK = (b"{junk", b"\xff", b"[" * 100_000)


@pytest.mark.parametrize("body", JUNK, ids=["no JSON", "no text", "nested"])
@pytest.mark.parametrize(("method", "path"), [call for call in CALLS if call[0] in ("POST", "PUT")])
def test_a_body_is_looked_at_when_it_is_known_who_sent_it(api: Api, method: str, path: str, body: bytes) -> None:
    headers = {"content-type": "application/json"}
    path = path.format(name="web01")
    assert api.client.request(method, path, content=body, headers=headers).status_code == 401
    for role in ("viewer", "admin"):
        status = api.client.request(method, path, content=body, headers=headers | api.headers(role)).status_code
        assert status == (403 if role == "viewer" else 400)
    with api.operations.center.store.read() as reader:
        rows = [row for row in reader.audit() if row.kind == "api"]
    assert [(row.actor, row.name) for row in rows] == [
        (f"token:{role}", f"{method} {path}") for role in ("viewer", "admin")
    ]


@pytest.mark.parametrize("part", [r"\ud800", r"a\n2026-11-21 ERROR bug"])
def test_what_cannot_be_shown_is_escaped(part: str, shared: Api, caplog: pytest.LogCaptureFixture) -> None:
    headers = shared.headers("admin") | {"content-type": "application/json"}
    content = f'{{"{part}": 1}}'.encode()
    answer = shared.client.request("PUT", "/api/v1/resources/x", content=content, headers=headers)
    assert (answer.status_code, answer.json()["error"]) == (400, f"Resource x has no option {part}.")
    assert f"Resource x has no option {part}." in caplog.records[-1].message


def test_every_call_is_in_the_audit_log_with_who(api: Api) -> None:
    api.call("viewer", "GET", "/api/v1/resources")
    api.call("viewer", "POST", "/api/v1/appliances/web01/start", {})
    api.call("operator", "GET", "/api/v1/appliances/%0Anobody")
    api.client.get("/api/v1/resources", headers={"authorization": "Bearer x"})
    assert [row[:1] + row[2:] for row in audit(api)] == [
        ("token:viewer", "viewer", True),
        ("token:viewer", "viewer", False),
        ("token:operator", "operator", True),
    ]
    assert [row[1] for row in audit(api)][:2] == ["GET /api/v1/resources", "POST /api/v1/appliances/web01/start"]


def test_objects_are_listed_in_pages(api: Api) -> None:
    from openqrm.model import Resource

    with api.operations.center.store.write("test", "test") as writer:
        writer.save([Resource(0, f"node{number}") for number in range(2, 5)])
    first = api.call("viewer", "GET", "/api/v1/resources?limit=3").json()
    second = api.call("viewer", "GET", f"/api/v1/resources?limit=3&after={first['next']}").json()
    assert [item["name"] for item in first["items"]] == ["node1", "node2", "node3"]
    assert ([item["name"] for item in second["items"]], second["next"]) == (["node4"], "")


@pytest.mark.parametrize(
    ("path", "name"),
    [("appliances/web01", "web01"), ("resources/node1", "node1"), ("volumes/san1/web", "web"), ("images/web", "web")],
)
def test_one_object(shared: Api, path: str, name: str) -> None:
    answer = shared.call("viewer", "GET", f"/api/v1/{path}")
    assert (answer.status_code, answer.json()["name"]) == (200, name)
    missing = shared.call("viewer", "GET", f"/api/v1/{path}x")
    assert (missing.status_code, missing.json()["remedy"]) == (404, f"Did you mean {path.partition('/')[2]}?")


def test_journals(shared: Api) -> None:
    assert shared.call("viewer", "GET", "/api/v1/events").json()["items"][0]["message"] == "hello"
    assert shared.call("viewer", "GET", "/api/v1/plans").json() == {"items": []}
    assert shared.call("viewer", "GET", "/api/v1/plans/9").status_code == 404
    assert shared.call("admin", "GET", "/api/v1/audit").json()["items"][0]["time"].endswith("+00:00")


def test_check_shows_the_plan_and_changes_nothing(api: Api) -> None:
    answer = api.call("operator", "POST", "/api/v1/appliances/web01/start", {"check": True})
    assert (answer.status_code, answer.json()["check"]) == (202, True)
    assert any("web01/0 on node1" in line for line in answer.json()["lines"])
    api.finish()
    assert api.runs.calls == []
    assert api.call("viewer", "GET", "/api/v1/plans").json() == {"items": []}
    assert api.call("viewer", "GET", "/api/v1/appliances/web01").json()["state"] == "stopped"


def test_start_is_planned_and_carried_out_as_by_the_command_line(api: Api) -> None:
    answer = api.call("operator", "POST", "/api/v1/appliances/web01/start", {"boot": "reset", "to": "node1"})
    number = answer.json()["plan"]
    assert (answer.status_code, number > 0) == (202, True)
    api.finish()
    variables = {"appliances": ["web01"], "boot": "reset", "to": "node1", "openqrm_plans": {"start": number}}
    assert api.runs.calls == [("appliance_start", variables, number, "token:operator")]
    found = api.call("viewer", "GET", f"/api/v1/plans/{number}").json()
    assert (found["verb"], found["state"]) == ("start", "applying")
    again = api.call("operator", "POST", "/api/v1/appliances/web01/start", {})
    assert (again.status_code, "is applied by" in again.json()["error"]) == (409, True)
    with api.operations.center.store.read() as reader:
        assert {row.actor for row in reader.audit("plan", str(number))} == {"token:operator"}


def test_nothing_to_do_is_said(api: Api) -> None:
    answer = api.call("operator", "POST", "/api/v1/appliances/web01/stop", {})
    unchanged = {"web01": "appliance web01 is stopped already"}
    assert answer.json() == {"plan": 0, "lines": [], "unchanged": unchanged, "check": False}
    api.finish()
    assert api.runs.calls == []


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("appliances/web02/start", {}, 404, "Appliance web02 does not exist."),
        ("appliances/web01/start", {"to": "nowhere"}, 404, "Resource nowhere does not exist."),
        ("appliances/web01/start", {"boot": "kick"}, 400, "body.boot"),
        ("appliances/web01/start", {"boots": "reset"}, 400, "body.boots"),
        ("appliances/web01/move", {}, 409, "not active"),
        ("appliances/$(reboot)/start", {}, 400, "is not valid"),
        ("appliances/..%2Fweb01/start", {}, 404, "Not Found"),
    ],
)
def test_what_cannot_work_is_refused_at_once(
    shared: Api, path: str, body: dict[str, object], status: int, words: str
) -> None:
    answer = shared.call("operator", "POST", f"/api/v1/{path}", body)
    assert (answer.status_code, words in answer.json()["error"]) == (status, True), answer.text


def test_objects_are_made_and_removed_by_the_playbooks(api: Api) -> None:
    api.runs.result = RunResult(
        "successful", {"openqrm": {"changed": True, "appliances": [{"name": "web02"}]}}, changed=True
    )
    answer = api.call("admin", "PUT", "/api/v1/appliances/web02", {"image": "web"})
    assert answer.json() == {"changed": True, "objects": [{"name": "web02"}]}
    api.call("admin", "DELETE", "/api/v1/appliances/web01")
    assert api.runs.calls == [
        ("appliance_create", {"appliances": [{"image": "web", "name": "web02"}]}, None, "token:admin"),
        ("appliance_remove", {"appliances": ["web01"]}, None, "token:admin"),
    ]
    for body, status, words in (({"image": "none"}, 404, "none"), ({"imag": "web"}, 400, "imag")):
        refused = api.call("admin", "PUT", "/api/v1/appliances/web02", body)
        assert refused.status_code == status and words in refused.json()["error"], refused.text
    api.runs.result = RunResult("failed", errors=("The disk is full.",))
    assert api.call("admin", "DELETE", "/api/v1/appliances/web01").json()["error"] == "The disk is full."


def test_tokens_are_made_shown_once_and_revoked(api: Api, tmp_path: Path) -> None:
    made = api.call("admin", "POST", "/api/v1/tokens", {"name": "ci", "role": "viewer"})
    assert made.status_code == 201
    token = {"authorization": f"Bearer {made.json()['token']}"}
    assert api.client.get("/api/v1/resources", headers=token).status_code == 200
    listed = api.call("admin", "GET", "/api/v1/tokens")
    assert {row["name"]: row["role"] for row in listed.json()["items"]}["ci"] == "viewer"
    assert made.json()["token"] not in listed.text
    assert api.call("admin", "POST", "/api/v1/tokens", {"name": "ci", "role": "admin"}).status_code == 409
    assert api.call("admin", "DELETE", "/api/v1/tokens/ci").status_code == 204
    assert api.client.get("/api/v1/resources", headers=token).status_code == 401
    secrets = [secret.encode() for secret in (made.json()["token"], *api.tokens.values())]
    assert all(secret not in path.read_bytes() for path in tmp_path.glob("openqrm.db*") for secret in secrets)


def test_a_token_that_expired_is_refused_and_listed_as_that(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    body = {"name": "ci", "role": "viewer", "expires_in_days": 30}
    made = api.call("admin", "POST", "/api/v1/tokens", body)
    assert made.status_code == 201, made.text
    token = {"authorization": f"Bearer {made.json()['token']}"}
    now = datetime.now(UTC)
    for day, status in ((0, 200), (29, 200), (31, 401)):
        moment = now + timedelta(days=day)
        monkeypatch.setattr(operators, "datetime", SimpleNamespace(now=lambda _zone, at=moment: at))
        answer = api.client.get("/api/v1/resources", headers=token)
        assert answer.status_code == status
        rows = {row["name"]: row for row in api.call("admin", "GET", "/api/v1/tokens").json()["items"]}
        assert (rows["ci"]["expired"], rows["admin"]["expired"], rows["admin"]["expires"]) == (day > 30, False, None)
    error = answer.json()
    assert error["error"].startswith(f"Token ci expired at {now + timedelta(days=30):%F}")
    assert "openqrm token create" in error["remedy"]


@pytest.mark.parametrize("days", [0, -1, 36_501, 1.5, "x", True, 10**30])
def test_a_number_of_days_that_is_none_is_refused(days: object, api: Api) -> None:
    body = {"name": "ci", "role": "viewer", "expires_in_days": days}
    assert api.call("admin", "POST", "/api/v1/tokens", body).status_code == 400
    assert {row["name"] for row in api.call("admin", "GET", "/api/v1/tokens").json()["items"]} == set(ROLES)


def test_approval_is_a_plan_too(api: Api) -> None:
    answer = api.call("admin", "POST", "/api/v1/approvals", {"names": ["node1"]})
    assert answer.json()["unchanged"] == {"node1": "resource node1 has not registered, and is let in when it does"}
    assert api.call("admin", "POST", "/api/v1/approvals", {"names": []}).status_code == 400
    assert api.call("admin", "POST", "/api/v1/approvals", {"names": ["nobody"]}).status_code == 404


def test_store_that_fails_is_an_answer(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise StoreError("Store is busy.", remedy="Try again.")

    monkeypatch.setattr(api.operations.center.store, "read", broken)
    assert api.call("viewer", "GET", "/api/v1/resources").status_code == 503
