"""Engines over a test's database, and what the tests ask about their jobs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from claude_mem.generation.mode import ModeLibrary
from claude_mem.generation.port import Provider
from claude_mem.generation.prices import PriceList
from claude_mem.generation.providers import build_provider
from claude_mem.model.records import Job
from claude_mem.model.times import now_us
from claude_mem.queue.local import DisabledQueue
from claude_mem.services.budgets import BudgetService
from claude_mem.services.generating import Generator
from claude_mem.services.ingest import IngestService
from claude_mem.services.publishing import JobTerms
from claude_mem.services.requests import CallTerms
from claude_mem.storage import jobs
from claude_mem.storage.database import Database
from claude_mem.worker import engine as engine_module
from claude_mem.worker import expiry, leases
from claude_mem.worker.engine import Engine
from claude_mem.worker.options import EngineOptions
from tests.support.databases import Storage
from tests.support.fake_llm import FakeLlm
from tests.support.load import SOURCE, World, until

RETRY_BASE_S = 0.05
#: With leases that no busy machine lets run out.
OPTIONS = EngineOptions(
    worker="server-beta-worker-1", concurrency=8, mates=16, lease_s=120, heartbeat_s=0.1, grace_s=5
)


@pytest.fixture
async def llm() -> AsyncIterator[FakeLlm]:
    """A model's server."""
    async with FakeLlm() as running:
        yield running


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Engines that look for work and for lost leases much more often than in production."""
    monkeypatch.setattr(engine_module, "POLL_S", 0.05)
    monkeypatch.setattr(expiry, "SWEEP_S", 0.1)
    monkeypatch.setattr(leases, "AGAIN_S", 0.05)


@pytest.fixture
def job_terms() -> JobTerms:
    """What the jobs of `ingest` are made with."""
    return JobTerms()


@pytest.fixture
async def ingest(database: Database, job_terms: JobTerms) -> AsyncIterator[IngestService]:
    """What takes events in, and wakes nobody."""
    service = IngestService(database, DisabledQueue(), terms=job_terms)
    yield service
    await service.close()


def call_terms(*, events: int = OPTIONS.mates, tokens: int = 18_000) -> CallTerms:
    return CallTerms(
        mode=ModeLibrary([]).load("code"), language=None, events=events, tokens=tokens, skips_trivial=False
    )


def asking(llm: FakeLlm, *, model: str = "m") -> Provider:
    return build_provider(name="openrouter", model=model, api_key="k", base_url=llm.url, timeout_s=120)


def make_engine(
    database: Database, provider: Provider, *, daily_tokens: int | None = None, **changes: Any
) -> Engine:
    options = replace(OPTIONS, **changes)
    terms = call_terms(events=options.mates)
    budgets = BudgetService(database, prices=PriceList.load(), default_daily_tokens=daily_tokens)
    generator = Generator(database, provider, terms, budgets, retry_base_s=RETRY_BASE_S)
    return Engine(database, generator, options)


@asynccontextmanager
async def working(database: Database, provider: Provider, **changes: Any) -> AsyncIterator[Engine]:
    """An engine that runs for as long as the block."""
    engine = make_engine(database, provider, **changes)
    task = asyncio.create_task(engine.run())
    try:
        yield engine
    finally:
        engine.stop()
        await task
        await provider.close()


async def job_for(ingest: IngestService, world: World, number: int, **changes: Any) -> str:
    """The id of the job of a new event."""
    received = world.event(number, **changes)
    stored = await ingest.ingest(world.caller, received, generate=True, source=SOURCE)
    assert stored.job is not None
    return stored.job.id


async def find(database: Database, job_id: str) -> Job:
    job = await jobs.find_anywhere(database, job_id)
    assert job is not None
    return job


async def asked(llm: FakeLlm, times: int) -> None:
    """Wait until a model was asked so often."""

    async def enough() -> bool:
        return llm.count >= times

    await until(enough, what=f"{times} calls")


async def lose_lease(database: Database, job_id: str) -> None:
    """Let the lease of a job be over, as if its worker had been silent."""
    job = await find(database, job_id)
    assert job.locked_by is not None
    claimed = jobs.Claim(job_id, job.attempts, job.locked_by)
    assert await jobs.heartbeat(database, [claimed], lease_us=-1_000_000, now_us=now_us())


async def ended(database: Database, job_id: str) -> Job:
    async def final() -> Job | None:
        job = await find(database, job_id)
        return job if job.status.is_final else None

    found = await until(final, what=f"the end of {job_id}")
    assert found is not None
    return found


async def history(database: Database, job_id: str) -> list[tuple[str, int]]:
    return [(line.event_type, line.attempt) for line in await jobs.history(database, job_id)]


async def actions(storage: Storage) -> list[str]:
    found = await storage.query("select action from audit_log order by created_at, action")
    return [row[0] for row in found]
