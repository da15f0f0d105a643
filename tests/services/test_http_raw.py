"""Bytes that are hardly HTTP: the server answers with a client's error or hangs up, and serves the next request."""

from __future__ import annotations

import json
import logging

import pytest

from tests.support.http import Server, Tenant, closing_quietly, event_body

BODY = json.dumps({"projectId": "p"}).encode()


def exchange(api: Server, request: bytes) -> bytes:
    """What comes back for some bytes, until the server hangs up or has answered."""
    received = b""
    with closing_quietly(), api.connection() as raw:
        raw.settimeout(5)
        raw.sendall(request)
        while part := raw.recv(65_536):
            received += part
            if b"\r\n\r\n" in received:
                break
    return received


REQUESTS = {
    "not HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello\r\n\r\n",
    "no version": b"GET /healthz\r\n\r\n",
    "odd version": b"GET /healthz HTTP/9.9\r\nHost: x\r\n\r\n",
    "odd method": b"G@T /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
    "long path": b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "long header": b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Api-Key: " + b"k" * 100_000 + b"\r\n\r\n",
    "many headers": b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"X-A: b\r\n" * 50_000 + b"\r\n",
    "negative length": b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
    "two lengths": b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
    "length and chunks": b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "bad chunk": b"POST /v1/events HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
    "NUL in a header": b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Api-Key: a\x00b\r\n\r\n",
    "NUL in the path": b"GET /health\x00z HTTP/1.1\r\nHost: x\r\n\r\n",
    "not UTF-8 in the path": b"GET /v1/events/\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
    "odd expectation": b"POST /v1/events HTTP/1.1\r\nHost: x\r\nExpect: cake\r\nContent-Length: 0\r\n\r\n",
    "odd host": b"GET /v1/connect HTTP/1.1\r\nHost: [::1\r\n\r\n",
    "absolute target": b"GET http://[bad/healthz HTTP/1.1\r\nHost: x\r\n\r\n",
    "no host": b"GET /v1/info HTTP/1.1\r\n\r\n",
    "connect": b"CONNECT example:443 HTTP/1.1\r\nHost: x\r\n\r\n",
    "asterisk": b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    "upgrade": b"GET /v1/info HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "old version": b"GET /healthz HTTP/1.0\r\n\r\n",
    "odd cookie": b"GET /healthz HTTP/1.1\r\nHost: x\r\nCookie: \xff=;;;=\r\n\r\n",
    "odd type": b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: ;;=\xff\r\nContent-Length: 2\r\n\r\n{}",
}


@pytest.mark.parametrize("name", REQUESTS)
def test_what_is_hardly_http_is_the_clients_error(api: Server, tenant: Tenant, name: str) -> None:
    for request in (
        REQUESTS[name],
        REQUESTS[name].replace(b"Host: x\r\n", f"Host: x\r\nX-Api-Key: {tenant.full}\r\n".encode()),
    ):
        received = exchange(api, request)
        if received:
            status = int(received.split(b" ", 2)[1])
            assert status < 500, received
    assert api.call("GET", "/healthz").status_code == 200


def test_no_log_quotes_what_could_not_be_read(
    api: Server, tenant: Tenant, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        exchange(api, b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Api-Key: hush\x00hush\r\n\r\n")
        exchange(api, b"GET /hush hush HTTP/1.1\r\nHost: x\r\n\r\n")
    assert "hush" not in caplog.text


def test_a_body_that_ends_early_is_dropped_without_ado(
    api: Server, tenant: Tenant, caplog: pytest.LogCaptureFixture
) -> None:
    body = json.dumps(event_body(tenant.project)).encode()
    head = f"POST /v1/events HTTP/1.1\r\nHost: x\r\nX-Api-Key: {tenant.full}\r\nContent-Type: application/json\r\n"
    with closing_quietly(), api.connection() as raw:
        raw.sendall(f"{head}Content-Length: {len(body) + 1}\r\n\r\n".encode() + body)
    assert api.ok("GET", "/v1/jobs", tenant.full)["total"] == 0
    # Of the server and what it stands on: what other tests left may be collected, and told of, at this moment.
    ours = [record for record in caplog.records if record.name.startswith(("claude_mem", "aiohttp"))]
    assert not [record for record in ours if record.levelno >= logging.WARNING]


def test_requests_in_one_go_are_answered_in_order(api: Server, tenant: Tenant) -> None:
    def request(path: str) -> bytes:
        return f"GET {path} HTTP/1.1\r\nHost: x\r\nX-Api-Key: {tenant.full}\r\n\r\n".encode()

    received = b""
    with api.connection() as raw:
        raw.sendall(request("/healthz") + request("/v1/jobs/none") + request("/api/version"))
        while b'"version"' not in received:
            received += raw.recv(65_536)
    assert (
        received.index(b"server-beta")
        < received.index(b"Generation job not found")
        < received.index(b'"version"')
    )


def test_a_body_is_awaited_with_100_continue(api: Server, tenant: Tenant) -> None:
    body = json.dumps(event_body(tenant.project)).encode()
    head = (
        f"POST /v1/events HTTP/1.1\r\nHost: x\r\nX-Api-Key: {tenant.full}\r\nContent-Type: application/json\r\n"
        f"Expect: 100-continue\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with api.connection() as raw:
        raw.sendall(head.encode())
        assert raw.recv(1000).startswith(b"HTTP/1.1 100")
        raw.sendall(body)
        assert raw.recv(65_536).startswith(b"HTTP/1.1 201")
