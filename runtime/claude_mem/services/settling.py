"""How jobs end, many in one transaction: observations, sources, usage, history, audit and completion, or none of it.

Before that their answers are kept, so that nobody pays for them twice.

Every change is guarded by the claims: a job whose claim was lost meanwhile is left as it is, and nothing that only it would
have brought is stored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from claude_mem.model.times import now_us
from claude_mem.services import trail
from claude_mem.services.outcomes import Answered, Failed, Postponed, taken_of
from claude_mem.services.signals import announce
from claude_mem.services.storing import Writes, still_held, store_answers
from claude_mem.storage import audit, jobs, sessions, tenancy, usage, work
from claude_mem.storage.database import run_transaction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from claude_mem.services.outcomes import Outcome
    from claude_mem.storage.database import Database, Executor


async def keep(database: Database, project_ids: set[str], replies: Sequence[work.KeptReply]) -> None:
    """Keep answers until what came of them is stored; of jobs that have ended or were purged, nothing.

    Parameters:
        project_ids: whose jobs they are of.

    Raises: Unavailable, Retryable.
    """

    async def store(transaction: Executor) -> None:
        # Before the jobs' own rows, as in `settle`.
        await tenancy.lock_shared(transaction, project_ids)
        await work.keep_replies(transaction, replies, now_us=now_us())

    await run_transaction(database, store)


async def settle(executor: Executor, outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Store what became of jobs.

    Returns: the outcomes of those jobs whose claims were still held, which alone are stored.
    """
    now = now_us()
    group = [taken for outcome in outcomes for taken in taken_of(outcome)]
    # Before the jobs' own rows: a purge takes the two in this order.
    await tenancy.lock_shared(executor, {taken.job.project_id for taken in group})
    held = await work.hold(executor, [taken.claim for taken in group])
    writes = Writes()
    current = [still for outcome in outcomes if (still := _still_held(outcome, held))]
    await store_answers(executor, [each for each in current if isinstance(each, Answered)], writes, now=now)
    for outcome in current:
        if isinstance(outcome, Failed):
            _fail(outcome, writes, now)
        elif isinstance(outcome, Postponed):
            _postpone(outcome, writes, now)
    await work.complete(executor, writes.completed, now_us=now)
    await work.drop_replies(executor, [job.id for job in writes.ended])
    await work.set_back(executor, writes.setbacks, now_us=now)
    await jobs.append_events(executor, writes.lines)
    await audit.append(executor, writes.entries, now_us=now)
    for job, status in writes.summaries:
        await sessions.mark_generated(
            executor,
            job.source_id,
            team_id=job.team_id,
            project_id=job.project_id,
            status=status,
            now_us=now,
        )
    await announce(executor, [job.id for job in writes.ended])
    # Last, because a trigger holds the team's counters from here to the commit.
    await usage.append(executor, writes.usage)
    return current


def _still_held(outcome: Outcome, held: set[str]) -> Outcome | None:
    if isinstance(outcome, Answered):
        outcome = still_held(outcome, held)
        return outcome if outcome.taken else None
    return outcome if outcome.taken.job.id in held else None


def _fail(outcome: Failed, writes: Writes, now: int) -> None:
    job, failure = outcome.taken.job, outcome.failure
    details: dict[str, object] = {"reason": failure.reason, "classification": failure.classification}
    if outcome.pause_us is None:
        writes.setbacks.append(work.Setback(job.id, "failed", failure.document))
        writes.lines.append(trail.line(job, "failed", "failed", details, at_us=now))
        writes.ended.append(job)
        if job.lane == "summary":
            writes.summaries.append((job, "failed"))
    else:
        next_attempt_us = now + outcome.pause_us
        details["nextAttemptAtEpoch"] = next_attempt_us // 1000
        writes.setbacks.append(
            work.Setback(job.id, "queued", failure.document, next_attempt_us=next_attempt_us)
        )
        writes.lines.append(trail.line(job, "retry_scheduled", "queued", details, at_us=now))
    if failure.classification in trail.AUDITED_FAILURES:
        action = trail.AUDITED_FAILURES[failure.classification]
        writes.entries.append(trail.entry(job, action, reason=failure.classification, message=failure.reason))
    if outcome.counts_usage:
        writes.usage += trail.usage_rows(
            job, failure.usage, provider=failure.provider, model=failure.model, at_us=now, failed=True
        )


def _postpone(outcome: Postponed, writes: Writes, now: int) -> None:
    job = outcome.taken.job
    writes.setbacks.append(
        work.Setback(job.id, "queued", outcome.failure.document, next_attempt_us=outcome.until_us, refund=1)
    )
    details: dict[str, object] = {
        "reason": outcome.failure.reason,
        "classification": outcome.failure.classification,
    }
    if outcome.until_us is not None:
        details["nextAttemptAtEpoch"] = outcome.until_us // 1000
    writes.lines.append(trail.line(job, "queued", "queued", details, at_us=now))
