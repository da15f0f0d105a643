"""The engine of a worker: takes due jobs from the database and makes a bounded number of calls at a time.

It runs inside the HTTP server in local development, and alone in a worker process. Nothing is kept in memory that the
database does not know: when the process dies, leases run out and another engine goes on.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from claude_mem.model.errors import ClaudeMemError, Unavailable
from claude_mem.model.times import now_us
from claude_mem.services import trail
from claude_mem.services.outcomes import Taken, taken_of
from claude_mem.storage import audit, jobs, work
from claude_mem.storage.database import Database, Executor, Retryable, StorageError, run_transaction
from claude_mem.telemetry import metrics
from claude_mem.worker.expiry import sweep
from claude_mem.worker.leases import Leases
from claude_mem.worker.load import Load
from claude_mem.worker.places import Places
from claude_mem.worker.telling import told

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence
    from typing import Any

    from claude_mem.model.records import Job
    from claude_mem.services.calls import Call
    from claude_mem.services.generating import Generator
    from claude_mem.worker.leases import HandedBack
    from claude_mem.worker.options import EngineOptions

logger = logging.getLogger(__name__)

#: Seconds after which an idle engine looks for jobs that nobody told it of.
POLL_S = 1.0

#: Seconds for which a busy engine lets further calls end before it takes jobs for their places.
GATHER_S = 0.01

#: Calls that wait, are under way, and are being stored, as a multiple of the calls that may be under way.
STORING_MOST = 3


class Engine:
    """Works jobs off until it is stopped."""

    def __init__(self, database: Database, generator: Generator, options: EngineOptions) -> None:
        self._database = database
        self._generator = generator
        self._options = options
        self._news = asyncio.Event()
        self._stopping = asyncio.Event()
        self._leases = Leases(database, lease_us=options.lease_us, heartbeat_s=options.heartbeat_s)
        self._tasks: set[asyncio.Task[None]] = set()
        self._probes: set[asyncio.Task[None]] = set()
        self._places = Places(options.concurrency, freed=self._place_freed)
        self._load = Load(options.load)
        metrics.CONCURRENCY.set(options.concurrency)
        self.room = threading.Event()
        self.room.set()

    @property
    def worker(self) -> str:
        return self._options.worker

    @property
    def provider_name(self) -> str:
        return self._generator.provider.name

    def wake(self) -> None:
        """Say that there may be something to do."""
        self._news.set()

    def stop(self) -> None:
        """Take no more jobs; `run` ends once those under way are finished or handed back."""
        self._stopping.set()
        self._news.set()

    async def run(self) -> None:
        """Work until `stop` is called."""
        async with asyncio.TaskGroup() as tasks:
            keeping = [
                tasks.create_task(self._leases.keep()),
                tasks.create_task(sweep(self._database, self._news.set)),
            ]
            try:
                await self._take_jobs()
                await self._drain()
            finally:
                for task in (*keeping, *self._tasks):
                    task.cancel()

    async def _take_jobs(self) -> None:
        while not self._stopping.is_set():
            self._news.clear()
            claimed = await self._take() if self._free > 0 else False
            if not claimed or self._free <= 0:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._pause_s):
                        await self._news.wait()
                if self._free < self._options.concurrency // 2:
                    # Others end at about the same time, and taking jobs costs little more for many than for one.
                    await asyncio.sleep(GATHER_S)

    @property
    def _free(self) -> int:
        """Calls to take jobs for: what is being stored does not keep a provider waiting, unless much of it is."""
        if self._load.is_full:
            return 0
        return min(self._places.wanted, STORING_MOST * self._options.concurrency - len(self._tasks))

    @property
    def _pause_s(self) -> float:
        """Seconds until the next look: as long as an idle engine waits, or until a provider may be probed."""
        wait_s = self._generator.admission.wait_s
        return min(POLL_S, wait_s) if wait_s > 0 else POLL_S

    async def _take(self) -> bool:
        """Take due jobs and begin with them; whether there were any.

        While no provider lets calls through none are taken, and then one at a time, to find out whether it is back:
        what is taken only to be put back would fill the jobs' histories.
        """
        most = self._generator.admission.calls
        if most is not None and most <= len(self._probes):
            return False
        try:
            claimed = await self._claim(self._free if most is None else most)
        except (ClaudeMemError, StorageError) as error:
            logger.warning("no jobs can be taken", extra={"reason": type(error).__name__})
            return False
        except Exception:
            logger.exception("taking jobs met an unexpected error")
            return False
        if claimed:
            taken = [Taken(job, jobs.Claim(job.id, job.attempts, self.worker)) for job in claimed]
            await self._plan_all(taken, probing=most is not None)
        return bool(claimed)

    async def _plan_all(self, group: list[Taken], *, probing: bool) -> None:
        before = set(self._tasks)
        await self._plan(group)
        if probing:
            self._probes |= self._tasks - before

    async def _plan(self, group: list[Taken]) -> None:
        try:
            plan = await self._generator.plan(group, room=self._load.room)
        except (Unavailable, Retryable) as error:
            logger.warning("jobs are handed back", extra={"reason": type(error).__name__})
            self._begin(group, self._hand_back(group, reason="database_unavailable"))
            return
        except Exception as error:
            await self._plan_apart(group, error)
            return
        for outcome in plan.settled:
            self._begin(taken_of(outcome), self._generator.settle(outcome))
        for call in plan.calls:
            self._ask(call)
        for call_id, (kept, document) in plan.kept.items():
            self._begin(kept, self._generator.use(kept, call_id, document))
        if plan.left:
            self._put_by(plan.left)

    def _put_by(self, left: list[Taken]) -> None:
        """Keep jobs whose texts have no room beside those of the calls under way, and plan them when there is some."""

        async def plan() -> None:
            await self._load.lighter()
            if self._stopping.is_set():
                await self._hand_back(left, reason="worker_stopping")
            else:
                await self._plan_all(left, probing=task in self._probes)

        task = self._begin(left, plan())
        self._load.wait(task)
        self._tell_room()
        self._leases.call(task)

    async def _plan_apart(self, group: list[Taken], error: Exception) -> None:
        """Plan each half of a group alone, down to the job that cannot be planned: it is set back, the others go on."""
        if len(group) > 1:
            middle = len(group) // 2
            await self._plan(group[:middle])
            await self._plan(group[middle:])
            return
        logger.warning(
            "a job cannot be planned", extra={"jobId": group[0].job.id, "reason": type(error).__name__}
        )
        self._begin(group, self._generator.set_back(group, error))

    async def _claim(self, limit: int) -> list[Job]:
        async def take(transaction: Executor) -> list[Job]:
            now = now_us()
            taken = await work.claim(transaction, self._options.terms, limit=limit, now_us=now)
            if taken:
                details = {"workerId": self.worker}
                lines = [trail.line(job, "processing", "processing", details, at_us=now) for job in taken]
                await jobs.append_events(transaction, lines)
                await audit.append(transaction, [trail.processing_entry(job) for job in taken], now_us=now)
            return taken

        taken = await run_transaction(self._database, take)
        now_ms = now_us() // 1000
        for job in taken:
            if job.attempts == 1:
                metrics.JOB_WAIT_SECONDS.labels(job.lane).observe(max(0, now_ms - job.created_ms) / 1000)
        return taken

    def _ask(self, call: Call) -> None:
        """Begin a call; its place is free again once the provider has answered."""
        place = self._places.reserve()

        def over() -> None:
            place.leave()
            self._leases.called(task)

        async def make() -> None:
            await place.enter()
            if self._stopping.is_set():
                over()
                await self._hand_back(call.taken, reason="worker_stopping")
            else:
                await self._generator.make(call, over=over)

        task = self._begin(call.taken, make(), size=call.size)
        task.add_done_callback(lambda _: place.leave())
        self._leases.call(task)

    def _place_freed(self) -> None:
        self._tell_room()
        self._news.set()

    def _tell_room(self) -> None:
        """Let transports know whether news of jobs is of use here, or better left to others."""
        if self._free > 0:
            self.room.set()
        else:
            self.room.clear()

    def _begin(
        self, taken: Sequence[Taken], doing: Coroutine[Any, Any, None], *, size: int = 0
    ) -> asyncio.Task[None]:
        task = asyncio.create_task(self._work(taken, doing), name=f"call:{taken[0].job.id}")
        self._tasks.add(task)
        self._load.hold(task, size)
        self._tell_room()
        self._leases.begin([each.claim for each in taken], task)
        task.add_done_callback(lambda done: self._finished(done, taken))
        return task

    def _finished(self, task: asyncio.Task[None], taken: Sequence[Taken]) -> None:
        self._tasks.discard(task)
        self._probes.discard(task)
        self._load.drop(task)
        self._tell_room()
        self._leases.end([each.claim for each in taken], task)
        self._news.set()

    async def _work(self, taken: Sequence[Taken], doing: Coroutine[Any, Any, None]) -> None:
        with told(taken):
            await self._do(taken, doing)

    async def _do(self, taken: Sequence[Taken], doing: Coroutine[Any, Any, None]) -> None:
        try:
            await doing
        except (Unavailable, Retryable) as error:
            # Nothing was paid for yet.
            logger.warning("jobs are handed back", extra={"reason": type(error).__name__})
            await self._hand_back(taken, reason="database_unavailable")
        except StorageError as error:
            # Without its traceback, which leads to an error that may quote what was to be stored.
            logger.warning("an answer cannot be stored", extra={"reason": type(error).__name__})
            await self._generator.give_up(taken, error)
        except Exception as error:
            logger.exception("a call met an unexpected error", extra={"jobId": taken[0].job.id})
            await self._generator.give_up(taken, error)

    async def _drain(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._options.grace_s):
                while self._tasks:
                    await asyncio.wait(list(self._tasks))
        left = self._leases.claims
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for claimed in left:
            await self._leases.offer(claimed, reason="worker_stopping")

    async def _hand_back(self, taken: Sequence[Taken], *, reason: HandedBack) -> None:
        await self._leases.hand_back([each.claim for each in taken], reason=reason)
