"""Hostile and broken clients: clear answers, no effect, others are served."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time

import pytest
from openqrm.nodeapi import limits

from .conftest import NAME, Running, bearer, registration

PROTECTED = [
    ("GET", "/node/v1/order"),
    ("POST", "/node/v1/order/1"),
    ("POST", "/node/v1/event"),
    ("POST", "/node/v1/heartbeat"),
    ("POST", "/node/v1/token"),
    ("GET", "/node/v1/secrets"),
]
JUNK = [
    b"",
    b"{",
    b"null",
    b"[]",
    b"\xff\xfe",
    b'"x"',
    b"[" * 100_000,
    b'{"macs":' + b"[" * 50_000,
    b'{"cores": NaN}',
    b'{"macs": ["\\ud800"]}',
]
SLOW = 500
HALF_HEADERS = b"POST /node/v1/register HTTP/1.1\r\nHost: x\r\n"
HALF_BODY = HALF_HEADERS + b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
# A heartbeat takes some 10 ms; five clients that had to wait for a slow one would take 15 s each.
SERVED_S = 1.0
BODIES = {
    "/node/v1/order/1": {"result": "done"},
    "/node/v1/event": {"severity": "info", "message": "x"},
    "/node/v1/heartbeat": {"boot_id": "b", "mode": "idle"},
}


@pytest.mark.parametrize(("method", "path"), PROTECTED)
@pytest.mark.parametrize(
    "headers",
    [{}] + [{"authorization": value} for value in ("", "Bearer", "Bearer x", "Basic eDp5", b"Bearer \xff\xfe")],
)
def test_calls_without_a_valid_token_are_refused(
    shared_api: Running, method: str, path: str, headers: dict[str, str]
) -> None:
    answer = shared_api.client.request(method, path, json=BODIES.get(path), headers=headers)
    assert (answer.status_code, answer.headers.get("www-authenticate")) == (401, "Bearer")
    assert answer.json()["remedy"].startswith("Register")


@pytest.mark.parametrize("body", JUNK)
@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "", "application/json; charset=x"])
def test_junk_is_a_bad_request(shared_api: Running, body: bytes, content_type: str) -> None:
    answer = shared_api.client.post("/node/v1/register", content=body, headers={"content-type": content_type})
    assert answer.status_code == 400, answer.text
    assert set(answer.json()) == {"error", "remedy"}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/node/v1/../../etc/passwd", 404),
        ("GET", "/node/v1/%2e%2e/%2e%2e/etc/passwd", 404),
        ("GET", "/node/v1/register", 405),
        ("DELETE", "/node/v1/order", 405),
        ("GET", "/docs", 404),
        ("POST", "/node/v1/order/0", 400),
        ("POST", "/node/v1/order/x", 400),
        ("POST", f"/node/v1/order/{10**40}", 400),
        ("POST", "/node/v1/order/77", 404),
        ("GET", "/node/v1/order?wait_s=-1", 400),
        ("GET", "/node/v1/order?wait_s=1e9", 400),
    ],
)
def test_wrong_paths_and_parameters(shared_api: Running, method: str, path: str, status: int) -> None:
    body = {"result": "done"} if method == "POST" else None
    answer = shared_api.client.request(method, path, json=body, headers=bearer(shared_api.register()))
    assert answer.status_code == status
    assert set(answer.json()) == {"error", "remedy"}


def test_order_of_another_machine_is_not_found(api: Running) -> None:
    api.register()
    other = api.register("52:54:00:12:34:99")
    with api.store.write("test", "test") as writer:
        number = writer.give_orders([(NAME, "poweroff", 0, "")])[0]
    answer = api.client.post(f"/node/v1/order/{number}", json={"result": "done"}, headers=bearer(other))
    assert answer.status_code == 404
    assert api.client.get("/node/v1/order?wait_s=0", headers=bearer(other)).status_code == 204


def test_replayed_registration_changes_nothing(api: Running) -> None:
    token = api.register(claim="secret")
    api.client.post("/node/v1/heartbeat", json={"boot_id": "boot-1", "mode": "idle"}, headers=bearer(token))
    with api.store.read() as reader:
        before = reader.resources(), reader.identity(NAME)
    for changes in ({}, {"boot_id": "boot-2", "address": "10.77.0.66"}):
        answer = api.client.post("/node/v1/register", json=registration(claim="secret", **changes))
        assert (answer.status_code, "is alive" in answer.json()["error"]) == (409, True)
        assert token not in answer.text
    with api.store.read() as reader:
        assert (reader.resources(), reader.identity(NAME)) == before
    assert api.client.get("/node/v1/order?wait_s=0", headers=bearer(token)).status_code == 204


def test_exchanged_token_is_a_new_one(api: Running) -> None:
    old = api.register()
    new = api.client.post("/node/v1/token", headers=bearer(old)).json()["token"]
    assert new != old
    for token in (old, new):
        assert api.client.get("/node/v1/order?wait_s=0", headers=bearer(token)).status_code == 204


def test_secrets_come_with_an_exchange_where_they_are_asked_for(api: Running) -> None:
    token = api.register()
    assert api.client.post("/node/v1/token", headers=bearer(token)).json()["secrets"] is None
    token = api.register()
    answer = api.client.post("/node/v1/token?secrets=true", headers=bearer(token))
    none = {"ssh_host_key": "", "grant": ""}
    assert answer.json()["secrets"] == none
    assert api.client.get("/node/v1/secrets", headers=bearer(answer.json()["token"])).json() == none


def test_token_of_an_earlier_registration_is_refused(api: Running) -> None:
    old = api.register()
    api.register()
    assert api.client.get("/node/v1/order?wait_s=0", headers=bearer(old)).status_code == 401


def connection(api: Running) -> ssl.SSLSocket:
    """A TLS connection to the server."""
    plain = socket.create_connection(("127.0.0.1", api.port), timeout=60)
    return api.context.wrap_socket(plain, server_hostname="127.0.0.1")


def received(stream: ssl.SSLSocket) -> bytes:
    """Everything until the server closes the connection."""
    data = b""
    try:
        while chunk := stream.recv(65536):
            data += chunk
    except (ConnectionResetError, ssl.SSLEOFError):
        return data
    return data


def test_declared_body_that_is_too_large_is_refused_unread(api: Running) -> None:
    with connection(api) as stream:
        stream.sendall(b"POST /node/v1/register HTTP/1.1\r\nHost: x\r\nContent-Length: 10485760\r\n\r\n")
        answer = received(stream)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b'"remedy"' in answer


def test_undeclared_body_that_is_too_large_is_refused(api: Running) -> None:
    with connection(api) as stream:
        stream.sendall(b"POST /node/v1/register HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        stream.sendall(b"40001\r\n" + b"x" * (limits.MAX_BODY_BYTES + 1) + b"\r\n")
        assert received(stream).startswith(b"HTTP/1.1 413 ")


def test_largest_body_is_read(api: Running) -> None:
    body = registration(dmi={"vendor": "v", "filler": "x" * (limits.MAX_BODY_BYTES - 1024)})
    assert api.client.post("/node/v1/register", json=body).status_code == 200


@pytest.mark.parametrize("sent", [b"", b"POST /node/v1/register HTTP/1.1\r\nHost: x\r\nX-Slow: "])
def test_connection_that_sends_no_request_is_closed(api: Running, monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    monkeypatch.setattr(limits, "HEADER_TIMEOUT_S", 0.2)
    with connection(api) as stream:
        stream.sendall(sent)
        assert received(stream) == b""


def test_second_request_of_a_connection_is_timed_too(api: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HEADER_TIMEOUT_S", 0.2)
    with connection(api) as stream:
        stream.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert stream.recv(65536).startswith(b"HTTP/1.1 404 ")
        stream.sendall(b"GET / HTTP/1.1\r\n")
        received(stream)


def test_body_that_does_not_come_is_a_timeout(api: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BODY_TIMEOUT_S", 0.2)
    with connection(api) as stream:
        stream.sendall(b"POST /node/v1/register HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{")
        assert received(stream).startswith(b"HTTP/1.1 408 ")


def test_slow_connections_do_not_keep_others_waiting(api: Running) -> None:
    with contextlib.ExitStack() as stack:
        for number in range(SLOW):
            stream = stack.enter_context(connection(api))
            # Some send no end of their headers, some no body, some nothing at all.
            stream.sendall((HALF_HEADERS, HALF_BODY, b"")[number % 3])
        token = api.register()
        begun = time.monotonic()
        for _ in range(20):
            heartbeat = {"boot_id": "boot-1", "mode": "idle"}
            assert api.client.post("/node/v1/heartbeat", json=heartbeat, headers=bearer(token)).status_code == 204
        assert time.monotonic() - begun < 20 * SERVED_S


def test_plain_http_is_not_spoken(api: Running) -> None:
    with socket.create_connection(("127.0.0.1", api.port), timeout=60) as stream:
        stream.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"HTTP" not in stream.recv(1024)


def test_bytes_that_are_no_http_are_answered_and_forgotten(api: Running) -> None:
    with connection(api) as stream:
        stream.sendall(b"\x00\x01\x02\r\n\r\n")
        assert received(stream).startswith(b"HTTP/1.1 400 ")
    assert api.register()


def test_store_that_fails_is_an_answer(api: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    from openqrm.errors import StoreError

    def broken(*_: object) -> None:
        raise StoreError("Store is busy.", remedy="Try again.")

    monkeypatch.setattr(api.store, "write", broken)
    answer = api.client.post("/node/v1/register", json=registration())
    assert (answer.status_code, answer.json()) == (503, {"error": "Store is busy.", "remedy": "Try again."})
