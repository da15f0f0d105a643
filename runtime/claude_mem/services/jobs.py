"""Jobs as people see and steer them: listed, shown, tried again, cancelled. HTTP and the command line share this."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from claude_mem.model.documents import Document
from claude_mem.model.errors import Conflict, NotFound
from claude_mem.model.records import AuditEntry, Job, JobStatus
from claude_mem.model.times import now_us
from claude_mem.services import trail
from claude_mem.services.publishing import publish
from claude_mem.services.refusals import refuse_storage_errors
from claude_mem.services.signals import announce
from claude_mem.storage import audit, jobs
from claude_mem.storage.database import Database, Executor, Retryable, run_transaction

if TYPE_CHECKING:
    from claude_mem.model.records import JobEvent
    from claude_mem.queue.port import Queue
    from claude_mem.services.context import RequestContext

Operation = Literal["retry", "cancel"]


@dataclass(frozen=True, slots=True)
class Operator:
    """Who steers a job.

    Parameters:
        source: `operator` over HTTP, `cli_operator` at the command line.
        context: the caller over HTTP; None at the command line, which is nobody's key.
    """

    source: Literal["operator", "cli_operator"]
    context: RequestContext | None = None

    def audit(self, operation: Operation, job: Job, **details: object) -> AuditEntry:
        action = {
            "retry": "generation_job.retried_by_operator",
            "cancel": "generation_job.cancelled_by_operator",
        }
        if self.context is not None:
            return self.context.audit(
                action[operation],
                "observation_generation_job",
                resource_id=job.id,
                project_id=job.project_id,
                **details,
            )
        return AuditEntry(
            action=action[operation],
            resource_type="observation_generation_job",
            resource_id=job.id,
            team_id=job.team_id,
            project_id=job.project_id,
            actor_id=None,
            api_key_id=None,
            details=details | {"source": self.source},
        )


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
            entry = context.audit(
                "observation.read",
                "observation",
                resource_id=None,
                project_id=wanted.project_id,
                mode=mode,
                status=wanted.status,
                sourceType=wanted.source_type,
                limit=limit,
                offset=offset,
                resultCount=len(page),
            )
            await audit.append_alone(self._database, entry, now_us=now_us())
        return page, total

    async def retry(self, job: Job, operator: Operator) -> Steered:
        """Queue a failed or cancelled job again; a queued one is left as it is.

        Raises: Conflict when it is being processed or completed.
        """

        async def change(transaction: Executor) -> Steered:
            current = await _current(transaction, job.id)
            retried = _retried(current)
            if current.status is JobStatus.QUEUED:
                return Steered(current, unchanged=True, retried=retried)
            if current.status in {JobStatus.PROCESSING, JobStatus.COMPLETED}:
                raise Conflict(f"Generation job is {current.status} and cannot be retried")
            payload = _retry_payload(current, operator, retried=retried + 1)
            changed = await jobs.retry(transaction, job.id, payload=payload, now_us=now_us())
            if changed is None:
                raise Retryable("the job changed at the same time")
            await _record(
                transaction,
                operator,
                operation="retry",
                before=current,
                after=changed,
                outcome="requeued",
                retriedCount=retried + 1,
            )
            return Steered(changed, unchanged=False, retried=retried + 1)

        with refuse_storage_errors():
            steered = await run_transaction(self._database, change)
        if not steered.unchanged:
            await publish(self._queue, [steered.job])
        return steered

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
            await _record(
                transaction, operator, operation="cancel", before=current, after=changed, outcome="cancelled"
            )
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


def _retried(job: Job) -> int:
    count = job.payload.members.get("retried_count", 0)
    return count if isinstance(count, int) else 0


def _retry_payload(job: Job, operator: Operator, *, retried: int) -> Document:
    payload = job.payload.members | {"generation_job_id": job.id, "retried_count": retried}
    if operator.context is None:
        payload.pop("last_retried_by_actor", None)
        payload["last_retried_by"] = operator.source
    else:
        payload.pop("last_retried_by", None)
        payload["last_retried_by_actor"] = operator.context.principal.key_id
        payload["last_retried_request_id"] = operator.context.request_id
    return Document.of(payload)


async def _record(
    executor: Executor,
    operator: Operator,
    *,
    operation: Operation,
    before: Job,
    after: Job,
    **details: object,
) -> None:
    now = now_us()
    line = trail.line(
        after,
        "queued" if operation == "retry" else "cancelled",
        str(after.status),
        {"source": f"{operator.source}_{operation}"},
        at_us=now,
    )
    await jobs.append_events(executor, [line])
    entry = operator.audit(
        operation, after, previousStatus=str(before.status), currentStatus=str(after.status), **details
    )
    await audit.append(executor, [entry], now_us=now)
