"""Headers that every answer carries, cross-origin rules, request ids, limits and caps, and problem details."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from claude_mem.model.times import now_us
from claude_mem.process import server as process
from claude_mem.services import limits
from tests.support.http import Server, Storage, Tenant, client_of, database_url, event_body

SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-DNS-Prefetch-Control": "off",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Origin-Agent-Cluster": "?1",
}
LIMITS = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")


@pytest.mark.parametrize(
    ("method", "path", "origin"),
    [
        ("GET", "/healthz", None),
        ("GET", "/v1/usage", None),
        ("GET", "/nothing", None),
        ("PUT", "/v1/events", None),
        ("OPTIONS", "/v1/events", None),
        ("GET", "/healthz", "https://evil.example"),
    ],
)
def test_every_answer_is_guarded(api: Server, method: str, path: str, origin: str | None) -> None:
    answer = api.call(method, path, headers={"Origin": origin} if origin else {})
    assert SECURITY.items() <= {name: answer.headers.get(name) for name in SECURITY}.items()
    assert "X-Powered-By" not in answer.headers
    assert "aiohttp" not in answer.headers["Server"]
    assert not set(LIMITS) & set(answer.headers)


@pytest.mark.parametrize("origin", ["http://localhost:3000", "http://127.0.0.1:1", "own"])
def test_origins_of_this_machine_and_of_this_server_are_let_in(
    api: Server, tenant: Tenant, origin: str
) -> None:
    given = api.url if origin == "own" else origin
    answer = api.call("GET", "/v1/usage", tenant.read, headers={"Origin": given})
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == given
    assert answer.headers["Vary"] == "Origin"


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "null",
        "http://localhost.evil.example:1",
        "https://localhost:1",
        "http://[::1",
        "",
    ],
)
def test_other_origins_are_refused_with_403(api: Server, tenant: Tenant, origin: str) -> None:
    for method in ("GET", "POST", "OPTIONS"):
        answer = api.call(method, "/v1/usage", tenant.full, headers={"Origin": origin})
        assert answer.status_code == 403
        assert answer.json() == {"error": "Forbidden", "message": "CORS not allowed"}
        assert "Access-Control-Allow-Origin" not in answer.headers


def test_the_origin_of_the_public_address_is_the_servers_own(tmp_path: Any) -> None:
    """A proxy may ask for the server by another name than the browser did."""
    environ = {"CLAUDE_MEM_PUBLIC_URL": "https://memory.example/team", "CLAUDE_MEM_GENERATION_DISABLED": "1"}
    with Server(tmp_path, environ=environ) as server:
        statuses = {
            origin: server.call("GET", "/healthz", headers={"Origin": origin}).status_code
            for origin in (
                "https://memory.example",
                "https://memory.example:1",
                "https://example",
                "null",
                "",
            )
        }
    assert statuses.pop("https://memory.example") == 200
    assert set(statuses.values()) == {403}


def test_origins_can_be_named(tmp_path: Any) -> None:
    environ = {"CLAUDE_MEM_CORS_ORIGINS": "https://memory.example", "CLAUDE_MEM_GENERATION_DISABLED": "1"}
    with Server(tmp_path, environ=environ) as server:
        sent = {"Origin": "https://memory.example"}
        assert (
            server.call("GET", "/healthz", headers=sent).headers["Access-Control-Allow-Origin"]
            == sent["Origin"]
        )


@pytest.mark.parametrize("path", ["/v1/events", "/v1/anything", "/api/health", "/"])
def test_any_preflight_is_answered(api: Server, path: str) -> None:
    for origin in ({}, {"Origin": "http://localhost:1"}):
        answer = api.call("OPTIONS", path, headers=origin)
        assert (answer.status_code, answer.content) == (204, b"")
        assert answer.headers["Access-Control-Allow-Methods"] == "GET,HEAD,POST,PUT,PATCH,DELETE"
        allowed = answer.headers["Access-Control-Allow-Headers"].split(",")
        assert allowed[:3] == ["Content-Type", "Authorization", "X-Requested-With"]
        assert {"X-Api-Key", "X-Request-Id"} <= set(allowed)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("abc-DEF_9", True),
        ("9" * 64, True),
        ("9" * 65, False),
        ("-abc", False),
        ("_abc", False),
        ("a b", False),
        ("a.b", False),
        ("ghp_" + "a1B2" * 9, False),
        (None, False),
    ],
)
def test_a_request_id_is_echoed_or_made(api: Server, tenant: Tenant, given: str | None, kept: bool) -> None:
    headers = {} if given is None else {"X-Request-Id": given}
    for path, key in (("/v1/jobs", tenant.read), ("/v1/jobs", None), ("/v1/jobs", "bogus"), ("/v1/x", None)):
        echoed = api.call("GET", path, key, headers=headers).headers["X-Request-Id"]
        assert echoed == given if kept else uuid.UUID(echoed).version == 4
    listed = api.call("GET", "/v1/jobs", tenant.read, headers=headers)
    assert listed.json()["requestId"] == listed.headers["X-Request-Id"]


@pytest.mark.parametrize("path", ["/v1/info", "/healthz", "/api/health", "/api/sessions/summarize"])
def test_other_routes_carry_no_request_id(api: Server, tenant: Tenant, path: str) -> None:
    assert "X-Request-Id" not in api.call("GET", path, headers={"X-Request-Id": "a"}).headers
    body = {"contentSessionId": "c"}
    answer = api.call("POST", "/api/sessions/summarize", tenant.scoped, body, headers={"X-Request-Id": "a"})
    assert "X-Request-Id" not in answer.headers


def test_the_request_id_is_kept_with_the_job(api: Server, tenant: Tenant) -> None:
    sent = {"X-Request-Id": "mine"}
    api.call("POST", "/v1/events", tenant.full, event_body(tenant.project), headers=sent)
    (job,) = api.ok("GET", "/v1/jobs?include=payload", tenant.admin)["jobs"]
    assert job["payload"]["request_id"] == "mine"


@pytest.mark.parametrize(
    ("method", "path", "key", "body", "status"),
    [
        ("GET", "/v1/usage", None, None, 401),
        ("GET", "/v1/usage", "bogus", None, 403),
        ("GET", "/v1/jobs/none", "full", None, 404),
        ("GET", "/nothing", None, None, 404),
        ("POST", "/v1/events", "full", {}, 400),
        ("DELETE", "/v1/memories/none", "full", None, 404),
    ],
)
def test_problem_details_are_for_those_who_ask(
    api: Server, tenant: Tenant, method: str, path: str, key: str | None, body: Any, status: int
) -> None:
    chosen = tenant.full if key == "full" else key
    plain = api.call(method, path, chosen, body)
    assert plain.headers["Content-Type"] == "application/json"
    for accept in ("application/problem+json", "application/json, Application/Problem+JSON;q=0.5"):
        answer = api.call(method, path, chosen, body, headers={"Accept": accept})
        problem = answer.json()
        assert (answer.status_code, plain.status_code) == (status, status)
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert (problem["status"], problem["title"], problem["instance"]) == (
            status,
            plain.json()["error"],
            path,
        )
        assert plain.json().items() <= problem.items()
        assert problem["detail"]
        assert problem["detail"] == problem["message"]


LIMITED = {
    "CLAUDE_MEM_GENERATION_DISABLED": "true",
    "CLAUDE_MEM_RATE_LIMIT_PER_MIN": "5",
}
CAPPED = {
    "CLAUDE_MEM_GENERATION_DISABLED": "true",
    "CLAUDE_MEM_MONTHLY_REQUEST_CAP": "6",
    "CLAUDE_MEM_MONTHLY_TOKEN_CAP": "100",
}


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def kind(request: pytest.FixtureRequest) -> Storage:
    found: Storage = request.param
    return found


@pytest.fixture(scope="module")
def limited(
    kind: Storage, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    url = database_url(request, kind)
    with Server(tmp_path_factory.mktemp("limited"), database_url=url, environ=LIMITED) as server:
        yield server


@pytest.fixture(scope="module")
def capped(
    kind: Storage, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    url = database_url(request, kind)
    with Server(tmp_path_factory.mktemp("capped"), database_url=url, environ=CAPPED) as server:
        yield server


@pytest.fixture
def moment(monkeypatch: pytest.MonkeyPatch) -> float:
    """The time at which everything is counted, in seconds: no minute, and no month, ends meanwhile."""
    at = now_us()
    monkeypatch.setattr(limits, "now_us", lambda: at)
    return at / 1_000_000


async def test_the_rate_limit_is_exact_under_parallel_requests(limited: Server, moment: float) -> None:
    tenant = limited.tenant()
    async with client_of(limited) as client:
        headers = {"X-Api-Key": tenant.full}
        answers = await asyncio.gather(*(client.get("/v1/usage", headers=headers) for _ in range(20)))
    assert Counter(answer.status_code for answer in answers) == {200: 5, 429: 15}
    for answer in answers:
        assert answer.headers["X-RateLimit-Limit"] == "5"
        assert moment < int(answer.headers["X-RateLimit-Reset"]) <= moment + 60
        if answer.status_code == 429:
            assert answer.json() == {
                "error": "rate_limited",
                "message": "Rate limit exceeded (5 requests / 60s)",
            }
            assert 1 <= int(answer.headers["Retry-After"]) <= 60
            assert answer.headers["X-RateLimit-Remaining"] == "0"
    assert sorted(
        answer.headers["X-RateLimit-Remaining"] for answer in answers if answer.status_code == 200
    ) == list("01234")
    assert limited.call("GET", "/v1/usage", tenant.read).status_code == 200
    assert limited.call("GET", "/v1/usage", tenant.full).status_code == 429
    assert limited.call("POST", "/v1/events", tenant.full, content=b"{").status_code == 429
    assert limited.call("GET", "/v1/usage", "bogus").status_code == 403


@pytest.mark.usefixtures("moment")
def test_what_is_not_authenticated_is_not_counted(limited: Server) -> None:
    tenant = limited.tenant()
    assert not set(LIMITS) & set(limited.call("GET", "/v1/usage").headers)
    for _ in range(7):
        assert limited.call("POST", "/v1/keys", tenant.read, {}).status_code == 403
        assert limited.call("GET", "/v1/info", tenant.read).status_code == 200
    answer = limited.call("GET", "/v1/usage", tenant.read)
    assert answer.headers["X-RateLimit-Remaining"] == "4"


@pytest.mark.usefixtures("moment")
async def test_the_request_cap_counts_by_itself_and_exactly(capped: Server) -> None:
    tenant, other = capped.tenant(), capped.tenant()
    async with client_of(capped) as client:
        headers = {"X-Api-Key": tenant.full}
        answers = await asyncio.gather(*(client.get("/v1/connect", headers=headers) for _ in range(12)))
    assert Counter(answer.status_code for answer in answers) == {200: 6, 402: 6}
    refused = capped.call("GET", "/v1/connect", tenant.read)
    assert (refused.status_code, refused.json()) == (
        402,
        {
            "error": "quota_exceeded",
            "message": "Monthly request quota reached (6)",
            "used": 6,
            "cap": 6,
        },
    )
    assert capped.ok("GET", "/v1/usage", other.read)["usage"] == {"request": 1}


@pytest.mark.usefixtures("moment")
def test_the_token_cap_holds_writes_back_whoever_counted(capped: Server) -> None:
    tenant = capped.tenant()
    assert capped.call("POST", "/v1/keys", tenant.full, {}).status_code == 201
    spend(capped, tenant, 100)
    refused = capped.call("POST", "/v1/events", tenant.full, event_body(tenant.project))
    assert (refused.status_code, refused.json()) == (
        402,
        {
            "error": "quota_exceeded",
            "message": "Monthly token quota reached (100)",
            "used": 100,
            "cap": 100,
        },
    )
    assert capped.call("GET", "/v1/usage", tenant.full).json()["usage"]["tokens"] == 100


def spend(server: Server, tenant: Tenant, tokens: int) -> None:
    """Store spent tokens as a worker of claude-mem 13 does: a row, and nothing else."""
    row = f"'{uuid.uuid4()}', '{tenant.team}', 'tokens', {tokens}"
    server.execute(f"INSERT INTO usage_events (id, team_id, kind, quantity, metadata) VALUES ({row}, '{{}}')")


def test_caps_and_limits_are_off_unless_set(api: Server, tenant: Tenant) -> None:
    for _ in range(8):
        api.ok("GET", "/v1/jobs", tenant.full)
    api.run(api.services.write_behind())
    assert api.ok("GET", "/v1/usage", tenant.full)["usage"] == {}


def test_metering_counts_requests_by_their_route(
    kind: Storage, request: pytest.FixtureRequest, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What is written behind is written by this test alone, so that nothing of it is under way when it is read.
    monkeypatch.setattr(process, "WRITE_BEHIND_S", 3600.0)
    environ = {"CLAUDE_MEM_USAGE_METERING": "1", "CLAUDE_MEM_GENERATION_DISABLED": "1"}
    with Server(tmp_path, database_url=database_url(request, kind), environ=environ) as server:
        tenant = server.tenant()
        secret = "ghp_" + "a1B2" * 9
        for path in ("/v1/jobs", f"/v1/jobs/{secret}", "/v1/jobs/%00", "/v1/jobs/%ED%A0%80"):
            server.call("GET", path, tenant.full)
        server.call("GET", "/v1/jobs", "bogus")
        server.run(server.services.write_behind())
        assert server.ok("GET", "/v1/usage", tenant.full)["usage"] == {"request": 4}
        dump = server.dump()
        assert "/v1/jobs/{id}" in dump
        assert tenant.ids["full"] in dump
        assert secret not in dump


@pytest.mark.usefixtures("moment")
def test_failed_authentication_is_limited_but_never_a_good_key_nor_loopback(tmp_path: Any) -> None:
    environ = {"CLAUDE_MEM_AUTH_FAILURES_PER_MIN": "3", "CLAUDE_MEM_GENERATION_DISABLED": "1"}
    with Server(tmp_path, environ=environ, host="0.0.0.0") as server:
        tenant = server.tenant()
        assert {server.call("GET", "/v1/usage", "bogus").status_code for _ in range(9)} == {403}
        outside = server.outside()
        if outside is None:
            pytest.skip("this machine has no address beyond loopback")
        answers = [outside.get("/v1/usage", headers={"X-Api-Key": "bogus"}) for _ in range(5)]
        assert [answer.status_code for answer in answers] == [403, 403, 403, 429, 429]
        assert answers[4].json()["error"] == "rate_limited"
        assert 1 <= int(answers[4].headers["Retry-After"]) <= 60
        assert outside.get("/v1/usage", headers={"X-Api-Key": tenant.read}).status_code == 200
        assert outside.get("/v1/usage", headers={"X-Api-Key": "bogus"}).status_code == 429
        assert outside.get("/v1/usage").status_code == 401
        assert server.call("GET", "/v1/usage", "bogus").status_code == 403
        for path in ("/api/admin/doctor",):
            assert outside.get(path).status_code == 403
            assert outside.get(path, headers={"Host": "localhost"}).status_code == 403
        health = outside.get("/api/health").json()
        assert (health["pid"], health["platform"]) == (None, None)
        outside.close()


def test_local_development_needs_no_key_on_this_machine_alone(tmp_path: Any) -> None:
    with Server(tmp_path, environ={"CLAUDE_MEM_GENERATION_DISABLED": "1"}, local=True) as server:
        body = event_body("local-hook-project")
        assert server.call("POST", "/v1/events", None, body).status_code == 201
        assert server.call("GET", "/v1/info").json()["authMode"] == "local-dev"
        for headers in (
            {"Host": "memory.example"},
            {"X-Forwarded-For": "127.0.0.1"},
            {"Forwarded": "for=127.0.0.1"},
            {"X-Forwarded-Host": "localhost"},
            {"X-Real-IP": "127.0.0.1"},
        ):
            assert server.call("GET", "/v1/usage", headers=headers).status_code == 401
        assert server.call("GET", "/v1/usage", "bogus").status_code == 403
        for host in ("localhost:1", "LOCALHOST", "[::1]:9", "127.0.0.1"):
            assert server.call("GET", "/v1/usage", headers={"Host": host}).status_code == 200
