"""What routes of jobs answer: exact members, statuses, and filters as existing clients write them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.http import Server, Tenant, client_of
from tests.support.shapes import JOB_FULL, JOB_LISTED, job_of


def test_a_job_and_its_history(api: Server, tenant: Tenant) -> None:
    job_id = job_of(api, tenant)
    job = api.ok("GET", f"/v1/jobs/{job_id}", tenant.full)
    assert job.keys() == {"generationJob"}
    assert job["generationJob"].keys() == JOB_FULL
    assert job["generationJob"]["jobType"] == "observation_generate_for_event"
    assert (job["generationJob"]["attempts"], job["generationJob"]["maxAttempts"]) == (0, 3)
    assert job["generationJob"]["lastError"] is None
    missing = api.call("GET", "/v1/jobs/none", tenant.full)
    assert (missing.status_code, missing.json()) == (
        404,
        {"error": "NotFound", "message": "Generation job not found"},
    )


def test_job_lists(api: Server, tenant: Tenant) -> None:
    jobs = [job_of(api, tenant) for _ in range(3)]
    session = api.ok("POST", "/v1/sessions/start", tenant.full, {"projectId": tenant.project}, status=201)
    jobs.append(
        api.ok("POST", f"/v1/sessions/{session['session']['id']}/end", tenant.full)["generationJob"]["id"]
    )
    api.ok("POST", f"/v1/jobs/{jobs[0]}/cancel", tenant.full)
    listed = api.ok("GET", "/v1/jobs", tenant.full)
    assert listed.keys() == {"jobs", "total", "limit", "offset", "requestId"}
    assert [job["id"] for job in listed["jobs"]] == jobs[::-1]
    assert all(job.keys() == JOB_LISTED for job in listed["jobs"])
    assert (listed["total"], listed["limit"], listed["offset"]) == (4, 50, 0)
    for path in (f"/v1/teams/{tenant.team}/jobs", f"/v1/projects/{tenant.project}/jobs"):
        assert api.ok("GET", path, tenant.full) == {
            name: value for name, value in listed.items() if name != "requestId"
        }


@pytest.mark.parametrize(
    ("query", "count", "limit", "offset"),
    [
        ("limit=2.9", 2, 2, 0),
        ("limit=3abc", 3, 3, 0),
        ("limit=0", 1, 1, 0),
        ("limit=-3", 1, 1, 0),
        ("limit=1000", 4, 200, 0),
        ("limit=abc", 4, 50, 0),
        ("limit=%201", 1, 1, 0),
        ("limit=1&limit=2", 4, 50, 0),
        ("offset=3", 1, 50, 3),
        ("offset=-1", 4, 50, 0),
        ("offset=1e3", 3, 50, 1),
        ("status=cancelled", 1, 50, 0),
        ("status=%20cancelled%20", 1, 50, 0),
        ("status=CANCELLED", 4, 50, 0),
        ("status=cancelled&status=queued", 4, 50, 0),
        ("source_type=session_summary", 1, 50, 0),
        ("source_type=observation_reindex", 0, 50, 0),
        ("source_type=manual", 4, 50, 0),
        ("since=2000-01-01", 4, 50, 0),
        ("since=2999", 0, 50, 0),
        ("since=not%20a%20date", 4, 50, 0),
    ],
)
def test_job_lists_read_their_filters_as_javascript_does(
    api: Server, filtered: Tenant, query: str, count: int, limit: int, offset: int
) -> None:
    listed = api.ok("GET", f"/v1/jobs?{query}", filtered.full)
    assert (len(listed["jobs"]), listed["limit"], listed["offset"]) == (count, limit, offset)


def test_an_offset_beyond_all_numbers_is_moved_into_them(api: Server, tenant: Tenant) -> None:
    listed = api.ok("GET", "/v1/jobs?offset=99999999999999999999", tenant.full)
    assert (listed["jobs"], listed["offset"]) == ([], 2**53 - 1)


@pytest.fixture(scope="module")
def filtered(api: Server) -> Tenant:
    """A team with two queued event jobs, a cancelled one, and a summary's."""
    tenant = api.tenant("filtered")
    jobs = [job_of(api, tenant) for _ in range(3)]
    session = api.ok("POST", "/v1/sessions/start", tenant.full, {"projectId": tenant.project}, status=201)
    api.ok("POST", f"/v1/sessions/{session['session']['id']}/end", tenant.full)
    api.ok("POST", f"/v1/jobs/{jobs[0]}/cancel", tenant.full)
    return tenant


def test_retry_and_cancel(api: Server, tenant: Tenant) -> None:
    job_id = job_of(api, tenant)

    def steer(operation: str) -> Any:
        return api.ok("POST", f"/v1/jobs/{job_id}/{operation}", tenant.full)

    queued = steer("retry")
    assert queued.keys() == {"generationJob", "retriedCount", "alreadyQueued", "requestId"}
    assert queued["generationJob"].keys() == JOB_FULL
    assert (queued["alreadyQueued"], queued["retriedCount"]) == (True, 0)
    cancelled = steer("cancel")
    assert cancelled.keys() == {"generationJob", "alreadyCancelled", "requestId"}
    assert (cancelled["generationJob"]["status"], cancelled["alreadyCancelled"]) == ("cancelled", False)
    assert cancelled["generationJob"]["cancelledAtEpoch"] is not None
    assert steer("cancel")["alreadyCancelled"] is True
    retried = steer("retry")
    assert (retried["generationJob"]["status"], retried["retriedCount"]) == ("queued", 1)
    assert retried["generationJob"]["cancelledAtEpoch"] is None
    history = api.ok("GET", f"/v1/jobs/{job_id}/events", tenant.full)
    assert history.keys() == {"jobId", "events"}
    assert [line["eventType"] for line in history["events"]] == ["queued", "cancelled", "queued"]
    assert [line["details"]["source"] for line in history["events"]] == [
        "http_post_v1_events",
        "operator_cancel",
        "operator_retry",
    ]


async def test_retries_and_cancels_at_once_are_counted_once(api: Server, tenant: Tenant) -> None:
    job_id = job_of(api, tenant)
    api.ok("POST", f"/v1/jobs/{job_id}/cancel", tenant.full)
    headers = {"X-Api-Key": tenant.full}
    async with client_of(api) as client:
        retries = await asyncio.gather(
            *(client.post(f"/v1/jobs/{job_id}/retry", headers=headers) for _ in range(15))
        )
        assert {answer.status_code for answer in retries} == {200}
        assert sum(not answer.json()["alreadyQueued"] for answer in retries) == 1
        cancels = await asyncio.gather(
            *(client.post(f"/v1/jobs/{job_id}/cancel", headers=headers) for _ in range(15))
        )
    assert sum(not answer.json()["alreadyCancelled"] for answer in cancels) == 1
    history = api.ok("GET", f"/v1/jobs/{job_id}/events", tenant.full)["events"]
    assert len(history) == 4
