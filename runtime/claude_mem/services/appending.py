"""The transaction that stores a group of events: scope, links, events, jobs, history and audit, in a fixed lock order.

Everything works on whole groups, one statement a step, so that a hundred events cost hardly more round trips than one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from claude_mem.model.errors import Forbidden
from claude_mem.model.times import now_us
from claude_mem.services.publishing import as_stored, job_for_event, queued_event
from claude_mem.storage import audit, events, jobs, sessions, tenancy, work
from claude_mem.storage.database import Retryable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from claude_mem.model.errors import ClaudeMemError
    from claude_mem.model.records import AuditEntry, Event, Job
    from claude_mem.services.context import RequestContext
    from claude_mem.storage.database import Executor


@dataclass(frozen=True, slots=True)
class PreparedEvent:
    """An event that only the database still has to agree to.

    Parameters:
        key: idempotency key.
        content_session_id: links to the newest session of that id when the event names no session itself.
        wait_us: microseconds for which its job waits for others of the session; 0 when somebody waits for it.
        max_attempts: how often the job may be tried.
        private: nothing was left of the payload after privacy.
        redactions: private spans and secrets that were taken out.
    """

    context: RequestContext
    event: Event
    key: str
    content_session_id: str | None
    any_platform: bool
    generate: bool
    wait_us: int
    max_attempts: int
    source: str
    audited: bool
    private: bool
    redactions: int


@dataclass(frozen=True, slots=True)
class Appended:
    """An event as it is stored now.

    Parameters:
        duplicate: it was stored by an earlier request.
        job_created: its job is new, and has to be published.
    """

    event: Event
    duplicate: bool
    redactions: int
    job: Job | None = None
    job_created: bool = False


async def append(executor: Executor, prepared: Sequence[PreparedEvent]) -> list[Appended | ClaudeMemError]:
    """Store events that are not there yet, with jobs for those that ask for one.

    Returns: for each event what is stored, or why it is refused; the others of the group are stored all the same.

    Raises: Retryable when the transaction has to be run again; ReferenceViolation, ValueRefused.
    """
    outcomes: dict[int, Appended | ClaudeMemError] = await _refusals(executor, prepared)
    accepted = {n: item for n, item in enumerate(prepared) if n not in outcomes}
    if accepted:
        linked = await _link(executor, accepted)
        inserted = await events.insert(
            executor, [events.KeyedEvent(item.event, item.key) for item in linked.values()]
        )
        stored = await _stored_events(executor, linked, inserted=inserted)
        outcomes |= await _add_jobs(executor, linked, stored=stored, inserted=inserted)
    return [outcomes[n] for n in range(len(prepared))]


async def _refusals(
    executor: Executor, prepared: Sequence[PreparedEvent]
) -> dict[int, Appended | ClaudeMemError]:
    teams = await tenancy.lock_shared(executor, {item.event.project_id for item in prepared})
    named = {item.event.server_session_id for item in prepared if item.event.server_session_id}
    scopes = await sessions.find_scopes(executor, named) if named else {}
    refused: dict[int, Appended | ClaudeMemError] = {}
    for n, item in enumerate(prepared):
        event = item.event
        if teams.get(event.project_id) != event.team_id:
            refused[n] = Forbidden("project_id must belong to team_id")
        elif event.server_session_id and scopes.get(event.server_session_id) != (
            event.team_id,
            event.project_id,
        ):
            refused[n] = Forbidden("server_session_id must belong to project_id and team_id")
    return refused


async def _link(executor: Executor, accepted: dict[int, PreparedEvent]) -> dict[int, PreparedEvent]:
    wanted: dict[int, sessions.ContentLink] = {}
    for n, item in accepted.items():
        if item.content_session_id is not None and item.event.server_session_id is None:
            wanted[n] = sessions.ContentLink(
                project_id=item.event.project_id,
                team_id=item.event.team_id,
                content_session_id=item.content_session_id,
                any_platform=item.any_platform,
                platform=item.event.platform_source,
            )
    found = await sessions.link(executor, list(dict.fromkeys(wanted.values())))
    return {
        n: replace(item, event=replace(item.event, server_session_id=found[wanted[n]]))
        if n in wanted and wanted[n] in found
        else item
        for n, item in accepted.items()
    }


async def _stored_events(
    executor: Executor, accepted: dict[int, PreparedEvent], *, inserted: set[str]
) -> dict[int, Appended]:
    repeated = {item.key for item in accepted.values() if item.event.id not in inserted}
    existing = await events.find_by_keys(executor, repeated) if repeated else {}
    stored: dict[int, Appended] = {}
    # In the order of keys, as rows are inserted: two groups that merge into the same rows never wait for each other.
    for n, item in sorted(accepted.items(), key=lambda numbered: numbered[1].key):
        event = item.event
        if event.id not in inserted:
            if item.key not in existing:
                raise Retryable("the event that this one repeats was deleted meanwhile")
            event = existing[item.key]
            # A group that is run again after a lost connection finds its own rows: those are not duplicates.
            if event.id != item.event.id:
                event = existing[item.key] = await _merge(executor, event, repeated=item.event)
        stored[n] = Appended(event, duplicate=event.id != item.event.id, redactions=item.redactions)
    return stored


async def _merge(executor: Executor, existing: Event, *, repeated: Event) -> Event:
    fills_platform = existing.platform_source is None and repeated.platform_source is not None
    if not fills_platform and not repeated.metadata.members:
        return existing
    merged = await events.merge(
        executor, existing.id, metadata=repeated.metadata, platform=repeated.platform_source
    )
    return merged or existing


async def _add_jobs(
    executor: Executor, accepted: dict[int, PreparedEvent], *, stored: dict[int, Appended], inserted: set[str]
) -> dict[int, Appended]:
    now = now_us()
    wanted: dict[str, tuple[jobs.NewJob, str]] = {}
    for n, item in accepted.items():
        event = stored[n].event
        if item.generate and event.id not in wanted:
            new = job_for_event(
                event,
                context=item.context,
                private=item.private,
                wait_us=item.wait_us,
                max_attempts=item.max_attempts,
                now_us=now,
            )
            wanted[event.id] = (new, item.source)
    fresh = [new for event_id, (new, _) in wanted.items() if event_id in inserted]
    await jobs.insert_fresh(executor, fresh)
    repeated = [new for event_id, (new, _) in wanted.items() if event_id not in inserted]
    created = await jobs.insert(executor, repeated) | {new.id for new in fresh}
    await jobs.append_events(
        executor, [queued_event(new, source) for new, source in wanted.values() if new.id in created]
    )
    missing = {new.key for new, _ in wanted.values() if new.id not in created}
    existing = await jobs.find_by_keys(executor, missing) if missing else {}
    urgent = [stored[n].event.id for n, item in accepted.items() if item.generate and not item.wait_us]
    await work.expedite(executor, [job.id for job in existing.values() if job.source_id in urgent])
    outcomes: dict[int, Appended] = {}
    entries: list[AuditEntry] = []
    for n, item in accepted.items():
        appended = stored[n]
        if item.generate:
            new, _ = wanted[appended.event.id]
            job = as_stored(new) if new.id in created else existing.get(new.key)
            appended = replace(appended, job=job, job_created=new.id in created)
        outcomes[n] = appended
        if item.audited:
            entries.append(_entry(item, appended))
    await audit.append(executor, entries, now_us=now)
    return outcomes


def _entry(item: PreparedEvent, appended: Appended) -> AuditEntry:
    event = appended.event
    details: dict[str, object] = {
        "sourceAdapter": event.source_adapter,
        "sourceEventId": event.source_event_id,
        "eventType": event.event_type,
        "serverSessionId": event.server_session_id,
        "generationJobId": appended.job.id if appended.job else None,
    }
    if appended.duplicate:
        details["duplicate"] = True
    if appended.redactions:
        details["redactions"] = appended.redactions
    return item.context.audit(
        "event.received", "agent_event", resource_id=event.id, project_id=event.project_id, **details
    )
