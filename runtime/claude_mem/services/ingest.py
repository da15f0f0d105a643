"""Events come in: identified, cleaned, linked to a session, stored with their job in one transaction, then published.

Single events that arrive together share a transaction (group commit); a batch has one of its own, all or nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from claude_mem.model.canonical import canonical_json
from claude_mem.model.errors import ClaudeMemError
from claude_mem.model.identity import event_key, new_id
from claude_mem.model.records import Event, Transport
from claude_mem.model.times import now_us
from claude_mem.services.appending import Appended, PreparedEvent, append
from claude_mem.services.cleaning import clean, clean_id, clean_text
from claude_mem.services.group import GroupCommit
from claude_mem.services.publishing import JobTerms, publish
from claude_mem.services.refusals import refusal, refuse_storage_errors
from claude_mem.storage import audit
from claude_mem.storage.database import Database, Executor, StorageError, run_transaction
from claude_mem.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from claude_mem.model.records import AuditEntry, Job
    from claude_mem.queue.port import Queue
    from claude_mem.services.context import RequestContext

#: Requests in one transaction at most, and transactions under way at most.
GROUP_LARGEST = 32
GROUPS_PARALLEL = 3


@dataclass(frozen=True, slots=True)
class EventInput:
    """An event as it was received.

    Parameters:
        platform: normalised, or None.
        any_platform: the request did not speak of a platform, so a session of any may be linked.
        occurred_ms: milliseconds since the epoch.
        source_event_id: the client's own id, which then decides what is a duplicate.
    """

    project_id: str
    adapter: str
    event_type: str
    occurred_ms: int
    payload: Any
    platform: str | None = None
    any_platform: bool = True
    server_session_id: str | None = None
    content_session_id: str | None = None
    source_event_id: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ingested:
    """What became of an event.

    Parameters:
        job: the generation job of the event, or None when none was asked for.
        duplicate: the event had been stored before.
        redactions: private spans and secrets taken out of it.
    """

    event: Event
    job: Job | None
    transport: Transport
    duplicate: bool
    redactions: int


class IngestService:
    """Stores events.

    Parameters:
        database: where events and jobs are kept.
        queue: what tells workers about new jobs.
        terms: what new jobs are made with.
    """

    def __init__(self, database: Database, queue: Queue, *, terms: JobTerms | None = None) -> None:
        self._database = database
        self._queue = queue
        self._terms = terms or JobTerms()
        self._group: GroupCommit[PreparedEvent, tuple[Appended, Transport]] = GroupCommit(
            "ingest", self._commit_group, largest=GROUP_LARGEST, parallel=GROUPS_PARALLEL
        )

    async def ingest(
        self,
        context: RequestContext,
        received: EventInput,
        *,
        generate: bool,
        source: str,
        urgent: bool = False,
        audited: bool = True,
    ) -> Ingested:
        """Store one event and, where asked for, its job.

        Parameters:
            source: what the job's history names as its origin.
            urgent: somebody waits for what is generated, so that it does not wait for others.

        Raises: Forbidden, InvalidInput, Unavailable.
        """
        context.check_project(received.project_id)
        terms = self._terms_of(urgent=urgent)
        prepared = prepare(context, received, generate=generate, terms=terms, source=source, audited=audited)
        appended, transport = await self._group.submit(prepared)
        return _ingested(appended, transport)

    async def ingest_batch(
        self, context: RequestContext, received: Sequence[EventInput], *, generate: bool, urgent: bool = False
    ) -> list[Ingested]:
        """Store all events, or none; `urgent` as for one.

        Raises: Forbidden, InvalidInput, Unavailable; then nothing was stored.
        """
        for item in received:
            context.check_project(item.project_id)
        metrics.BATCHES.observe(len(received))
        terms = self._terms_of(urgent=urgent)
        source = "http_post_v1_events_batch"
        prepared = [
            prepare(context, item, generate=generate, terms=terms, source=source, audited=False)
            for item in received
        ]

        async def store(transaction: Executor) -> list[Appended]:
            outcomes = await append(transaction, prepared)
            appended = []
            for outcome in outcomes:
                if isinstance(outcome, ClaudeMemError):
                    raise outcome
                appended.append(outcome)
            await audit.append(transaction, [_batch_entry(context, appended)], now_us=now_us())
            return appended

        with refuse_storage_errors():
            appended = await run_transaction(self._database, store)
        transport = await publish(
            self._queue, [item.job for item in appended if item.job and item.job_created]
        )
        return [_ingested(item, transport) for item in appended]

    def _terms_of(self, *, urgent: bool) -> JobTerms:
        return replace(self._terms, session_window_us=0) if urgent else self._terms

    async def _commit_group(
        self, prepared: Sequence[PreparedEvent]
    ) -> Sequence[tuple[Appended, Transport] | Exception]:
        try:
            outcomes = await run_transaction(
                self._database, lambda transaction: append(transaction, prepared)
            )
        except StorageError as error:
            if len(prepared) == 1:
                return [refusal(error)]
            # One event that the database refuses must not take the others with it.
            return [(await self._commit_group([item]))[0] for item in prepared]
        created = [
            outcome.job
            for outcome in outcomes
            if isinstance(outcome, Appended) and outcome.job and outcome.job_created
        ]
        transport = await publish(self._queue, created)
        return [(item, transport) if isinstance(item, Appended) else item for item in outcomes]

    async def close(self) -> None:
        """Wait for what was accepted to be stored."""
        await self._group.close()


def prepare(
    context: RequestContext,
    received: EventInput,
    *,
    generate: bool,
    terms: JobTerms,
    source: str,
    audited: bool,
) -> PreparedEvent:
    """Identify and clean an event; nothing of this needs the database.

    Raises: Forbidden when the caller's key is bound to no team.
    """
    team_id = context.team_id
    now_ms = now_us() // 1000
    payload = {} if received.payload is None else received.payload
    key = _key(received, payload, team_id=team_id)
    cleaned = clean(payload)
    metadata = clean(received.metadata)
    event_type, in_type = clean_text(received.event_type)
    source_event_id, in_source = clean_id(received.source_event_id)
    content_session_id, _ = clean_id(received.content_session_id)
    platform, in_platform = clean_id(received.platform)
    event = Event(
        id=new_id(),
        project_id=received.project_id,
        team_id=team_id,
        server_session_id=received.server_session_id,
        source_adapter=received.adapter,
        source_event_id=source_event_id,
        event_type=event_type,
        platform_source=platform,
        payload=cleaned.document,
        metadata=metadata.document,
        occurred_ms=received.occurred_ms,
        received_ms=now_ms,
        created_ms=now_ms,
    )
    return PreparedEvent(
        context=context,
        event=event,
        key=key,
        content_session_id=content_session_id,
        any_platform=received.any_platform,
        generate=generate,
        source=source,
        audited=audited,
        wait_us=terms.wait_us(received.event_type),
        max_attempts=terms.max_attempts,
        private=cleaned.removed > 0 and cleaned.is_blank,
        redactions=cleaned.removed + metadata.removed + in_type + in_source + in_platform,
    )


def _key(received: EventInput, payload: Any, *, team_id: str) -> str:
    """What decides whether the event is a duplicate, of what was received rather than of what is stored."""
    return event_key(
        team_id=team_id,
        project_id=received.project_id,
        adapter=received.adapter,
        platform=received.platform,
        source_event_id=received.source_event_id,
        content_session_id=received.content_session_id,
        server_session_id=received.server_session_id,
        event_type=received.event_type,
        occurred_at_ms=received.occurred_ms,
        payload_canonical="" if received.source_event_id is not None else canonical_json(payload),
    )


def _ingested(appended: Appended, transport: Transport) -> Ingested:
    metrics.EVENTS.labels("duplicate" if appended.duplicate else "stored").inc()
    metrics.REDACTIONS.inc(appended.redactions)
    return Ingested(
        event=appended.event,
        job=appended.job,
        transport=transport if appended.job else Transport.SKIPPED,
        duplicate=appended.duplicate,
        redactions=appended.redactions,
    )


def _batch_entry(context: RequestContext, appended: Sequence[Appended]) -> AuditEntry:
    projects = {item.event.project_id for item in appended}
    return context.audit(
        "event.batch_received",
        "agent_event",
        resource_id=None,
        project_id=projects.pop() if len(projects) == 1 else None,
        eventCount=len(appended),
        generationJobIds=[item.job.id for item in appended if item.job],
    )
