"""Versions of memories, cursors of jobs, and how a limited key stands: what HTTP has headers for."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.http import Server, Storage, Tenant, database_url, event_body


@pytest.fixture
def memory(api: Server, tenant: Tenant) -> tuple[str, str]:
    """A memory's path and its version."""
    body = {"projectId": tenant.project, "content": "first"}
    made = api.call("POST", "/v1/memories", tenant.full, body)
    return f"/v1/memories/{made.json()['memory']['id']}", made.headers["ETag"]


def test_a_version_changes_with_the_memory_and_only_then(
    api: Server, tenant: Tenant, memory: tuple[str, str]
) -> None:
    path, first = memory
    assert re.fullmatch('"[0-9a-f]{32}"', first)
    assert api.call("GET", path, tenant.full).headers["ETag"] == first
    changed = api.call("PATCH", path, tenant.full, {"content": "second"})
    assert changed.headers["ETag"] != first
    assert api.call("GET", path, tenant.full).headers["ETag"] == changed.headers["ETag"]


def test_a_version_that_the_client_has_is_not_sent_again(
    api: Server, tenant: Tenant, memory: tuple[str, str]
) -> None:
    path, first = memory
    for given in (first, f"W/{first}", f'"other", {first}', "*"):
        same = api.call("GET", path, tenant.full, headers={"If-None-Match": given})
        assert (same.status_code, same.content, same.headers["ETag"]) == (304, b"", first)
    for given in ('"other"', "nonsense"):
        assert api.call("GET", path, tenant.full, headers={"If-None-Match": given}).status_code == 200
    strange = api.tenant()
    assert api.call("GET", path, strange.full, headers={"If-None-Match": first}).status_code == 404


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_a_stale_version_changes_nothing(
    api: Server, tenant: Tenant, memory: tuple[str, str], method: str
) -> None:
    path, first = memory
    api.ok("PATCH", path, tenant.full, {"content": "of somebody else"})
    body = {"content": "mine"} if method == "PATCH" else None
    for given in (first, f"W/{first}", '"other"', "nonsense"):
        refused = api.call(method, path, tenant.full, body, headers={"If-Match": given})
        assert (refused.status_code, refused.json()["error"]) == (412, "PreconditionFailed")
    assert api.ok("GET", path, tenant.full)["memory"]["content"] == "of somebody else"
    current = api.call("GET", path, tenant.full).headers["ETag"]
    strange = api.tenant()
    assert api.call(method, path, strange.full, body, headers={"If-Match": current}).status_code == 404
    allowed = api.call(method, path, tenant.full, body, headers={"If-Match": f'"other", {current}'})
    assert allowed.status_code == 200


def test_any_version_will_do_where_there_is_one(api: Server, tenant: Tenant, memory: tuple[str, str]) -> None:
    path, _ = memory
    anything = {"If-Match": "*"}
    assert api.call("PATCH", path, tenant.full, {"kind": "k"}, headers=anything).status_code == 200
    assert api.call("DELETE", path, tenant.full, headers=anything).status_code == 200
    assert api.call("DELETE", path, tenant.full, headers=anything).status_code == 404


def test_of_two_who_change_the_same_version_one_is_refused(
    api: Server, tenant: Tenant, memory: tuple[str, str]
) -> None:
    path, first = memory
    statuses: list[int] = []

    def change(number: int) -> None:
        body = {"content": f"by {number}"}
        statuses.append(api.call("PATCH", path, tenant.full, body, headers={"If-Match": first}).status_code)

    threads = [threading.Thread(target=change, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200, 412, 412, 412]


def add_jobs(api: Server, tenant: Tenant, count: int, *, first: int = 0) -> None:
    bodies = [event_body(tenant.project, occurredAtEpoch=first + number) for number in range(count)]
    api.ok("POST", "/v1/events/batch", tenant.full, bodies, status=201)


def test_pages_of_jobs_stay_right_while_jobs_are_added(api: Server, tenant: Tenant) -> None:
    add_jobs(api, tenant, 7)
    whole = [job["id"] for job in api.ok("GET", "/v1/jobs", tenant.full)["jobs"]]
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = api.ok("GET", f"/v1/jobs?limit=3&cursor={cursor}", tenant.full)
        assert page.keys() == {"jobs", "limit", "nextCursor", "requestId"}
        seen += [job["id"] for job in page["jobs"]]
        cursor = page["nextCursor"]
        add_jobs(api, tenant, 2, first=100 + len(seen) * 10)
    assert seen == whole


@pytest.mark.parametrize("path", ["/v1/teams/{}/jobs", "/v1/projects/{}/jobs"])
def test_other_lists_of_jobs_have_cursors_too(api: Server, tenant: Tenant, path: str) -> None:
    add_jobs(api, tenant, 3)
    at = path.format(tenant.team if "teams" in path else tenant.project)
    first = api.ok("GET", f"{at}?cursor=&limit=2", tenant.full)
    assert first.keys() == {"jobs", "limit", "nextCursor"}
    second = api.ok("GET", f"{at}?limit=2&cursor={first['nextCursor']}", tenant.full)
    assert (len(second["jobs"]), second["nextCursor"]) == (1, None)
    assert api.call("GET", f"{at}?cursor=nonsense", tenant.full).status_code == 400


def test_filters_hold_on_every_page(api: Server, tenant: Tenant) -> None:
    add_jobs(api, tenant, 3)
    job = api.ok("GET", "/v1/jobs", tenant.full)["jobs"][1]["id"]
    api.ok("POST", f"/v1/jobs/{job}/cancel", tenant.full)
    page = api.ok("GET", "/v1/jobs?cursor=&status=cancelled", tenant.full)
    assert [found["id"] for found in page["jobs"]] == [job]
    strange = api.tenant()
    assert api.ok("GET", "/v1/jobs?cursor=", strange.full)["jobs"] == []


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def limited(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    kind: Storage = request.param
    environ = {"CLAUDE_MEM_RATE_LIMIT_PER_MIN": "2", "CLAUDE_MEM_GENERATION_DISABLED": "1"}
    directory = tmp_path_factory.mktemp("limited")
    with Server(directory, database_url=database_url(request, kind), environ=environ) as server:
        yield server


def test_a_limited_key_is_told_how_it_stands(limited: Server) -> None:
    tenant = limited.tenant()
    answers = [limited.call("GET", "/v1/usage", tenant.full) for _ in range(6)]
    assert [answer.status_code for answer in answers[:2]] == [200] * 2
    for answer in answers:
        assert answer.headers["RateLimit-Policy"] == '"minute";q=2;w=60'
        stands = re.fullmatch(r'"minute";r=(\d+);t=(\d+)', answer.headers["RateLimit"])
        assert stands is not None
        assert stands[1] == answer.headers["X-RateLimit-Remaining"]
        assert int(stands[2]) <= 60
    # Whenever the minute turns, one of its parts is over the limit.
    assert 429 in {answer.status_code for answer in answers}


def test_replayed_answers_count_too(limited: Server) -> None:
    tenant = limited.tenant()
    headers = {"Idempotency-Key": "k"}
    body: Any = {"projectId": tenant.project, "content": "c"}
    answers = [limited.call("POST", "/v1/memories", tenant.full, body, headers=headers) for _ in range(6)]
    assert [answer.status_code for answer in answers[:2]] == [201] * 2
    # Whenever the minute turns, one of its parts is over the limit.
    assert 429 in {answer.status_code for answer in answers}
