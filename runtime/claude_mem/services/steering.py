"""Who steers a job, and what a job, its history and the audit log say of that afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from claude_mem.model.documents import Document
from claude_mem.model.records import AuditEntry
from claude_mem.model.times import now_us
from claude_mem.services import trail
from claude_mem.storage import audit, jobs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from claude_mem.model.records import Job
    from claude_mem.services.context import RequestContext
    from claude_mem.storage.database import Executor

Operation = Literal["retry", "redrive", "cancel"]

_ACTIONS: dict[Operation, str] = {
    "retry": "generation_job.retried_by_operator",
    "redrive": "generation_job.retried_by_operator",
    "cancel": "generation_job.cancelled_by_operator",
}


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
        """An entry of the audit log about what was done to a job."""
        if self.context is not None:
            return self.context.audit(
                _ACTIONS[operation],
                "observation_generation_job",
                resource_id=job.id,
                project_id=job.project_id,
                **details,
            )
        return AuditEntry(
            action=_ACTIONS[operation],
            resource_type="observation_generation_job",
            resource_id=job.id,
            team_id=job.team_id,
            project_id=job.project_id,
            actor_id=None,
            api_key_id=None,
            details=details | {"source": self.source},
        )


def retries_of(job: Job) -> int:
    """How often a job was queued again by hand."""
    count = job.payload.members.get("retried_count", 0)
    return count if isinstance(count, int) else 0


def retry_payload(job: Job, operator: Operator) -> Document:
    """What a job says once it is queued again: who vouches for it now, and how often that was."""
    payload = job.payload.members | {"generation_job_id": job.id, "retried_count": retries_of(job) + 1}
    if operator.context is None:
        payload.pop("last_retried_by_actor", None)
        payload["last_retried_by"] = operator.source
    else:
        payload.pop("last_retried_by", None)
        payload["last_retried_by_actor"] = operator.context.principal.key_id
        payload["last_retried_request_id"] = operator.context.request_id
    return Document.of(payload)


@dataclass(frozen=True, slots=True)
class Change:
    """A job before and after somebody steered it.

    Parameters:
        outcome: `requeued` or `cancelled`.
    """

    before: Job
    after: Job
    outcome: str

    @property
    def details(self) -> dict[str, Any]:
        """What the audit log says of it."""
        told: dict[str, Any] = {
            "previousStatus": str(self.before.status),
            "currentStatus": str(self.after.status),
            "outcome": self.outcome,
        }
        return told | ({"retriedCount": retries_of(self.after)} if self.outcome == "requeued" else {})


async def record(
    executor: Executor, operator: Operator, operation: Operation, changes: Sequence[Change]
) -> None:
    """Write the lines of the jobs' histories and of the audit log."""
    now = now_us()
    details = {"source": f"{operator.source}_{operation}"}
    lines = [
        trail.line(change.after, str(change.after.status), str(change.after.status), details, at_us=now)
        for change in changes
    ]
    await jobs.append_events(executor, lines)
    entries = [operator.audit(operation, change.after, **change.details) for change in changes]
    await audit.append(executor, entries, now_us=now)
