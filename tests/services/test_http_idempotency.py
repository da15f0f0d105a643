"""Idempotency-Key: a request is carried out once and answered the same; what is kept of the answer tells nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from claude_mem.http import replaying
from claude_mem.http.app import ROUTES
from claude_mem.http.openapi.operation import operation_of
from claude_mem.model.errors import Unavailable
from claude_mem.model.times import now_us
from claude_mem.services import idempotency, limits
from claude_mem.services.purging import purge_project
from claude_mem.storage import idempotency as kept_requests
from claude_mem.storage.database import Executor
from tests.support.http import Server, Storage, Tenant, client_of, database_url, event_body, eventually
from tests.support.load import World


def send(
    api: Server, path: str, key: str, body: Any, idempotency_key: str = "key-1"
) -> tuple[httpx.Response, bool]:
    response = api.call("POST", path, key, body, headers={"Idempotency-Key": idempotency_key})
    return response, response.headers.get("Idempotency-Replayed") == "true"


def bodies(tenant: Tenant) -> dict[str, Any]:
    return {
        "/v1/events": event_body(tenant.project),
        "/v1/events/batch": [event_body(tenant.project)],
        "/v1/sessions/start": {"projectId": tenant.project},
        "/v1/memories": {"projectId": tenant.project, "content": "once"},
        "/v1/keys": {"label": "once"},
        f"/v1/keys/{tenant.ids['read']}/rotate": {},
        "/v1/projects": {"name": "once"},
    }


def test_routes_that_create_take_keys(tenant: Tenant) -> None:
    declared = {route.path for route in ROUTES if (found := operation_of(route.handler)) and found.replayable}
    tried = {path.replace(tenant.ids["read"], "{id}") for path in bodies(tenant)}
    assert declared == tried


@pytest.mark.parametrize("index", range(7))
def test_a_request_sent_again_is_answered_the_same(api: Server, tenant: Tenant, index: int) -> None:
    path, body = list(bodies(tenant).items())[index]
    first, replayed = send(api, path, tenant.admin, body)
    assert (first.status_code, replayed) == (201, False), first.text
    second, replayed = send(api, path, tenant.admin, body)
    assert (second.status_code, replayed) == (201, True)
    assert second.content == first.content
    assert second.headers.get("ETag") == first.headers.get("ETag")
    assert second.headers["X-Request-Id"] != first.headers["X-Request-Id"]


def test_nothing_is_done_twice(api: Server, tenant: Tenant) -> None:
    body = {"projectId": tenant.project, "content": "once"}
    for _ in range(3):
        send(api, "/v1/memories", tenant.full, body)
    assert len(api.ok("GET", "/v1/memories", tenant.full)["memories"]) == 1
    other, replayed = send(api, "/v1/memories", tenant.full, body, "key-2")
    assert (other.status_code, replayed) == (201, False)
    assert len(api.ok("GET", "/v1/memories", tenant.full)["memories"]) == 2


def test_a_key_belongs_to_one_request_of_one_api_key(api: Server, tenant: Tenant) -> None:
    body = {"projectId": tenant.project, "content": "mine"}
    first, _ = send(api, "/v1/memories", tenant.full, body)
    for path, changed in (("/v1/memories", body | {"content": "another"}), ("/v1/memories?x=1", body)):
        refused, _ = send(api, path, tenant.full, changed)
        assert (refused.status_code, refused.json()["error"]) == (422, "IdempotencyMismatch")
    for key in (tenant.admin, tenant.scoped, api.tenant().full):
        other, replayed = send(api, "/v1/memories", key, body)
        assert not replayed, "another API key's request is another request"
        assert first.json()["memory"]["id"] not in other.text
    session, replayed = send(api, "/v1/sessions/start", tenant.full, {"projectId": tenant.project})
    assert (session.status_code, replayed) == (201, False), "so is another route's"


def test_what_was_refused_may_be_mended_and_sent_again(api: Server, tenant: Tenant) -> None:
    other = api.tenant()
    body = {"projectId": other.project, "content": "c"}
    assert send(api, "/v1/memories", tenant.full, {"content": "c"})[0].status_code == 400
    assert send(api, "/v1/memories", tenant.full, body)[0].status_code == 403
    body["projectId"] = tenant.project
    assert send(api, "/v1/memories", tenant.full, body)[0].status_code == 201


def test_an_answer_does_not_outlive_a_purge(api: Server, tenant: Tenant) -> None:
    other = api.tenant()
    body = {"projectId": tenant.project, "content": "purged"}
    theirs = {"projectId": other.project, "content": "kept"}
    send(api, "/v1/memories", tenant.full, body)
    send(api, "/v1/memories", other.full, theirs)
    api.ok("DELETE", f"/v1/projects/{tenant.project}/memory", tenant.full)
    again, replayed = send(api, "/v1/memories", tenant.full, body)
    assert (again.status_code, again.json()["error"], replayed) == (422, "IdempotencyMismatch", False)
    assert "purged" in again.json()["message"]
    assert api.ok("GET", "/v1/memories", tenant.full)["memories"] == [], "nor is it made again"
    assert send(api, "/v1/memories", tenant.full, body, "key-2")[0].status_code == 201
    assert send(api, "/v1/memories", other.full, theirs)[1], "another team's answers stay"


def test_an_answer_that_comes_after_a_purge_is_not_kept(
    api: Server, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = api.tenant()
    finish = kept_requests.finish
    caller = World().caller_of(tenant.team)

    async def late(executor: Executor, claim: kept_requests.Claim, *, status: int, answer: bytes) -> None:
        # What was asked for is stored, the answer is not kept yet.
        await purge_project(api.services.database, caller, tenant.project)
        await finish(executor, claim, status=status, answer=answer)

    monkeypatch.setattr(kept_requests, "finish", late)
    theirs = {"projectId": other.project, "content": "kept"}
    send(api, "/v1/memories", other.full, theirs)
    body = {"projectId": tenant.project, "content": "purged"}
    assert send(api, "/v1/memories", tenant.full, body)[0].status_code == 201, "the client has its answer"
    monkeypatch.undo()
    kept = api.run(kept_requests.find(api.services.database, _asked_for(tenant, body).id))
    assert kept is not None
    assert (kept.status, kept.answer) == (201, kept_requests.PURGED)
    again, replayed = send(api, "/v1/memories", tenant.full, body)
    assert (again.status_code, again.json()["error"], replayed) == (422, "IdempotencyMismatch", False)
    assert api.ok("GET", "/v1/memories", tenant.full)["memories"] == [], "nor is it made again"
    assert send(api, "/v1/memories", other.full, theirs)[1], "another team's answers are kept"


def test_a_request_that_comes_to_nothing_after_a_purge_may_be_sent_again(
    api: Server, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    abandon = kept_requests.abandon
    caller = World().caller_of(tenant.team)

    async def late(executor: Executor, claim: kept_requests.Claim) -> None:
        await purge_project(api.services.database, caller, tenant.project)
        await abandon(executor, claim)

    monkeypatch.setattr(kept_requests, "abandon", late)
    assert send(api, "/v1/memories", tenant.full, {"content": "c"})[0].status_code == 400
    monkeypatch.undo()
    body = {"projectId": tenant.project, "content": "c"}
    assert send(api, "/v1/memories", tenant.full, body)[0].status_code == 201
    assert send(api, "/v1/memories", tenant.full, body)[1], "what is made after a purge is answered the same"


@pytest.mark.parametrize("bad", ["", "x" * 256, "a\tb"])
def test_a_key_has_a_form(api: Server, tenant: Tenant, bad: str) -> None:
    body = {"projectId": tenant.project, "content": "c"}
    refused, _ = send(api, "/v1/memories", tenant.full, body, bad)
    assert refused.status_code == 400
    assert refused.json()["issues"][0]["path"] == ["Idempotency-Key"]
    assert api.ok("GET", "/v1/memories", tenant.full)["memories"] == []


def test_a_key_opens_no_door(api: Server, tenant: Tenant) -> None:
    body = {"projectId": tenant.project, "content": "c"}
    send(api, "/v1/memories", tenant.full, body)
    for key, status in ((None, 401), ("bogus", 403), (tenant.read, 403), (tenant.teamless, 403)):
        headers = {"Idempotency-Key": "key-1"}
        assert api.call("POST", "/v1/memories", key, body, headers=headers).status_code == status
    api.ok("DELETE", f"/v1/keys/{tenant.ids['full']}", tenant.admin)
    assert send(api, "/v1/memories", tenant.full, body)[0].status_code == 403, (
        "not even to who knows the answer"
    )


def test_a_new_api_key_is_shown_again_and_kept_nowhere(api: Server, tenant: Tenant) -> None:
    secret_key = f"idempotent-{tenant.team}"
    made, _ = send(api, "/v1/keys", tenant.full, {}, secret_key)
    raw = made.json()["apiKey"]
    content = f"private answer {tenant.team}"
    body = {"projectId": tenant.project, "content": content}
    send(api, "/v1/memories", tenant.full, body, secret_key)
    again, replayed = send(api, "/v1/keys", tenant.full, {}, secret_key)
    assert (replayed, again.json()["apiKey"]) == (True, raw)
    assert api.call("GET", "/v1/usage", raw).status_code == 200
    kept = [line for line in api.dump().splitlines() if line.startswith("idempotent_requests")]
    assert kept
    for line in kept:
        for private in (raw, content, secret_key, tenant.full):
            assert private not in line
            assert private.encode().hex() not in line


async def test_of_requests_at_the_same_time_one_is_carried_out(api: Server, tenant: Tenant) -> None:
    body = {"projectId": tenant.project, "content": "race"}
    headers = {"X-Api-Key": tenant.full, "Idempotency-Key": "race"}
    async with client_of(api) as client:
        answers = await asyncio.gather(
            *(client.post("/v1/memories", json=body, headers=headers) for _ in range(12))
        )
        while True:
            last = await client.post("/v1/memories", json=body, headers=headers)
            if last.status_code == 201:
                break
            assert last.status_code == 409
    assert {answer.status_code for answer in answers} <= {201, 409}
    ids = {answer.json()["memory"]["id"] for answer in [*answers, last] if answer.status_code == 201}
    assert len(ids) == 1
    assert all(answer.headers["Retry-After"] == "1" for answer in answers if answer.status_code == 409)
    assert len(api.ok("GET", "/v1/memories", tenant.full)["memories"]) == 1


def test_a_request_that_a_process_died_over_is_taken_again(api: Server, tenant: Tenant) -> None:
    body = {"projectId": tenant.project, "content": "c"}
    asked = _asked_for(tenant, body)
    requests = api.services.idempotent
    api.run(requests.begin(asked, lock_us=60_000_000))
    content = json.dumps(body).encode()
    headers = {"Idempotency-Key": "key-1"}
    waiting = api.call("POST", "/v1/memories", tenant.full, headers=headers, content=content)
    assert (waiting.status_code, waiting.json()["error"]) == (409, "Conflict")
    past = "now() - interval '1 minute'" if api.services.database.name == "postgres" else "0"
    api.execute(f"UPDATE idempotent_requests SET locked_until = {past} WHERE id = '{asked.id}'")
    taken = api.call("POST", "/v1/memories", tenant.full, headers=headers, content=content)
    assert taken.status_code == 201


def _asked_for(tenant: Tenant, body: Any) -> idempotency.Asked:
    return idempotency.Asked(
        team_id=tenant.team,
        caller=tenant.ids["full"],
        secret=tenant.full,
        route="POST /v1/memories",
        key="key-1",
        body_hash=_hash(json.dumps(body).encode()),
    )


def _hash(content: bytes) -> str:
    return replaying.body_hash("", content)


def test_an_answer_reaches_its_client_also_when_it_cannot_be_kept(
    api: Server, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any, **__: Any) -> None:
        raise Unavailable("the database went away in between", dependency="postgres")

    monkeypatch.setattr(kept_requests, "finish", away)
    body = {"projectId": tenant.project, "content": "c"}
    made, _ = send(api, "/v1/memories", tenant.full, body)
    assert made.status_code == 201
    monkeypatch.undo()
    assert send(api, "/v1/memories", tenant.full, body)[0].status_code == 409, (
        "not done twice, while it is locked"
    )


def test_answers_are_forgotten_after_a_day(api: Server, tenant: Tenant) -> None:
    body = {"projectId": tenant.project, "content": "c"}
    send(api, "/v1/memories", tenant.full, body)
    past = "now() - interval '1 second'" if api.services.database.name == "postgres" else "1"
    api.execute(f"UPDATE idempotent_requests SET expires_at = {past} WHERE team_id = '{tenant.team}'")

    def forgotten() -> bool:
        # The server itself may be at it just now, and then it is for the other to wait.
        api.services.idempotent._forget_at = 0.0
        api.run(api.services.write_behind())
        kept = [line for line in api.dump().splitlines() if line.startswith("idempotent_requests")]
        return tenant.team not in "".join(kept)

    eventually(forgotten, what="the answer to be forgotten")
    assert send(api, "/v1/memories", tenant.full, body)[1] is False


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def limited(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    kind: Storage = request.param
    environ = {"CLAUDE_MEM_RATE_LIMIT_PER_MIN": "5", "CLAUDE_MEM_GENERATION_DISABLED": "true"}
    directory = tmp_path_factory.mktemp("limited")
    with Server(directory, database_url=database_url(request, kind), environ=environ) as server:
        yield server


def test_limits_count_a_request_once_whatever_its_key_comes_to(
    limited: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    minute = now_us()
    monkeypatch.setattr(limits, "now_us", lambda: minute)
    tenant = limited.tenant()
    body = {"projectId": tenant.project, "content": "c"}
    waiting = idempotency.Asked(
        team_id=tenant.team,
        caller=tenant.ids["full"],
        secret=tenant.full,
        route="POST /v1/memories",
        key="waiting",
        body_hash=_hash(_encoded(body)),
    )
    limited.run(limited.services.idempotent.begin(waiting, lock_us=600_000_000))
    stands = []
    for key, sent in (
        ("key-1", body),
        ("key-1", body | {"content": "another"}),
        ("waiting", body),
        ("x" * 256, body),
        ("key-1", body),
        ("key-1", body),
        ("key-1", body | {"content": "another"}),
    ):
        headers = {"Idempotency-Key": key, "Content-Type": "application/json"}
        answer = limited.call("POST", "/v1/memories", tenant.full, headers=headers, content=_encoded(sent))
        stands.append((answer.status_code, answer.headers["X-RateLimit-Remaining"]))
        assert "RateLimit-Policy" in answer.headers
    assert stands == [
        (201, "4"),
        (422, "3"),
        (409, "2"),
        (400, "1"),
        (201, "0"),
        (429, "0"),
        (429, "0"),
    ]


def _encoded(body: Any) -> bytes:
    return json.dumps(body).encode()
