"""Jobs as people see and steer them: listed, shown, tried again, cancelled. HTTP and the command line share this."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from claude_mem.model.errors import Conflict, NotFound
from claude_mem.model.records import Job, JobStatus
from claude_mem.model.times import now_us
from claude_mem.services.paging import Page, page_of
from claude_mem.services.publishing import publish
from claude_mem.services.refusals import refuse_storage_errors
from claude_mem.services.signals import announce
from claude_mem.services.steering import Change, record, retries_of, retry_payload
from claude_mem.storage import audit, failed_jobs, jobs, rows
from claude_mem.storage.cursors import Cursor
from claude_mem.storage.database import Database, Executor, Retryable, run_transaction

if TYPE_CHECKING:
    from claude_mem.model.records import JobEvent
    from claude_mem.queue.port import Queue
    from claude_mem.services.context import RequestContext
    from claude_mem.services.steering import Operator

#: Jobs that one call redrives at most, unless it says otherwise, and whatever it says.
REDRIVE_DEFAULT: Final = 1_000
REDRIVE_MOST: Final = 10_000

#: Jobs that a redrive queues in one transaction; the first go to work while the others follow.
REDRIVE_TOGETHER: Final = 500


@dataclass(frozen=True, slots=True)
class Steered:
    """A job after somebody asked for something.

    Parameters:
        unchanged: it already was as wanted.
        retried: how often it was tried again by hand in all.
    """

    job: Job
    unchanged: bool
    retried: int = 0


@dataclass(frozen=True, slots=True)
class Redriven:
    """What came of a redrive.

    Parameters:
        matched: failed jobs that were meant when it began.
        job_ids: those that were queued again, or would be, the earliest failure first.
        dry_run: whether nothing was changed.
    """

    matched: int
    job_ids: list[str]
    dry_run: bool

    @property
    def redriven(self) -> int:
        """How many were queued again."""
        return 0 if self.dry_run else len(self.job_ids)

    @property
    def remaining(self) -> int:
        """How many that were meant are still failed."""
        return max(0, self.matched - self.redriven)


class JobService:
    """Shows and steers jobs."""

    def __init__(self, database: Database, queue: Queue) -> None:
        self._database = database
        self._queue = queue

    async def get(self, context: RequestContext, job_id: str) -> Job:
        """Raises: NotFound outside the caller's team or project."""
        job = await jobs.find(self._database, job_id, team_id=context.team_id)
        if job is None or not context.sees_project(job.project_id):
            raise NotFound("Generation job not found")
        return job

    async def history(self, job_id: str) -> list[JobEvent]:
        """What happened to a job, oldest first."""
        return await jobs.history(self._database, job_id)

    async def list_page(
        self, context: RequestContext, wanted: jobs.JobFilter, *, mode: str, limit: int, offset: int
    ) -> tuple[list[Job], int]:
        """Jobs, newest first, and how many there are in all.

        Parameters:
            mode: what the audit log calls the look.
        """
        with refuse_storage_errors():
            page = await jobs.list_page(self._database, wanted, limit=limit, offset=offset)
            total = await jobs.count(self._database, wanted)
            await self._audit_list(
                context, wanted, mode=mode, limit=limit, offset=offset, resultCount=len(page)
            )
        return page, total

    async def list_behind(
        self, context: RequestContext, wanted: jobs.JobFilter, *, mode: str, cursor: str, limit: int
    ) -> Page[Job]:
        """Jobs, newest first, in pages that stay right while jobs are added.

        Parameters:
            mode: what the audit log calls the look.
            cursor: of the page before; empty begins with the newest.

        Raises: InvalidInput for a foreign cursor.
        """
        before = Cursor.decode(cursor)
        with refuse_storage_errors():
            found = await jobs.list_rows(self._database, wanted, before=before, limit=limit + 1)
            page = page_of(found, limit, convert=rows.job)
            await self._audit_list(context, wanted, mode=mode, limit=limit, resultCount=len(page.items))
        return page

    async def _audit_list(
        self, context: RequestContext, wanted: jobs.JobFilter, *, mode: str, **details: int
    ) -> None:
        entry = context.audit(
            "observation.read",
            "observation",
            resource_id=None,
            project_id=wanted.project_id,
            mode=mode,
            status=wanted.status,
            sourceType=wanted.source_type,
            **details,
        )
        await audit.append_alone(self._database, entry, now_us=now_us())

    async def retry(self, job: Job, operator: Operator) -> Steered:
        """Queue a failed or cancelled job again; a queued one is left as it is.

        Raises: Conflict when it is being processed or completed.
        """

        async def change(transaction: Executor) -> Steered:
            current = await _current(transaction, job.id)
            if current.status is JobStatus.QUEUED:
                return Steered(current, unchanged=True, retried=retries_of(current))
            if current.status in {JobStatus.PROCESSING, JobStatus.COMPLETED}:
                raise Conflict(f"Generation job is {current.status} and cannot be retried")
            payload = retry_payload(current, operator)
            changed = await failed_jobs.retry(transaction, {job.id: payload}, now_us=now_us())
            if job.id not in changed:
                raise Retryable("the job changed at the same time")
            after = changed[job.id]
            await record(transaction, operator, "retry", [Change(current, after, "requeued")])
            return Steered(after, unchanged=False, retried=retries_of(after))

        with refuse_storage_errors():
            steered = await run_transaction(self._database, change)
        if not steered.unchanged:
            await publish(self._queue, [steered.job])
        return steered

    async def redrive(
        self, wanted: failed_jobs.FailedFilter, operator: Operator, *, limit: int, dry_run: bool
    ) -> Redriven:
        """Queue failed jobs again, the earliest failure first.

        A job that fails anew meanwhile is left to the next redrive, and one that somebody else retries or cancels at this
        moment is left to them. Should the database go away in the middle, those queued so far stay queued: ask again.

        Parameters:
            limit: jobs at most.
            dry_run: only say which they would be.
        """
        now = now_us()
        with refuse_storage_errors():
            matched = await failed_jobs.count(self._database, wanted, now_us=now)
            if dry_run:
                job_ids = await self._would_redrive(wanted, limit=limit, now_us=now)
                found = Redriven(matched, job_ids, dry_run=True)
                if operator.context is not None:
                    await self._audit_look(operator.context, wanted, found)
                return found
            queued: list[Job] = []
            while len(queued) < limit:
                part = await self._redrive_part(
                    wanted, operator, limit=min(REDRIVE_TOGETHER, limit - len(queued)), now_us=now
                )
                queued += part
                if not part:
                    break
        return Redriven(matched, [job.id for job in queued], dry_run=False)

    async def _would_redrive(self, wanted: failed_jobs.FailedFilter, *, limit: int, now_us: int) -> list[str]:
        found = await failed_jobs.lock(self._database, wanted, limit=limit, now_us=now_us)
        return [job.id for job in found]

    async def _audit_look(
        self, context: RequestContext, wanted: failed_jobs.FailedFilter, found: Redriven
    ) -> None:
        entry = context.audit(
            "observation.read",
            "observation",
            resource_id=None,
            project_id=wanted.project_id,
            mode="jobs_redrive",
            resultCount=len(found.job_ids),
        )
        await audit.append_alone(self._database, entry, now_us=now_us())

    async def _redrive_part(
        self, wanted: failed_jobs.FailedFilter, operator: Operator, *, limit: int, now_us: int
    ) -> list[Job]:
        async def change(transaction: Executor) -> list[Job]:
            failed = await failed_jobs.lock(transaction, wanted, limit=limit, now_us=now_us)
            payloads = {job.id: retry_payload(job, operator) for job in failed}
            queued = await failed_jobs.retry(transaction, payloads, now_us=now_us)
            changes = [Change(job, queued[job.id], "requeued") for job in failed if job.id in queued]
            await record(transaction, operator, "redrive", changes)
            return [change.after for change in changes]

        queued = await run_transaction(self._database, change)
        await publish(self._queue, queued)
        return queued

    async def cancel(self, job: Job, operator: Operator) -> Steered:
        """Cancel a job that is not completed; a cancelled one is left as it is.

        Raises: Conflict when it is completed.
        """

        async def change(transaction: Executor) -> Steered:
            current = await _current(transaction, job.id)
            if current.status is JobStatus.CANCELLED:
                return Steered(current, unchanged=True)
            if current.status is JobStatus.COMPLETED:
                raise Conflict("Generation job is completed and cannot be cancelled")
            changed = await jobs.cancel(transaction, job.id, now_us=now_us())
            if changed is None:
                raise Retryable("the job changed at the same time")
            await record(transaction, operator, "cancel", [Change(current, changed, "cancelled")])
            await announce(transaction, [job.id])
            return Steered(changed, unchanged=False)

        with refuse_storage_errors():
            steered = await run_transaction(self._database, change)
        if not steered.unchanged:
            await self._queue.withdraw(job.lane, job.id)
        return steered


async def _current(executor: Executor, job_id: str) -> Job:
    job = await jobs.find_anywhere(executor, job_id)
    if job is None:
        raise NotFound("Generation job not found")
    return job
