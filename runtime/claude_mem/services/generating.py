"""Calls are made, their answers kept and stored; what fails is tried again, put off, or ended with its reason.

Outcomes of many calls that end together are stored in one transaction. While the database is away they wait: an answer
that was paid for is not thrown away.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from claude_mem.generation.content import render_observation, render_summary
from claude_mem.generation.errors import GenerationError
from claude_mem.generation.failover import CIRCUIT_OPEN
from claude_mem.generation.port import CallAdmission, Guarded
from claude_mem.model.errors import Unavailable
from claude_mem.model.identity import new_id
from claude_mem.model.times import now_us
from claude_mem.services import calls
from claude_mem.services.answers import KeptAnswer
from claude_mem.services.budget_changes import WAITING
from claude_mem.services.failures import Failure
from claude_mem.services.group import GroupCommit
from claude_mem.services.measuring import count_outcome, count_usage
from claude_mem.services.outcomes import Answered, Drafted, Failed, Outcome, Postponed, Taken
from claude_mem.services.settling import keep, settle
from claude_mem.services.shown import ShownTexts
from claude_mem.storage import work
from claude_mem.storage.database import Retryable, StorageError, run_transaction
from claude_mem.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from claude_mem.generation.port import Provider, Usage
    from claude_mem.services.budgets import BudgetService
    from claude_mem.services.calls import Call, Plan
    from claude_mem.services.requests import CallTerms
    from claude_mem.storage.database import Database

logger = logging.getLogger(__name__)

Stored = TypeVar("Stored")

#: The provider that asks nobody and so costs nothing.
OFFLINE = "offline"

#: Tokens of a reply and of a prompt's frame, as estimated before a call.
REPLY_TOKENS = 2_000

#: Seconds between tries to store an answer that was paid for, while the database does not answer.
STORE_AGAIN_S = 1.0

#: Milliseconds until a job that no provider could be asked about is looked at again, unless they say otherwise.
CIRCUIT_PAUSE_MS = 3000


def _nothing() -> None:
    """Nobody wants to know."""


class Generator:
    """Works claimed jobs off.

    Parameters:
        provider: asked once for each call.
        terms: how jobs are put together to calls.
        budgets: asked before each call of a model; jobs that do not fit wait.
        retry_base_s: seconds before the second attempt; doubled for each further one.
    """

    def __init__(
        self,
        database: Database,
        provider: Provider,
        terms: CallTerms,
        budgets: BudgetService,
        *,
        retry_base_s: float,
    ) -> None:
        self._database = database
        self._provider = provider
        self._terms = terms
        self._budgets = budgets
        self._retry_base_s = retry_base_s
        self._shown = ShownTexts()
        self._settling: GroupCommit[Outcome, None] = GroupCommit(
            "settle", self._settle, largest=64, parallel=2
        )
        self._keeping: GroupCommit[tuple[str, list[work.KeptReply]], None] = GroupCommit(
            "keep", self._keep, largest=64, parallel=2
        )

    @property
    def provider(self) -> Provider:
        return self._provider

    @property
    def admission(self) -> CallAdmission:
        """How many calls the provider would let through now."""
        return self._provider.admission if isinstance(self._provider, Guarded) else CallAdmission()

    async def plan(self, group: Sequence[Taken], *, room: int) -> Plan:
        """What is to be done about claimed jobs.

        Parameters:
            room: bytes of their texts that may be read now.

        Raises: Unavailable.
        """
        return await calls.plan(self._database, group, self._terms, room=room)

    async def settle(self, outcome: Outcome) -> None:
        """Store an outcome, together with others, again and again while the database is away."""
        await self._settling.submit(outcome)

    async def make(self, call: Call, *, over: Callable[[], None] = _nothing) -> None:
        """Make a call and store what came of it; where the budget is spent, let its jobs wait.

        Parameters:
            over: is called when the provider has answered or failed, or is not asked; what follows is storing.

        Raises: Unavailable when the database cannot say what was spent; then no call was made.
        """
        if self._provider.name == OFFLINE:
            await self._ask(call, over)
            return
        job = call.taken[0].job
        async with self._budgets.hold(
            team_id=job.team_id,
            project_id=job.project_id,
            estimated_tokens=call.tokens + REPLY_TOKENS,
            now_us=now_us(),
        ) as admission:
            if admission.warning:
                await self._budgets.record_warning(admission, now_us=now_us())
            if admission.allowed:
                await self._ask(call, over)
        if not admission.allowed:
            over()
            spent = Failure(WAITING, "the token budget is spent")
            await self._postpone(call.taken, admission.waits_until_us, spent)

    async def _postpone(self, taken: Sequence[Taken], until_us: int | None, failure: Failure) -> None:
        await asyncio.gather(*[self.settle(Postponed(each, until_us, failure)) for each in taken])

    async def _ask(self, call: Call, over: Callable[[], None]) -> None:
        jobs_of = {event_id: list(job_ids) for event_id, job_ids in call.jobs_of.items()}
        request = replace(call.request, had_before=self._shown.before(call.request))
        try:
            with metrics.CALLS_UNDER_WAY.track_inprogress():
                result = await self._provider.generate(request)
        except GenerationError as error:
            over()
            if error.usage is not None:
                self._count(error.usage, error.provider, error.model)
            await self._answer_failed(call.taken, error)
            return
        over()
        self._count(result.usage, result.provider, result.model)
        reply = KeptAnswer(result, jobs_of, request.mode.default_type)
        if request.kind == "event":
            self._shown.add(request)
        call_id = new_id()
        if reply.result.text is not None:
            document = reply.document()
            replies = [work.KeptReply(taken.job.id, call_id, document) for taken in call.taken]
            await self._keeping.submit((call.taken[0].job.project_id, replies))
        await self.settle(self._answered(call.taken, reply, call_id))

    def _count(self, usage: Usage, provider: str, model: str) -> None:
        count_usage(usage, provider=provider, model=model, prices=self._budgets.prices)

    async def use(self, taken: Sequence[Taken], call_id: str, document: str) -> None:
        """Store what an earlier attempt paid for.

        Parameters:
            taken: those of the call's jobs that are here now; the others are done by now, or come later.
        """
        try:
            reply = KeptAnswer.read(document, default_type=self._terms.mode.default_type)
        except GenerationError as error:
            await self._answer_failed(taken, error)
            return
        await self.settle(self._answered(tuple(taken), reply, call_id))

    async def give_up(self, taken: Sequence[Taken], error: Exception) -> None:
        """End jobs that met an error nobody foresaw; a person may look at them and try again.

        Parameters:
            error: what happened; its class is kept, its text is not, for it may quote what is private.
        """
        failure = Failure("unknown", f"unexpected {type(error).__name__} while generating")
        try:
            for each in taken:
                await self.settle(Failed(each, failure, None))
        except StorageError as second:
            logger.warning("jobs could not be ended", extra={"reason": type(second).__name__})

    def _answered(self, taken: tuple[Taken, ...], reply: KeptAnswer, call_id: str) -> Answered:
        result = reply.result
        return Answered(
            taken,
            tuple(self._drafted(taken, reply)),
            call_id=call_id,
            usage=result.usage,
            provider=result.provider,
            model=result.model,
        )

    @staticmethod
    def _drafted(taken: Sequence[Taken], reply: KeptAnswer) -> list[Drafted]:
        result = reply.result
        wrote: dict[str, Any] = {
            "provider": result.provider,
            "model": result.model,
            "method": result.method,
        }
        present = {each.job.id for each in taken}
        if result.reply.skipped:
            return []
        if taken[0].job.lane == "summary":
            if result.reply.summary is None:
                return []
            summary = render_summary(result.reply.summary, **wrote)
            job_id = taken[0].job.id
            return [Drafted(summary, 0, job_id, (job_id,))] if summary.content.strip() else []
        everyone = [job_id for job_ids in reply.jobs_of.values() for job_id in job_ids]
        drafted = []
        for index, draft in enumerate(result.reply.observations):
            named = {job_id for event_id in draft.source_events for job_id in reply.jobs_of.get(event_id, ())}
            owners = [job_id for job_id in everyone if job_id in named] or everyone
            job_ids = tuple(job_id for job_id in owners if job_id in present)
            item = render_observation(draft, **wrote)
            if job_ids and item.content.strip():
                drafted.append(Drafted(item, index, owners[0], job_ids))
        return drafted

    async def _answer_failed(self, taken: Sequence[Taken], error: GenerationError) -> None:
        if error.category == CIRCUIT_OPEN:
            # Nobody was asked, so no attempt was used.
            until = now_us() + (error.retry_after_ms or CIRCUIT_PAUSE_MS) * 1000
            await self._postpone(taken, until, Failure.of(error))
            return
        await self._fail(taken, Failure.of(error))

    async def set_back(self, taken: Sequence[Taken], error: Exception) -> None:
        """Try jobs again later that cannot be worked on for an error nobody foresaw; end them after their last attempt.

        Parameters:
            error: what happened; its class is kept, its text is not, for it may quote what is private.
        """
        reason = f"unexpected {type(error).__name__} before any provider was asked"
        await self._fail(taken, Failure("unknown", reason, retryable=True))

    async def _fail(self, taken: Sequence[Taken], failure: Failure) -> None:
        outcomes = [
            Failed(
                each,
                failure,
                failure.pause_us(each.job, retry_base_s=self._retry_base_s),
                counts_usage=place == 0,
            )
            for place, each in enumerate(taken)
        ]
        await asyncio.gather(*[self.settle(outcome) for outcome in outcomes])

    async def _settle(self, outcomes: Sequence[Outcome]) -> Sequence[Exception | None]:
        try:
            stored = await self._persist(
                lambda: run_transaction(self._database, lambda transaction: settle(transaction, outcomes))
            )
        except Exception as error:
            if len(outcomes) == 1:
                return [error]
            # One answer that cannot be stored must not take the others with it.
            return [(await self._settle([outcome]))[0] for outcome in outcomes]
        # Here, not where each outcome came from: a heartbeat after the commit ends whoever still waits for it.
        for outcome in stored:
            count_outcome(outcome)
        return [None] * len(outcomes)

    async def _keep(self, calls: Sequence[tuple[str, list[work.KeptReply]]]) -> Sequence[None]:
        projects = {project_id for project_id, _ in calls}
        replies = sorted((reply for _, kept in calls for reply in kept), key=lambda reply: reply.job_id)
        await self._persist(lambda: keep(self._database, projects, replies))
        return [None] * len(calls)

    async def _persist(self, store: Callable[[], Awaitable[Stored]]) -> Stored:
        while True:
            try:
                return await store()
            except (Unavailable, Retryable):
                logger.warning("an answer waits for the database")
                await asyncio.sleep(STORE_AGAIN_S)
