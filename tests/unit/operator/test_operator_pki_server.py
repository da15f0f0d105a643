from __future__ import annotations

import asyncio
import io
import json
import logging
import ssl
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
from cryptography import x509

from claude_mem_operator.admission import pki
from claude_mem_operator.admission.certificates import serves
from claude_mem_operator.admission.server import BODY_LIMIT_BYTES, AdmissionServer, _limit

NOW = datetime.now(UTC)
NAMES = (*pki.service_names("webhook", "claude-mem-system"), "localhost")
SECRET = "sk-ant-quoted-by-the-fault"
PATIENCE_S = 120.0


@dataclass(frozen=True)
class Cause:
    path: str
    message: str


@dataclass(frozen=True)
class Decision:
    allowed: bool
    message: str = ""
    causes: tuple[Cause, ...] = ()
    warnings: tuple[str, ...] = ()


def judge(request: dict[str, Any]) -> Decision:
    spec = request["object"]["spec"]
    if spec == "fault":
        raise RuntimeError(SECRET)
    if spec == "refuse":
        cause = Cause("spec.server.env[0].value", "write api-key")
        return Decision(allowed=False, message="spec.server.env[0].value: write api-key", causes=(cause,))
    return Decision(allowed=True, warnings=("the Secret is not there yet",) if spec == "warn" else ())


@pytest.fixture(scope="module")
def authority() -> pki.KeyPair:
    return pki.issue_authority(now=NOW)


@pytest.fixture(scope="module")
def pair(authority: pki.KeyPair) -> pki.KeyPair:
    return pki.issue_leaf(authority, names=NAMES, now=NOW)


@asynccontextmanager
async def serving(
    pair: pki.KeyPair, *, check: Callable[[dict[str, Any]], Decision] = judge, **options: Any
) -> AsyncIterator[AdmissionServer]:
    # As long as it takes on a busy machine, unless a test is of its time limit.
    server = AdmissionServer(check, host="127.0.0.1", port=0, **({"time_limit": PATIENCE_S} | options))
    await server.start(pair)
    try:
        yield server
    finally:
        await server.stop()


@asynccontextmanager
async def client(server: AdmissionServer, authority: pki.KeyPair) -> AsyncIterator[aiohttp.ClientSession]:
    context = ssl.create_default_context(cadata=authority.certificate_pem.decode())
    connector = aiohttp.TCPConnector(ssl=context, force_close=True)
    url = f"https://localhost:{server.port}"
    async with aiohttp.ClientSession(url, connector=connector) as session:
        yield session


def review(spec: Any, **request: Any) -> dict[str, Any]:
    return {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "u-1",
            "kind": {"group": "claude-mem.dev", "version": "v1alpha1", "kind": "ClaudeMemServer"},
            "namespace": "ns",
            "name": "memory",
            "object": {"spec": spec},
            **request,
        },
    }


async def ask(
    server: AdmissionServer, authority: pki.KeyPair, body: Any, *, query: str = ""
) -> dict[str, Any]:
    path = f"/validate{query}"
    async with client(server, authority) as session, session.post(path, json=body) as answer:
        assert answer.status == 200, await answer.text()
        whole: dict[str, Any] = await answer.json()
    assert (whole["apiVersion"], whole["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
    response: dict[str, Any] = whole["response"]
    assert response["uid"] == "u-1"
    return response


async def shown_certificate(server: AdmissionServer) -> x509.Certificate:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=context)
    try:
        shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    finally:
        writer.close()
        with suppress(OSError):  # the other side may have gone first
            await writer.wait_closed()
    return x509.load_der_x509_certificate(shown)


async def test_a_good_resource_is_allowed(authority: pki.KeyPair, pair: pki.KeyPair) -> None:
    async with serving(pair) as server:
        assert await ask(server, authority, review("good")) == {"uid": "u-1", "allowed": True}


async def test_warnings_reach_whoever_applies(authority: pki.KeyPair, pair: pki.KeyPair) -> None:
    async with serving(pair) as server:
        response = await ask(server, authority, review("warn"))
    assert response["allowed"]
    assert response["warnings"] == ["the Secret is not there yet"]


async def test_a_bad_resource_is_refused_with_its_fields(authority: pki.KeyPair, pair: pki.KeyPair) -> None:
    async with serving(pair) as server:
        response = await ask(server, authority, review("refuse"))
    assert not response["allowed"]
    assert response["status"] == {
        "status": "Failure",
        "code": 422,
        "reason": "Invalid",
        "message": "spec.server.env[0].value: write api-key",
        "details": {
            "group": "claude-mem.dev",
            "kind": "ClaudeMemServer",
            "name": "memory",
            "causes": [
                {
                    "reason": "FieldValueInvalid",
                    "field": "spec.server.env[0].value",
                    "message": "write api-key",
                }
            ],
        },
    }


async def test_a_dry_run_is_judged_like_any_other(authority: pki.KeyPair, pair: pki.KeyPair) -> None:
    async with serving(pair) as server:
        for spec in ("good", "refuse"):
            wet = await ask(server, authority, review(spec))
            assert await ask(server, authority, review(spec, dryRun=True)) == wet


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"", "not JSON"),
        (b"[" * 200_000, "not JSON"),
        (b"[]", "not an AdmissionReview"),
        (b'{"kind": "Pod"}', "not an AdmissionReview"),
        (b'{"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1beta1"}', "admission.k8s.io/v1"),
        (b'{"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1"}', "uid"),
        (b'{"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": {"uid": 1}}', "uid"),
    ],
)
async def test_what_is_not_a_review_is_a_bad_request(
    authority: pki.KeyPair, pair: pki.KeyPair, body: bytes, reason: str
) -> None:
    async with (
        serving(pair) as server,
        client(server, authority) as session,
        session.post("/validate", data=body) as answer,
    ):
        assert answer.status == 400
        assert reason in (await answer.json())["error"]


