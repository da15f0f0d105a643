"""Sessions begin and end; an end asks for a summary, once."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from claude_mem.model.errors import Forbidden, NotFound
from claude_mem.model.identity import is_open_session_key, new_id, session_key
from claude_mem.model.records import Session, Transport
from claude_mem.model.times import now_us
from claude_mem.services import trail
from claude_mem.services.cleaning import Cleaned, clean, clean_id
from claude_mem.services.paging import Page, page_of
from claude_mem.services.publishing import JobTerms, as_stored, job_for_summary, publish, queued_event
from claude_mem.services.refusals import refuse_storage_errors
from claude_mem.services.scope import require_project
from claude_mem.storage import audit, jobs, rows, sessions, tenancy, work
from claude_mem.storage.cursors import Cursor
from claude_mem.storage.database import Database, Executor, Retryable, run_transaction

if TYPE_CHECKING:
    from claude_mem.model.records import Job
    from claude_mem.queue.port import Queue
    from claude_mem.services.context import RequestContext


@dataclass(frozen=True, slots=True)
class SessionInput:
    """A session as it was received; the platform is normalised, or None."""

    project_id: str
    external_session_id: str | None = None
    content_session_id: str | None = None
    agent_id: str | None = None
    agent_type: str | None = None
    platform: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Started:
    """A session that is open.

    Parameters:
        found: it was there under its external id and was left as it is.
        redactions: private spans and secrets taken out of the metadata.
    """

    session: Session
    found: bool
    redactions: int


@dataclass(frozen=True, slots=True)
class Ended:
    """A session that is over, and the job of its summary.

    Parameters:
        transport: how far the job got on its way to a worker.
    """

    session: Session
    job: Job
    transport: Transport


class SessionService:
    """Starts, shows, lists and ends sessions."""

    def __init__(self, database: Database, queue: Queue, *, terms: JobTerms | None = None) -> None:
        self._database = database
        self._queue = queue
        self._terms = terms or JobTerms()

    async def start(
        self, context: RequestContext, received: SessionInput, *, audited: bool = True
    ) -> Started:
        """Find or make a session.

        Raises: Forbidden, InvalidInput, Unavailable.
        """
        team_id = context.team_id
        context.check_project(received.project_id)
        key = _key(received, team_id)
        received, removed = _without_private(received)
        cleaned = clean(received.metadata)
        removed += cleaned.removed

        async def store(transaction: Executor) -> Started:
            teams = await tenancy.lock_shared(transaction, {received.project_id})
            if teams.get(received.project_id) != team_id:
                raise Forbidden("project_id must belong to team_id")
            found = await _by_external(transaction, received, team_id=team_id)
            if found is not None:
                return Started(found, found=True, redactions=removed)
            session = await _insert_or_refresh(
                transaction, received, cleaned=cleaned, team_id=team_id, key=key
            )
            if audited:
                entry = context.audit(
                    "session.write", "server_session", resource_id=session.id, project_id=session.project_id
                )
                await audit.append(transaction, [entry], now_us=now_us())
            return Started(session, found=False, redactions=removed)

        with refuse_storage_errors():
            return await run_transaction(self._database, store)

    async def get(self, context: RequestContext, session_id: str) -> Session:
        """Raises: NotFound in another team, Forbidden in a sibling project."""
        session = await sessions.find(self._database, session_id, team_id=context.team_id)
        if session is None:
            raise NotFound("Session not found")
        context.check_project(session.project_id)
        return session

    async def list_page(
        self, context: RequestContext, *, project_id: str | None, cursor: str | None, limit: int
    ) -> Page[Session]:
        """Sessions of the caller's scope, those that began last first.

        Raises: Forbidden for a project outside the key's, InvalidInput for a foreign cursor, Unavailable.
        """
        team_id, before = context.team_id, Cursor.decode(cursor)
        with refuse_storage_errors():
            if project_id is not None:
                await require_project(self._database, context, project_id=project_id)
            found = await sessions.list_rows(
                self._database,
                team_id=team_id,
                project_id=project_id or context.principal.project_id,
                before=before,
                limit=limit + 1,
            )
        return page_of(found, limit, convert=rows.session, by="started_at")

    async def end(
        self,
        context: RequestContext,
        session_id: str,
        *,
        source: str,
        source_adapter: str,
        audited: bool = True,
    ) -> Ended:
        """End a session and ask for its summary; again, ask for a new one only if the session went on meanwhile.

        Raises: NotFound, Forbidden, Unavailable.
        """
        found = await self.get(context, session_id)

        async def store(transaction: Executor) -> tuple[Session, Job, bool]:
            now = now_us()
            await tenancy.lock_shared(transaction, {found.project_id})
            session = await sessions.end(transaction, session_id, team_id=context.team_id, now_us=now)
            if session is None:
                raise NotFound("Session not found")
            await work.expedite_session(transaction, session.id)
            new = job_for_summary(
                session,
                context=context,
                source_adapter=source_adapter,
                max_attempts=self._terms.max_attempts,
                now_us=now,
            )
            job, created = await self._ask_for_summary(transaction, new, source=source)
            if audited:
                entry = context.audit(
                    "session.end", "server_session", resource_id=session.id, project_id=session.project_id
                )
                await audit.append(transaction, [entry], now_us=now)
            return session, job, created

        with refuse_storage_errors():
            session, job, created = await run_transaction(self._database, store)
        return Ended(session, job, await publish(self._queue, [job] if created else []))

    async def _ask_for_summary(
        self, executor: Executor, new: jobs.NewJob, *, source: str
    ) -> tuple[Job, bool]:
        """Store a summary's job, or reopen the one that its session has.

        Returns: the job, and whether it is new.
        """
        if await jobs.insert(executor, [new]):
            await jobs.append_events(executor, [queued_event(new, source)])
            return as_stored(new), True
        existing = (await jobs.find_by_keys(executor, [new.key])).get(new.key)
        if existing is None:
            raise Retryable("the summary's job was deleted meanwhile")
        due_us = new.created_us + self._terms.summary_refresh_us
        reopened = await jobs.reopen_summary(
            executor,
            existing.id,
            session_id=new.source_id,
            next_attempt_us=due_us,
            now_us=new.created_us,
        )
        if reopened is None:
            return await jobs.put_off(executor, existing.id, next_attempt_us=due_us) or existing, False
        details = {
            "source": source,
            "reason": "session_continued",
            "nextAttemptAtEpoch": reopened.next_attempt_ms,
        }
        line = trail.line(reopened, "queued", "queued", details, at_us=new.created_us)
        await jobs.append_events(executor, [line])
        return reopened, False


async def _by_external(executor: Executor, received: SessionInput, *, team_id: str) -> Session | None:
    if received.external_session_id is None:
        return None
    return await sessions.find_by_external(
        executor,
        external_id=received.external_session_id,
        team_id=team_id,
        project_id=received.project_id,
        platform=received.platform,
    )


def _key(received: SessionInput, team_id: str) -> str | None:
    return session_key(
        team_id=team_id,
        project_id=received.project_id,
        platform=received.platform,
        external_session_id=received.external_session_id,
        content_session_id=received.content_session_id,
        agent_id=received.agent_id,
        agent_type=received.agent_type,
    )


def _without_private(received: SessionInput) -> tuple[SessionInput, int]:
    names = ("external_session_id", "content_session_id", "agent_id", "agent_type", "platform")
    cleaned = {name: clean_id(getattr(received, name)) for name in names}
    removed = sum(count for _, count in cleaned.values())
    if not removed:
        return received, 0
    changes: dict[str, Any] = {name: value for name, (value, _) in cleaned.items()}
    return replace(received, **changes), removed


async def _insert_or_refresh(
    executor: Executor, received: SessionInput, *, cleaned: Cleaned, team_id: str, key: str | None
) -> Session:
    now = now_us()
    session = _new(received, cleaned, team_id=team_id, now=now)
    inserted = await sessions.insert(executor, session, key=key, now_us=now)
    if inserted is not None:
        return inserted
    existing = (
        await sessions.find_by_key(executor, key, team_id=team_id, project_id=received.project_id)
        if key
        else None
    )
    if existing is None:
        # Another start of the same external id came first; run again, it is found then.
        raise Retryable("a session of the same id was started at the same time")
    for_agent = is_open_session_key(
        external_session_id=received.external_session_id, content_session_id=received.content_session_id
    )
    if for_agent and existing.ended_ms is not None:
        await sessions.release_key(executor, existing.id, now_us=now)
        inserted = await sessions.insert(executor, session, key=key, now_us=now)
        if inserted is None:
            raise Retryable("the agent's next session was started at the same time")
        return inserted
    refreshed = await sessions.refresh(
        executor,
        existing.id,
        metadata=cleaned.document,
        agent_id=received.agent_id,
        agent_type=received.agent_type,
        now_us=now,
    )
    return refreshed or existing


def _new(received: SessionInput, cleaned: Cleaned, *, team_id: str, now: int) -> Session:
    return Session(
        id=new_id(),
        project_id=received.project_id,
        team_id=team_id,
        external_session_id=received.external_session_id,
        content_session_id=received.content_session_id,
        agent_id=received.agent_id,
        agent_type=received.agent_type,
        platform_source=received.platform,
        generation_status="idle",
        metadata=cleaned.document,
        started_ms=now // 1000,
        ended_ms=None,
        last_generated_ms=None,
        created_ms=now // 1000,
        updated_ms=now // 1000,
    )
