"""Bytes that no HTTP client would send: the servers answer or close, in bounded time, and go on serving others."""

from __future__ import annotations

import socket
import ssl
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .conftest import Target

GET = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n"
POST = b"POST /node/v1/event HTTP/1.1\r\nHost: x\r\n"
ODD = {
    "huge header": GET + b"X-Big: " + b"x" * 200_000 + b"\r\n\r\n",
    "many headers": GET + b"".join(b"X-%d: y\r\n" % number for number in range(20_000)) + b"\r\n",
    "huge path": b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "null bytes": b"GET /\0\0 HTTP/1.1\r\nHost: \0\r\n\r\n",
    "bare line feeds": b"GET / HTTP/1.1\nHost: x\n\n",
    "HTTP/9": b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
    "two lengths": POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
    "negative length": POST + b"Content-Length: -1\r\n\r\n",
    "length that is no number": POST + b"Content-Length: 1e3\r\n\r\n",
    "length with digits of another script": POST + b"Content-Length: \xd9\xa1\r\n\r\n",
    "length and chunks": POST
    + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
    "chunk that is no number": POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "huge chunk size": POST + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
    "header injection": b"GET /%0d%0aX-Evil:%201 HTTP/1.1\r\nHost: x\r\n\r\n",
    "folded header": GET + b"X-A: b\r\n c\r\n\r\n",
    "upgrade": GET + b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "connect": b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org\r\n\r\n",
}


@pytest.fixture(params=["node_api", "operator_api"])
def target(request: pytest.FixtureRequest) -> Target:
    """Each API in turn."""
    found: Target = request.getfixturevalue(request.param)
    return found


def exchange(target: Target, data: bytes, wait_s: float = 5) -> bytes:
    """What the server answers to these bytes, after which no more come."""
    context = ssl.create_default_context(cafile=target.ca)
    with socket.create_connection(("127.0.0.1", target.port), timeout=wait_s) as plain:
        answer = b""
        try:
            with context.wrap_socket(plain, server_hostname="127.0.0.1") as stream:
                stream.sendall(data)
                while chunk := stream.recv(65536):
                    answer += chunk
                    if answer.endswith(b"}") or len(answer) > 1_000_000:
                        break
        except (OSError, ssl.SSLError):
            return answer
        return answer


@pytest.mark.parametrize("name", ODD)
def test_odd_requests(target: Target, name: str) -> None:
    begun = time.monotonic()
    answer = exchange(target, ODD[name], wait_s=3)
    assert time.monotonic() - begun < 20
    assert not answer or answer.startswith(b"HTTP/1.1 "), answer[:200]
    assert not answer.startswith(b"HTTP/1.1 5"), answer[:500]
    assert b"Traceback" not in answer and b"x-evil" not in answer.lower().partition(b"\r\n\r\n")[0]
    assert target.lives()


def test_smuggled_request_is_not_served(target: Target) -> None:
    answer = exchange(target, ODD["length and chunks"], wait_s=2)
    assert answer.count(b"HTTP/1.1 ") <= 2
    assert b"HTTP/1.1 200" not in answer


def test_pipelined_requests_are_answered_in_order(target: Target) -> None:
    answer = exchange(target, b"GET /1 HTTP/1.1\r\nHost: x\r\n\r\n" * 50 + GET + b"Connection: close\r\n\r\n")
    assert answer.count(b"HTTP/1.1 404") + answer.count(b"HTTP/1.1 200") >= 1
    assert target.lives()


@settings(max_examples=40, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(data=st.one_of(st.binary(max_size=400), st.binary(max_size=200).map(lambda tail: GET + tail)))
def test_random_bytes(target: Target, data: bytes) -> None:
    answer = exchange(target, data + b"\r\n\r\n", wait_s=1)
    assert not answer or answer.startswith(b"HTTP/1.1 "), answer[:200]
    assert b"HTTP/1.1 5" not in answer


def test_bytes_instead_of_tls(target: Target) -> None:
    for data in (b"\x16\x03\x01" + b"\xff" * 400, b"\0" * 1000, GET + b"\r\n"):
        with socket.create_connection(("127.0.0.1", target.port), timeout=10) as plain:
            plain.sendall(data)
            try:
                answer = plain.recv(4096)
            except ConnectionResetError:
                answer = b""
        assert b"HTTP" not in answer
    assert target.lives()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_old_tls_is_refused(target: Target, version: ssl.TLSVersion) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(target.ca)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    with socket.create_connection(("127.0.0.1", target.port), timeout=10) as plain, pytest.raises(ssl.SSLError):
        context.wrap_socket(plain, server_hostname="127.0.0.1")
