"""What workers count, and how it gets to the server that Prometheus asks."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any, cast

import pytest

from claude_mem.generation.failover import FailoverProvider
from claude_mem.generation.prices import PriceList
from claude_mem.model.errors import Unavailable
from claude_mem.model.records import JobStatus
from claude_mem.model.times import now_us
from claude_mem.queue.local import DisabledQueue
from claude_mem.services.ingest import IngestService
from claude_mem.services.monitoring import Monitoring
from claude_mem.storage import jobs, worker_figures
from claude_mem.storage.database import Database, Executor, run_transaction
from claude_mem.telemetry import figures
from claude_mem.telemetry.declaring import REGISTRY
from claude_mem.worker.reporting import reporting
from tests.support.databases import Storage
from tests.support.engines import asked, asking, ended, job_for, working
from tests.support.fake_llm import MODES, Answer, FakeLlm
from tests.support.growth import Growth, counted
from tests.support.load import make_world, until

pytestmark = pytest.mark.usefixtures("impatient")

OPENROUTER = {"provider": "openrouter", "model": "m"}


async def test_calls_tokens_and_outcomes_are_counted(storage: Storage, llm: FakeLlm) -> None:
    database = await storage.open()
    world = await make_world(database)
    ingest = IngestService(database, DisabledQueue())
    growth = Growth()
    async with working(database, FailoverProvider([asking(llm)])):
        assert (await ended(database, await job_for(ingest, world, 1))).status is JobStatus.COMPLETED
        llm.script.append(MODES["bad_request"])
        assert (await ended(database, await job_for(ingest, world, 2))).status is JobStatus.FAILED

        async def settled() -> bool:
            outcomes = ("completed", "failed")
            return all(
                growth.of("claude_mem_jobs_settled_total", lane="event", outcome=outcome) == 1
                for outcome in outcomes
            )

        await until(settled, what="both to be counted")
    assert growth.of("claude_mem_provider_calls_total", **OPENROUTER, outcome="ok") == 1
    assert growth.of("claude_mem_provider_calls_total", **OPENROUTER, outcome="unrecoverable") == 1
    assert growth.of("claude_mem_provider_call_seconds_count", **OPENROUTER) == 2
    assert growth.of("claude_mem_provider_tokens_total", **OPENROUTER, kind="input") > 0
    assert growth.of("claude_mem_jobs_settled_total", lane="event", outcome="completed") == 1
    assert growth.of("claude_mem_job_failures_total", lane="event", classification="unrecoverable") == 1
    assert growth.of("claude_mem_generation_seconds_count", lane="event") == 1
    assert growth.of("claude_mem_job_wait_seconds_count", lane="event") == 2
    assert growth.of("claude_mem_observations_generated_total", lane="event") >= 1
    assert counted("claude_mem_worker_calls_in_progress") == 0
    assert counted("claude_mem_worker_concurrency") == 8


@pytest.mark.usefixtures("within_a_day")
@pytest.mark.parametrize("daily_tokens", [None, 1], ids=["answered", "budget spent"])
async def test_a_heartbeat_between_the_commit_and_its_news_takes_no_job_from_the_count(
    database: Database, llm: FakeLlm, monkeypatch: pytest.MonkeyPatch, daily_tokens: int | None
) -> None:
    world = await make_world(database)
    growth = Growth()
    committed, missed = asyncio.Event(), asyncio.Event()
    answered: list[bool] = []
    heartbeat = jobs.heartbeat

    async def slow_to_tell(*arguments: Any) -> object:
        stored = await run_transaction(*arguments)
        committed.set()
        async with asyncio.timeout(240):
            await missed.wait()
        return stored

    async def keep(executor: Executor, claims: Collection[jobs.Claim], **terms: int) -> set[str]:
        if committed.is_set():
            answered.append(bool(claims))
        if len(answered) == 3:
            missed.set()
        return await heartbeat(executor, claims, **terms)

    monkeypatch.setattr(jobs, "heartbeat", keep)
    ingest = IngestService(database, DisabledQueue())
    async with working(database, FailoverProvider([asking(llm)]), daily_tokens=daily_tokens):
        assert (await ended(database, await job_for(ingest, world, 1))).status is JobStatus.COMPLETED
        monkeypatch.setattr("claude_mem.services.generating.run_transaction", slow_to_tell)
        job_id = await job_for(ingest, world, 2)
        async with asyncio.timeout(240):
            await missed.wait()
        if daily_tokens is None:
            assert (await ended(database, job_id)).status is JobStatus.COMPLETED
    assert answered[:2] == [True, True]
    completed = growth.of("claude_mem_jobs_settled_total", lane="event", outcome="completed")
    assert (completed, llm.count) == ((2, 2) if daily_tokens is None else (1, 1))
    assert growth.of("claude_mem_worker_claims_lost_total") == 0


@pytest.mark.parametrize("heartbeat_s", [0.05, 0.0], ids=["now-and-then", "one-after-the-other"])
async def test_a_call_that_lost_its_claim_is_counted_once(
    database: Database, llm: FakeLlm, heartbeat_s: float
) -> None:
    world = await make_world(database)
    growth = Growth()
    llm.script.append(MODES["hang"])
    async with working(database, FailoverProvider([asking(llm)]), heartbeat_s=heartbeat_s) as engine:
        job_id = await job_for(IngestService(database, DisabledQueue()), world, 1)
        await asked(llm, 1)
        async with database.transaction() as transaction:
            await jobs.cancel(transaction, job_id, now_us=now_us())

        async def given_up() -> bool:
            return not engine._leases.claims

        await until(given_up, what="the call to be given up")
    assert growth.of("claude_mem_worker_claims_lost_total") == 1
    assert growth.of("claude_mem_worker_calls_in_progress") == 0


async def test_an_outcome_that_is_no_longer_wanted_is_not_counted(
    database: Database, llm: FakeLlm, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = await make_world(database)
    growth = Growth()

    asked = asyncio.Event()

    async def nothing_is_held(*_arguments: object) -> set[str]:
        asked.set()
        return set()

    monkeypatch.setattr("claude_mem.storage.work.hold", nothing_is_held)
    async with working(database, FailoverProvider([asking(llm)])):
        await job_for(IngestService(database, DisabledQueue()), world, 1)
        async with asyncio.timeout(240):
            await asked.wait()
    assert growth.of("claude_mem_jobs_settled_total", lane="event", outcome="completed") == 0


async def test_what_calls_cost_is_told_by_every_server(storage: Storage, llm: FakeLlm) -> None:
    database = await storage.open()
    ingest = IngestService(database, DisabledQueue())
    priced = {"provider": "openrouter", "model": "anthropic/claude-sonnet-4"}
    price = PriceList.load().price(priced["model"])
    assert price is not None
    growth = Growth()
    world = await make_world(database)
    for number, model in enumerate((priced["model"], "a-model-without-price"), 1):
        llm.script.append(Answer(usage=(2_000_000, 100_000)))
        async with working(database, FailoverProvider([asking(llm, model=model)])):
            assert (await ended(database, await job_for(ingest, world, number))).status is JobStatus.COMPLETED
    cost = float(2 * price.input + price.output / 10)
    assert growth.of("claude_mem_provider_cost_usd_total", **priced) == pytest.approx(cost)
    await worker_figures.report(database, "w-1", figures=figures.dump(), now_us=now_us())
    told = {
        sample.labels["worker"]: sample.value
        for family in (await Monitoring(database).figures()).collect()
        for sample in family.samples
        if sample.name == "claude_mem_provider_cost_usd_total"
        and priced.items() <= sample.labels.items()
        and "worker" in sample.labels
    }
    assert told == {"w-1": counted("claude_mem_provider_cost_usd_total", **priced)}
    unpriced = {"provider": "openrouter", "model": "a-model-without-price"}
    assert growth.of("claude_mem_provider_tokens_total", **unpriced, kind="input") == 2_000_000
    assert REGISTRY.get_sample_value("claude_mem_provider_cost_usd_total", unpriced) is None


async def test_a_worker_reports_until_it_ends_and_sweeps_up_after_others(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("claude_mem.worker.reporting.PARTING_S", 60.0)
    database = await storage.open()
    monitoring = Monitoring(database)
    await worker_figures.report(database, "long-gone", figures="[]", now_us=now_us() - 3_600_000_000)

    async def reported() -> str | None:
        return (await worker_figures.current(database, since_us=0, limit=9)).get("w-1")

    async with reporting(database, "w-1", every_s=0.02):
        first = await until(reported, what="a report")
        assert first is not None

        async def again() -> bool:
            return await reported() != first

        counter = REGISTRY.get_sample_value("process_cpu_seconds_total")
        assert counter is not None, "a worker's processor time is among its figures"
        await until(again, what="another report")
        told = {
            sample.labels["worker"]
            for family in (await monitoring.figures()).collect()
            for sample in family.samples
            if "worker" in sample.labels
        }
        assert told == {"w-1"}
    assert await worker_figures.current(database, since_us=0, limit=9) == {}


class Away:
    """A database that does not answer for as long as it is told not to."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.is_away = False
        self.refused = 0

    async def execute(self, statement: str, /, **parameters: object) -> int:
        if self.is_away:
            self.refused += 1
            raise Unavailable("away", dependency="postgres")
        return await self._database.execute(statement, **parameters)


async def test_a_worker_goes_on_reporting_when_the_database_is_back(storage: Storage) -> None:
    database = await storage.open()
    line = Away(database)
    line.is_away = True

    async def tried() -> bool:
        return line.refused >= 2

    async def reported() -> bool:
        return bool(await worker_figures.current(database, since_us=0, limit=9))

    async with reporting(cast("Database", line), "w-1", every_s=0.02):
        await until(tried, what="reports that fail")
        line.is_away = False
        await until(reported, what="a report")
        line.is_away = True
    assert await reported(), "what cannot be taken away falls silent by itself"