async def test_a_body_over_the_limit_is_refused(authority: pki.KeyPair, pair: pki.KeyPair) -> None:
    async with serving(pair) as server:
        fits = json.dumps(review("x" * (BODY_LIMIT_BYTES - 1000))).encode()
        async with client(server, authority) as session:
            async with session.post("/validate", data=io.BytesIO(fits)) as answer:
                assert answer.status == 200
            async with session.post("/validate", data=io.BytesIO(fits + b" " * 2000)) as answer:
                assert answer.status == 413


async def test_a_body_that_never_ends_is_given_up(authority: pki.KeyPair, pair: pki.KeyPair) -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    async with (
        serving(pair, time_limit=0.2) as server,
        client(server, authority) as session,
        session.post("/validate", data=endless()) as answer,
    ):
        assert answer.status == 408


async def test_a_check_that_hangs_is_a_refusal_in_time(authority: pki.KeyPair, pair: pki.KeyPair) -> None:
    release = threading.Event()

    def hang(_request: dict[str, Any]) -> Decision:
        release.wait(PATIENCE_S)
        return Decision(allowed=True)

    # Long enough for the review itself to arrive.
    async with serving(pair, check=hang, time_limit=2.0) as server:
        try:
            response = await ask(server, authority, review("good"))
        finally:
            release.set()
    assert not response["allowed"]
    assert response["status"]["code"] == 504
    assert "too long" in response["status"]["message"]


async def test_a_check_may_take_as_long_as_the_caller_waits(
    authority: pki.KeyPair, pair: pki.KeyPair
) -> None:
    release = threading.Event()

    def hang(_request: dict[str, Any]) -> Decision:
        release.wait(PATIENCE_S)
        return Decision(allowed=True)

    async with serving(pair, check=hang) as server:
        try:
            response = await ask(server, authority, review("good"), query="?timeout=3s")
        finally:
            release.set()
    assert response["status"]["code"] == 504
    # Without the caller's word this one gives no time at all.
    async with serving(pair, time_limit=0.0) as server:
        assert (await ask(server, authority, review("good"), query="?timeout=30s"))["allowed"]


@pytest.mark.parametrize(
    ("granted", "limit"),
    [("5s", 4.0), ("1s", 0.8), ("30s", 24.0), ("999s", 24.0)]
    + [(said, 7.0) for said in ("", "5", "s", "-5s", "1h", "5.5s", "9999s", "5s5s", "\u0665s")],
)
def test_what_a_caller_grants_is_believed_within_bounds(granted: str, limit: float) -> None:
    assert _limit(granted, otherwise=7.0) == pytest.approx(limit)


