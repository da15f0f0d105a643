"""Many failed jobs are queued again by one call: which ones, whose, what is written down, and who else is at it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from claude_mem.model.documents import Document
from claude_mem.model.errors import Unavailable
from claude_mem.model.records import JobStatus
from claude_mem.model.times import now_us
from claude_mem.queue.local import DisabledQueue
from claude_mem.services import jobs as jobs_service
from claude_mem.services.ingest import IngestService
from claude_mem.services.jobs import JobService
from claude_mem.services.steering import Operator
from claude_mem.storage import failed_jobs, jobs, work
from claude_mem.storage.database import Database, Executor
from tests.services.test_cli_operating import CommandLine, audited, cli, end_job, make_job
from tests.support.databases import Storage
from tests.support.engines import actions, asking, ended, find, history, job_for, working
from tests.support.fake_llm import FakeLlm
from tests.support.http import Server, Tenant
from tests.support.load import World

__all__ = ["cli"]

REDRIVE = "/v1/jobs/redrive"
CLI = Operator("cli_operator")


def broken(api: Server, tenant: Tenant, classification: str) -> str:
    """A failed job."""
    job_id = make_job(api, tenant)
    end_job(api, job_id, error={"reason": "no", "classification": classification})
    return job_id


def status(api: Server, tenant: Tenant, job_id: str) -> str:
    return str(api.ok("GET", f"/v1/jobs/{job_id}", tenant.full)["generationJob"]["status"])


def test_http_and_the_command_line_redrive_alike(api: Server, cli: CommandLine) -> None:
    tenant = api.tenant()
    first = broken(api, tenant, "transient")
    second, refused = broken(api, tenant, "transient"), broken(api, tenant, "auth_invalid")

    looked = api.ok("POST", REDRIVE, tenant.full, {"classification": "transient", "dryRun": True})
    assert looked.pop("requestId")
    assert looked == {
        "dryRun": True,
        "matched": 2,
        "redriven": 0,
        "remaining": 2,
        "jobIds": [first, second],
    }
    named = ("--team", tenant.team, "--classification", "transient")
    shown = cli.json("jobs", "redrive", "--dry-run", *named)
    assert shown == {"scope": {"team": tenant.team, "project": None}, "action": "redrive"} | looked
    assert {status(api, tenant, job) for job in (first, second, refused)} == {"failed"}

    done = api.ok("POST", REDRIVE, tenant.full, {"classification": "transient", "limit": 1})
    assert (done["matched"], done["redriven"], done["remaining"], done["jobIds"]) == (2, 1, 1, [first])
    done = cli.json("jobs", "redrive", *named)
    assert (done["matched"], done["redriven"], done["remaining"], done["jobIds"]) == (1, 1, 0, [second])
    assert [status(api, tenant, job) for job in (first, second, refused)] == ["queued", "queued", "failed"]

    for job_id, source in ((first, "operator_redrive"), (second, "cli_operator_redrive")):
        row = cli.json("jobs", "inspect", job_id)
        assert (row["payload"]["retried_count"], row["last_error"], row["attempts"]) == (1, None, 1)
        last = row["history"][-1]
        assert (last["event_type"], last["status_after"], last["details"]) == (
            "queued",
            "queued",
            {"source": source},
        )
        (entry,) = audited(api, "generation_job.retried_by_operator", job_id)
        assert (entry["previousStatus"], entry["currentStatus"]) == ("failed", "queued")
        assert (entry["outcome"], entry["retriedCount"]) == ("requeued", 1)
    assert cli.json("jobs", "inspect", first)["payload"]["last_retried_by_actor"] == tenant.ids["full"]
    assert cli.json("jobs", "inspect", second)["payload"]["last_retried_by"] == "cli_operator"


def test_only_failures_of_the_keys_own_reach_are_meant(api: Server, cli: CommandLine) -> None:
    tenant, other = api.tenant(), api.tenant()
    mine, theirs = broken(api, tenant, "transient"), broken(api, other, "transient")
    cancelled = make_job(api, tenant)
    api.ok("POST", f"/v1/jobs/{cancelled}/cancel", tenant.full)
    assert api.ok("POST", REDRIVE, tenant.sibling_key)["matched"] == 0
    assert api.ok("POST", REDRIVE, tenant.full, {"projectId": tenant.sibling})["matched"] == 0
    assert cli.json("jobs", "redrive", "--project", tenant.sibling)["matched"] == 0
    assert cli.json("jobs", "redrive", "--team", tenant.team, "--project", other.project)["matched"] == 0
    assert api.ok("POST", REDRIVE, tenant.full)["jobIds"] == [mine]
    assert status(api, other, theirs) == "failed"
    assert status(api, tenant, cancelled) == "cancelled"


def test_lane_and_time_narrow(api: Server, cli: CommandLine) -> None:
    tenant = api.tenant()
    job_id = broken(api, tenant, "transient")
    failed_ms = api.ok("GET", f"/v1/jobs/{job_id}", tenant.full)["generationJob"]["failedAtEpoch"]
    later, team = "2999-01-01T00:00:00Z", ("--team", tenant.team)
    assert failed_ms < now_us()
    for body in ({"lane": "summary"}, {"since": later}, {"until": "2001-01-01"}):
        assert api.ok("POST", REDRIVE, tenant.full, body)["matched"] == 0
        ((name, value),) = body.items()
        assert cli.json("jobs", "redrive", *team, f"--{name}", value)["matched"] == 0
    wide = {"lane": "event", "since": "2001-01-01", "until": later}
    assert api.ok("POST", REDRIVE, tenant.full, wide)["jobIds"] == [job_id]


@pytest.mark.parametrize(
    ("body", "member"),
    [
        ({"lane": "other"}, "lane"),
        ({"since": "yesterday-ish"}, "since"),
        ({"until": 12}, "until"),
        ({"limit": 0}, "limit"),
        ({"limit": 10_001}, "limit"),
        ({"dryRun": 1}, "dryRun"),
        ({"classification": ""}, "classification"),
    ],
)
def test_a_filter_that_cannot_be_meant_changes_nothing(
    api: Server, tenant: Tenant, body: dict[str, Any], member: str
) -> None:
    answer = api.call("POST", REDRIVE, tenant.full, body)
    assert (answer.status_code, answer.json()["issues"][0]["path"]) == (400, [member])


def test_the_command_line_refuses_what_http_does(cli: CommandLine, tenant: Tenant) -> None:
    team = ("--team", tenant.team)
    assert "--since is not a time" in cli.refused("jobs", "redrive", *team, "--since", "soon", status=2)
    for wrong in (("--lane", "other"), ("--limit", "0"), ("--limit", "10001")):
        cli.refused("jobs", "redrive", *team, *wrong, status=2)


@pytest.fixture
async def failed(database: Database, world: World) -> list[str]:
    """Ids of twenty failed jobs."""
    ingest = IngestService(database, DisabledQueue())
    names = [await job_for(ingest, world, number) for number in range(20)]
    await ingest.close()
    terms = work.ClaimTerms(worker="test", lease_us=60_000_000, mates=1, patience_us=0)
    assert len(await work.claim(database, terms, limit=100, now_us=now_us() + 10_000_000)) == len(names)
    error = Document.of({"reason": "no", "classification": "transient"})
    setbacks = [work.Setback(name, "failed", error) for name in names]
    await work.set_back(database, setbacks, now_us=now_us())
    return names


async def redrive(database: Database, *, limit: int = 1_000) -> jobs_service.Redriven:
    service = JobService(database, DisabledQueue())
    return await service.redrive(failed_jobs.FailedFilter(), CLI, limit=limit, dry_run=False)


async def test_redrives_at_the_same_time_share_the_jobs(
    storage: Storage,
    database: Database,
    failed: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(jobs_service, "REDRIVE_TOGETHER", 3)
    other = await storage.open()
    done = await asyncio.gather(*[redrive(database if number % 2 else other) for number in range(4)])
    taken = [job_id for each in done for job_id in each.job_ids]
    assert sorted(taken) == sorted(failed), "each by one of them"
    assert [line for name in failed for line in await history(database, name)].count(("queued", 1)) == len(
        failed
    )
    for name in failed:
        job = await find(database, name)
        assert (job.status, job.payload.members["retried_count"]) == (JobStatus.QUEUED, 1)
    told = await actions(storage)
    assert told.count("generation_job.retried_by_operator") == len(failed)


@pytest.mark.usefixtures("impatient")
async def test_workers_take_what_is_redriven_while_it_goes_on(
    storage: Storage,
    database: Database,
    failed: list[str],
    llm: FakeLlm,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(jobs_service, "REDRIVE_TOGETHER", 2)
    async with working(database, asking(llm)):
        done = await redrive(await storage.open())
        ends = [await ended(database, name) for name in failed]
    assert {job.status for job in ends} == {JobStatus.COMPLETED}
    assert (done.matched, done.redriven, done.remaining) == (len(failed), len(failed), 0)
    assert llm.count == len(failed)


class Breaking:
    """A database that goes away after so many transactions."""

    def __init__(self, database: Database, *, after: int) -> None:
        self._database = database
        self._left = after

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Executor]:
        self._left -= 1
        async with self._database.transaction() as executor:
            yield executor
            if self._left < 0:
                raise Unavailable("the database went away", dependency="postgres")


async def test_a_redrive_that_was_cut_short_is_repeated(
    database: Database, failed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs_service, "REDRIVE_TOGETHER", 5)
    breaking: Any = Breaking(database, after=2)
    with pytest.raises(Unavailable):
        await redrive(breaking)
    assert await jobs.count_by_status(database, team_id=None, project_id=None) == {"queued": 10, "failed": 10}
    done = await redrive(database)
    assert (done.matched, done.redriven, done.remaining) == (10, 10, 0)
    for name in failed:
        assert await history(database, name) == [("queued", 0), ("queued", 1)]
