"""One claimed job: what the provider is asked, and what becomes of the answer.

Everything that a job leaves behind (observations, sources, usage, audit, its own end) is one transaction that holds only
while the claim is the current one. A worker that lost its lease leaves nothing.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from claude_mem.generation.errors import GenerationError
from claude_mem.generation.payload import nothing_left
from claude_mem.generation.port import EventInput, GenerationRequest, ObservationInput, ProviderResult
from claude_mem.model.errors import Unavailable
from claude_mem.model.records import Event, Job, SourceType
from claude_mem.model.times import now_us
from claude_mem.services import persisting
from claude_mem.services.publishing import PRIVATE_MARK
from claude_mem.storage import events, jobs, keys, observations, rows, sessions, tenancy
from claude_mem.storage.database import Database, Retryable, StorageError, run_transaction

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from claude_mem.generation.mode import Mode
    from claude_mem.generation.port import Provider
    from claude_mem.storage.database import Executor

logger = logging.getLogger(__name__)

#: Events of a session that its summary is made from at most, the newest of them.
SUMMARY_EVENTS = 500

#: Observations of a session that its summary is told of at most, the newest of them.
SUMMARY_OBSERVATIONS = 100

#: Seconds between tries to store an answer that was paid for, while the database does not answer.
STORE_AGAIN_S = 1.0


@dataclass(frozen=True, slots=True)
class GeneratorOptions:
    """How jobs are generated.

    Parameters:
        mode: what kinds of observation there are.
        language: to write in, or None.
        retry_base_s: seconds before the second attempt; doubled for each further one.
    """

    mode: Mode
    language: str | None
    retry_base_s: float


class Generator:
    """Works one claimed job off.

    Parameters:
        provider: asked once for each attempt that has something to ask.
    """

    def __init__(self, database: Database, provider: Provider, options: GeneratorOptions) -> None:
        self._database = database
        self._provider = provider
        self._options = options

    @property
    def provider(self) -> Provider:
        return self._provider

    async def process(self, job: Job, claimed: jobs.Claim) -> None:
        """Bring a job to its end, or to its next attempt.

        Raises: Unavailable when the database stays away; the job's lease then runs out.
        """
        refused = await self._refused(job)
        if refused is not None:
            await self._end(lambda transaction: persisting.fail(transaction, job, claimed, refused))
            return
        try:
            result = await self._generate(job)
        except GenerationError as error:
            failure = persisting.Failure.of(error)
            await self._end(lambda transaction: self._fail_or_retry(transaction, job, claimed, failure))
            return
        await self._end(lambda transaction: persisting.complete(transaction, job, claimed, result))

    async def _refused(self, job: Job) -> persisting.Failure | None:
        """Why a job must not be generated: its payload speaks of another scope, or its key was revoked."""
        payload = job.payload.members
        if (
            payload.get("team_id", job.team_id) != job.team_id
            or payload.get("project_id", job.project_id) != job.project_id
        ):
            return persisting.Failure("scope_mismatch", "the job's payload names another team or project")
        key_id = _asking_key(payload)
        if key_id is None:
            return None
        key = await keys.find(self._database, key_id)
        # A key that was rotated or has expired was good when the work was accepted; a revoked one takes it back.
        if key is None or (key.revoked_ms is not None and key.replaced_by is None):
            return persisting.Failure("revoked_key", "the API key that asked for this was revoked")
        return None

    async def _generate(self, job: Job) -> ProviderResult | None:
        """The provider's answer, or None where there is nothing to ask it."""
        request = await self._request(job)
        return None if request is None else await self._provider.generate(request)

    async def _request(self, job: Job) -> GenerationRequest | None:
        if job.source_type == SourceType.SESSION_SUMMARY:
            return await self._summary_request(job)
        if job.payload.members.get(PRIVATE_MARK):
            return None
        event_id = job.agent_event_id or job.source_id
        event = await events.find_for_job(
            self._database, event_id, team_id=job.team_id, project_id=job.project_id
        )
        if event is None or nothing_left(_payload(event)):
            return None
        return await self._build(job, (event,))

    async def _summary_request(self, job: Job) -> GenerationRequest | None:
        session = await sessions.find(self._database, job.source_id, team_id=job.team_id)
        if session is None:
            return None
        happened = await events.of_session(
            self._database,
            session.id,
            team_id=job.team_id,
            project_id=job.project_id,
            limit=SUMMARY_EVENTS,
        )
        if not happened:
            return None
        known = await observations.list_rows(
            self._database,
            team_id=job.team_id,
            project_id=job.project_id,
            kind=None,
            session_id=session.id,
            before=None,
            limit=SUMMARY_OBSERVATIONS,
        )
        prompt = session.metadata.members.get("prompt")
        remembered = tuple(
            ObservationInput(
                id=found.id,
                kind=found.kind,
                content=found.content,
                metadata=found.metadata.members,
                created_at_ms=found.created_ms,
            )
            for found in (rows.observation(row) for row in reversed(known))
        )
        return await self._build(
            job, tuple(happened), remembered, session_prompt=prompt if isinstance(prompt, str) else None
        )

    async def _build(
        self,
        job: Job,
        happened: tuple[Event, ...],
        remembered: tuple[ObservationInput, ...] = (),
        *,
        session_prompt: str | None = None,
    ) -> GenerationRequest:
        project = await tenancy.find_project(self._database, project_id=job.project_id, team_id=job.team_id)
        return GenerationRequest(
            kind=job.lane,
            job_id=job.id,
            project_id=job.project_id,
            team_id=job.team_id,
            events=tuple(_seen(event) for event in happened),
            mode=self._options.mode,
            project_name=project.name if project else None,
            server_session_id=job.server_session_id,
            observations=remembered,
            session_prompt=session_prompt,
            language=self._options.language,
        )

    async def _fail_or_retry(
        self, executor: Executor, job: Job, claimed: jobs.Claim, failure: persisting.Failure
    ) -> None:
        if not failure.retryable or job.attempts >= job.max_attempts:
            await persisting.fail(executor, job, claimed, failure)
            return
        delay_s = self._options.retry_base_s * 2 ** (job.attempts - 1)
        if failure.retry_after_ms is not None:
            delay_s = failure.retry_after_ms / 1000
        await persisting.retry(
            executor, job, claimed, failure, next_attempt_us=now_us() + int(delay_s * 1_000_000)
        )

    async def _end(self, work: Callable[[Executor], Awaitable[None]]) -> None:
        """Store how a job ended, again and again while the database is away: the answer has been paid for."""
        while True:
            try:
                await run_transaction(self._database, work)
            except (Unavailable, Retryable):
                logger.warning("an answer waits for the database")
                await asyncio.sleep(STORE_AGAIN_S)
            else:
                return

    async def give_up(self, job: Job, claimed: jobs.Claim, error: Exception) -> None:
        """End a job that met an error nobody foresaw; a person may look at it and try again.

        Parameters:
            error: what happened; its class is kept, its text is not, for it may quote what is private.
        """
        failure = persisting.Failure("unknown", f"unexpected {type(error).__name__} while generating")
        try:
            await self._end(lambda transaction: persisting.fail(transaction, job, claimed, failure))
        except StorageError as second:
            logger.warning(
                "a job could not be ended", extra={"jobId": job.id, "reason": type(second).__name__}
            )


def _asking_key(payload: dict[str, Any]) -> str | None:
    """The id of the key that last asked for a job; None when it was nobody's.

    An operator who tries a job again vouches for it: the key of its first request may be gone by then.
    """
    if "last_retried_by" in payload:
        return None
    key_id = payload.get("last_retried_by_actor" if "last_retried_by_actor" in payload else "api_key_id")
    return key_id if isinstance(key_id, str) else None


def _payload(event: Event) -> Any:
    """What was observed; as text where it is nested deeper than the parser goes, as adopted rows may be."""
    try:
        return event.payload.value
    except ValueError:
        return event.payload.text


def _seen(event: Event) -> EventInput:
    return EventInput(
        id=event.id,
        event_type=event.event_type,
        source_adapter=event.source_adapter,
        occurred_at_ms=event.occurred_ms,
        payload=_payload(event),
    )
