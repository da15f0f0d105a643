"""`wait=true`: answered when the jobs have ended, at the time-out, or when the client has left; without polling."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from claude_mem.services import signals
from tests.support.http import (
    PATIENCE_S,
    Server,
    Storage,
    Tenant,
    client_of,
    closing_quietly,
    database_url,
    event_body,
    eventually,
)
from tests.support.shapes import JOB_WAITED


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def kind(request: pytest.FixtureRequest) -> Storage:
    found: Storage = request.param
    return found


@pytest.fixture(scope="module")
def generating(
    kind: Storage, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("generating")
    with Server(directory, database_url=database_url(request, kind), generate=True) as server:
        yield server


@pytest.fixture(scope="module")
def impatient(
    kind: Storage, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    environ = {"CLAUDE_MEM_WAIT_TIMEOUT_MS": "500", "CLAUDE_MEM_GENERATION_DISABLED": "1"}
    directory = tmp_path_factory.mktemp("impatient")
    with Server(directory, database_url=database_url(request, kind), environ=environ) as server:
        yield server


def waiting(server: Server) -> int:
    return len(server.services.waiter._waiting)


def test_the_answer_comes_with_the_observation(generating: Server) -> None:
    tenant = generating.tenant()
    payload = {
        "tool_name": "Edit",
        "tool_input": {"file_path": "/src/a.py", "old_string": "a", "new_string": "b"},
    }
    body = event_body(tenant.project, payload=payload)
    made = generating.ok("POST", "/v1/events?wait=true", tenant.full, body, status=201)
    assert made.keys() == {"event", "generationJob"}
    job = made["generationJob"]
    assert job.keys() == JOB_WAITED
    assert (job["status"], job["attempts"], job["maxAttempts"]) == ("completed", 1, 3)
    seen = generating.ok("GET", f"/v1/events/{made['event']['id']}/observations", tenant.full)
    (observation,) = seen["observations"]
    assert observation.keys() == {
        *("id", "projectId", "teamId", "serverSessionId", "kind", "content", "metadata", "createdAtEpoch"),
        *("updatedAtEpoch", "generationKey", "createdByJobId", "source"),
    }
    assert observation["createdByJobId"] == job["id"]
    assert observation["source"].keys() == {
        "id",
        "sourceType",
        "sourceId",
        "generationJobId",
        "createdAtEpoch",
    }
    again = generating.ok("POST", "/v1/events?wait=true", tenant.full, body, status=201)
    assert (again["duplicate"], again["generationJob"]["status"]) == (True, "completed")


def test_a_batch_waits_for_all_of_it(generating: Server) -> None:
    tenant = generating.tenant()
    bodies = [event_body(tenant.project, occurredAtEpoch=number) for number in range(5)]
    made = generating.ok("POST", "/v1/events/batch?wait=true", tenant.full, bodies, status=201)
    assert made.keys() == {"events"}
    assert {entry["generationJob"]["status"] for entry in made["events"]} == {"completed"}
    assert all(entry["generationJob"].keys() == JOB_WAITED for entry in made["events"])


async def _wait_in_the_background(
    client: httpx.AsyncClient, tenant: Tenant
) -> tuple[asyncio.Task[httpx.Response], dict[str, Any]]:
    body = event_body(tenant.project)
    headers = {"X-Api-Key": tenant.full}
    task = asyncio.create_task(client.post("/v1/events?wait=true", json=body, headers=headers))
    return task, body


async def _until(condition: Any, what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited for {what}"
        await asyncio.sleep(0.01)


async def test_news_arrive_by_notification_and_not_by_polling(
    api: Server, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    await asyncio.to_thread(api.run, heard(api))
    monkeypatch.setattr(signals, "LOOK_AGAIN_S", 3600)
    looks = counting(api)
    async with client_of(api) as client:
        task, _ = await _wait_in_the_background(client, tenant)
        await _until(lambda: waiting(api) and looks["jobs"], "the waiter to have looked once")
        headers = {"X-Api-Key": tenant.full}
        (job,) = (await client.get("/v1/jobs", headers=headers)).json()["jobs"]
        before = looks["jobs"]
        await client.post(f"/v1/jobs/{job['id']}/cancel", headers=headers)
        answer = await task
    looks["stop"] = 1
    assert answer.status_code == 201
    assert answer.json()["generationJob"]["status"] == "cancelled"
    assert "waitTimedOut" not in answer.json()
    assert looks["jobs"] - before <= 2
    assert waiting(api) == 0


async def heard(server: Server) -> None:
    """Wait until announcements are heard: a first waiter has a connection made for that, and waits a second for it."""
    async with server.services.waiter.hearing() as news:
        while not news.is_set():
            await server.services.database.notify(signals.CHANNEL, "of nothing")
            await asyncio.sleep(0.02)


def counting(server: Server) -> dict[str, int]:
    """Count how often waiters look for their jobs, until `stop` is set."""
    counts = {"jobs": 0, "stop": 0}
    database: Any = server.services.database
    original = database.fetch

    async def fetch(statement: str, /, **parameters: Any) -> Any:
        if counts["stop"]:
            database.__dict__.pop("fetch", None)
        elif statement == "jobs.by_ids":
            counts["jobs"] += 1
        return await original(statement, **parameters)

    database.fetch = fetch
    return counts


def test_a_client_that_leaves_is_no_longer_waited_for(api: Server, tenant: Tenant) -> None:
    body = json.dumps(event_body(tenant.project)).encode()
    head = (
        f"POST /v1/events?wait=true HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {tenant.full}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with closing_quietly(), api.connection() as raw:
        raw.sendall(head.encode() + body)
        eventually(lambda: waiting(api), what="the waiter")
    eventually(lambda: waiting(api) == 0, what="the waiter to give up")
    assert api.ok("GET", "/v1/jobs", tenant.full)["jobs"][0]["status"] == "queued"


def test_time_runs_out_and_says_so(impatient: Server) -> None:
    tenant = impatient.tenant()
    started = time.monotonic()
    made = impatient.ok("POST", "/v1/events?wait=true", tenant.full, event_body(tenant.project), status=201)
    assert time.monotonic() - started > 0.25
    assert made.keys() == {"event", "generationJob", "waitTimedOut"}
    assert made["waitTimedOut"] is True
    assert made["generationJob"].keys() == JOB_WAITED
    assert made["generationJob"]["status"] == "queued"


def test_a_batch_shares_its_time(impatient: Server) -> None:
    """Each on its own would take half a second, and all of them longer than a client waits."""
    tenant = impatient.tenant()
    bodies = [event_body(tenant.project, occurredAtEpoch=number) for number in range(150)]
    done = impatient.ok("POST", "/v1/events", tenant.full, bodies[0], status=201)
    impatient.ok("POST", f"/v1/jobs/{done['generationJob']['id']}/cancel", tenant.full)
    made = impatient.ok("POST", "/v1/events/batch?wait=true", tenant.full, bodies, status=201)
    assert made.keys() == {"events", "waitTimedOut"}
    assert [entry.get("waitTimedOut") for entry in made["events"]] == [None] + [True] * 149
    assert waiting(impatient) == 0


def test_a_job_that_is_purged_meanwhile_ends_the_wait(api: Server, tenant: Tenant) -> None:
    async def play() -> httpx.Response:
        async with client_of(api) as client:
            task, _ = await _wait_in_the_background(client, tenant)
            await _until(lambda: waiting(api), "the waiter")
            headers = {"X-Api-Key": tenant.full}
            await client.delete(f"/v1/projects/{tenant.project}/memory", headers=headers)
            return await task

    answer = asyncio.run(play())
    assert answer.status_code == 201
    assert answer.json()["generationJob"]["status"] == "queued"
    assert "waitTimedOut" not in answer.json()


def test_fifty_waiters_do_not_hold_up_others(api: Server, tenant: Tenant) -> None:
    async def play() -> None:
        async with client_of(api) as client:
            headers = {"X-Api-Key": tenant.full}
            tasks = [
                asyncio.create_task(
                    client.post(
                        "/v1/events?wait=true",
                        json=event_body(tenant.project, occurredAtEpoch=number),
                        headers=headers,
                    )
                )
                for number in range(50)
            ]
            await _until(lambda: waiting(api) == 50, "fifty waiters")
            plain = await client.get("/v1/jobs", headers=headers)
            for job in plain.json()["jobs"]:
                await client.post(f"/v1/jobs/{job['id']}/cancel", headers=headers)
            answers = await asyncio.gather(*tasks)
            # Had the others been held up until the waiters' time was out, nothing would have been cancelled by then.
            assert {answer.json()["generationJob"]["status"] for answer in answers} == {"cancelled"}

    asyncio.run(play())
