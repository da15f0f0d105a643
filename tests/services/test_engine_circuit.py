"""While nobody can be asked, an engine takes no job: it finds out by one at a time, and nobody's attempts are spent."""

from __future__ import annotations

from typing import Any

import pytest

from claude_mem.generation.breaker import BreakerOptions
from claude_mem.generation.failover import FailoverProvider
from claude_mem.generation.port import CallAdmission, Provider
from claude_mem.model.records import Job, JobStatus
from claude_mem.queue.local import DisabledQueue
from claude_mem.services.ingest import IngestService
from claude_mem.storage import jobs
from claude_mem.storage.database import Database
from tests.support.databases import Storage
from tests.support.engines import asking, find, job_for, working
from tests.support.fake_llm import MODES, FakeLlm
from tests.support.load import make_world, until

pytestmark = pytest.mark.usefixtures("impatient")

PAUSE_S = 0.2
JOBS = 30


class Watched(FailoverProvider):
    """A provider on a clock of the test's, which counts how often it was looked at."""

    def __init__(self, *providers: Provider) -> None:
        self.now_s = 0.0
        self.looks = 0
        super().__init__(providers, breaker=BreakerOptions(pause_s=PAUSE_S), clock=lambda: self.now_s)

    @property
    def admission(self) -> CallAdmission:
        self.looks += 1
        return super().admission

    @property
    def is_closed(self) -> bool:
        return super().admission.calls != 0

    async def several_looks(self) -> None:
        """Wait until an engine had every chance to take jobs."""
        wanted = self.looks + 10

        async def enough() -> bool:
            return self.looks >= wanted

        await until(enough, what="an engine to look about")


async def total(storage: Storage, kind: str) -> int:
    """Lines of one kind in all the histories."""
    query = f"select count(*) from observation_generation_job_events where event_type = '{kind}'"
    ((count,),) = await storage.query(query)
    return int(count)


async def test_an_open_circuit_leaves_jobs_alone_until_one_call_finds_the_provider_well(
    storage: Storage, database: Database, llm: FakeLlm
) -> None:
    world = await make_world(database)
    ingest = IngestService(database, DisabledQueue())
    names = [await job_for(ingest, world, number) for number in range(JOBS)]
    await ingest.close()
    llm.respond = lambda _: MODES["transient"]
    provider = Watched(asking(llm))

    async def states() -> list[Job]:
        return [await find(database, name) for name in names]

    async def resting() -> bool:
        found = await states()
        return not provider.is_closed and all(job.status is not JobStatus.PROCESSING for job in found)

    async def probed(calls: int) -> None:
        """Let a pause go by, and wait for what comes of it."""
        provider.now_s += PAUSE_S

        async def heard() -> bool:
            return llm.count == calls and await resting()

        await until(heard, what="a probe")

    async with working(database, provider):
        await until(resting, what="the circuit to open")
        assert llm.count >= 10
        before: list[Job] = []

        async def still() -> bool:
            """Whether nothing moved for several looks: what was taken just before it opened is put back."""
            nonlocal before
            before = await states()
            await provider.several_looks()
            return await resting() and await states() == before

        await until(still, what="all jobs to be put back")
        asked, taken, put_back = llm.count, await total(storage, "processing"), await total(storage, "queued")
        await provider.several_looks()
        assert await states() == before, "nobody takes what it could only put back"
        assert await total(storage, "processing") == taken

        for number in range(1, 4):
            await probed(asked + number)
            await provider.several_looks()
            assert llm.count == asked + number, "one call finds out"
            assert await total(storage, "processing") == taken + number
        assert sum(job.attempts for job in await states()) == sum(job.attempts for job in before) + 3

        llm.respond = lambda _: MODES["ok"]
        provider.now_s += PAUSE_S

        async def done() -> bool:
            return all(job.status.is_final for job in await states())

        await until(done, what="the jobs to be done")
    after = await states()
    assert JobStatus.COMPLETED in {job.status for job in after}
    for job in after:
        if job.status is JobStatus.FAILED:
            assert (job.attempts, job.max_attempts) == (3, 3)
    assert await total(storage, "queued") == put_back, "nothing was put back since the circuit opened"
    assert await total(storage, "processing") - taken == llm.count - asked


async def test_one_provider_that_answers_is_enough(database: Database, llm: FakeLlm) -> None:
    world = await make_world(database)
    ingest = IngestService(database, DisabledQueue())
    names = [await job_for(ingest, world, number) for number in range(JOBS)]
    await ingest.close()
    async with FakeLlm(lambda _: MODES["transient"]) as broken:
        provider = Watched(asking(broken), asking(llm))
        async with working(database, provider):

            async def done() -> bool:
                found: dict[str, Any] = await jobs.count_by_status(database, team_id=None, project_id=None)
                return found == {"completed": JOBS}

            await until(done, what="the jobs to be done")
        assert broken.count < JOBS
    assert {(await find(database, name)).attempts for name in names} == {1}