async def test_a_fault_is_a_refusal_that_quotes_nothing(
    authority: pki.KeyPair, pair: pki.KeyPair, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with serving(pair) as server:
        response = await ask(server, authority, review("fault"))
        assert (await ask(server, authority, review("good")))["allowed"], "the next one is served"
    assert not response["allowed"]
    assert response["status"]["code"] == 500
    assert "RuntimeError" in caplog.text
    assert SECRET not in caplog.text + json.dumps(response)


async def test_every_review_is_counted(authority: pki.KeyPair, pair: pki.KeyPair) -> None:
    counted: list[tuple[str, float]] = []
    async with serving(pair, observe=lambda result, seconds: counted.append((result, seconds))) as server:
        for spec in ("good", "refuse", "fault"):
            await ask(server, authority, review(spec))
        async with (
            client(server, authority) as session,
            session.post("/validate", data=b"nonsense") as answer,
        ):
            assert answer.status == 400
    assert [result for result, _ in counted] == ["allowed", "denied", "failed", "malformed"]
    assert all(0 <= seconds < PATIENCE_S for _, seconds in counted)


async def test_health_and_other_routes(authority: pki.KeyPair, pair: pki.KeyPair) -> None:
    async with serving(pair) as server, client(server, authority) as session:
        for path, status in (("/healthz", 200), ("/validate", 405), ("/", 404)):
            async with session.get(path) as answer:
                assert answer.status == status


async def test_a_new_certificate_is_served_without_closing(authority: pki.KeyPair, pair: pki.KeyPair) -> None:
    other = pki.issue_authority(now=NOW)
    renewed = pki.issue_leaf(other, names=NAMES, now=NOW)
    async with serving(pair) as server:
        port = server.port
        connector = aiohttp.TCPConnector(
            ssl=ssl.create_default_context(cadata=authority.certificate_pem.decode())
        )
        async with aiohttp.ClientSession(f"https://localhost:{port}", connector=connector) as kept:
            async with kept.get("/healthz") as answer:
                assert answer.status == 200
            server.use(renewed)
            async with kept.get("/healthz") as answer:
                assert answer.status == 200, "an open connection goes on"
        assert await shown_certificate(server) == renewed.certificate
        assert (await ask(server, other, review("good")))["allowed"]
        assert server.serving == renewed
        assert server.port == port


async def test_reviews_under_way_do_not_notice_new_certificates(
    authority: pki.KeyPair, pair: pki.KeyPair
) -> None:
    async with serving(pair) as server:
        asks = [asyncio.create_task(ask(server, authority, review("good"))) for _ in range(40)]
        for _ in range(10):
            server.use(pki.issue_leaf(authority, names=NAMES, now=NOW))
            await asyncio.sleep(0)
        assert all(response["allowed"] for response in await asyncio.gather(*asks))


async def test_a_certificate_without_its_key_leaves_the_one_before(
    authority: pki.KeyPair, pair: pki.KeyPair
) -> None:
    stranger = pki.issue_leaf(authority, names=NAMES, now=NOW)
    async with serving(pair) as server:
        with pytest.raises(ssl.SSLError):
            server.use(pki.KeyPair(certificate=stranger.certificate, key=pair.key))
        assert await shown_certificate(server) == pair.certificate
        assert server.serving == pair


async def test_the_handshake_tells_whose_certificate_is_served(
    authority: pki.KeyPair, pair: pki.KeyPair
) -> None:
    other = pki.issue_authority(now=NOW)

    async def is_served(by: pki.KeyPair, name: str = NAMES[2]) -> bool:
        address = ("127.0.0.1", server.port)
        return await asyncio.to_thread(serves, address, name=name, authority_pem=by.certificate_pem.decode())

    async with serving(pair) as server:
        assert await is_served(authority)
        assert not await is_served(other)
        assert not await is_served(authority, "webhook.elsewhere.svc")
    assert not await is_served(authority), "nobody listens any more"


async def test_old_protocols_are_refused(authority: pki.KeyPair, pair: pki.KeyPair) -> None:
    context = ssl.create_default_context(cadata=authority.certificate_pem.decode())
    with pytest.warns(DeprecationWarning, match="TLSv1_1 is deprecated"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    async with serving(pair) as server:
        with pytest.raises(ssl.SSLError):
            await asyncio.open_connection("localhost", server.port, ssl=context)


async def test_a_taken_port_is_an_error_and_leaves_nothing_open(pair: pki.KeyPair) -> None:
    async with serving(pair) as server:
        second = AdmissionServer(judge, host="127.0.0.1", port=server.port)
        with pytest.raises(OSError, match="address already in use"):
            await second.start(pair)
        assert second.serving is None
        await second.stop()
