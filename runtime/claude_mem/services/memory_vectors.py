"""Memories get their vectors: beside everything else, in batches, and again when a memory or the model changes.

Nothing waits for it. A batch is claimed for a while, so two workers never pay for the same text, and what a worker that
died had claimed is taken up when its time is over. What becomes of a failure follows its class: a service that cannot be
used is left alone for a while, a text that is refused is tried more and more seldom.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from claude_mem.generation.errors import GenerationError, RateLimitError, TransientError, UnrecoverableError
from claude_mem.model.errors import ClaudeMemError
from claude_mem.model.times import now_us
from claude_mem.retrieval.passages import passages
from claude_mem.services.embedding_costs import embed, estimated_tokens, usage_row
from claude_mem.storage import usage, vectors
from claude_mem.storage.database import StorageError, run_transaction
from claude_mem.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from claude_mem.embeddings.port import Embedded, Embedder
    from claude_mem.services.budgets import BudgetService
    from claude_mem.services.vector_support import VectorSupport
    from claude_mem.storage.database import Database, Executor
    from claude_mem.storage.vectors import ClaimTerms, Due

logger = logging.getLogger(__name__)

#: Seconds between looks that find nothing; a look that is slow is made more seldom, so that all take a fiftieth at most.
IDLE_S = 2.0
_SHARE = 50

#: Seconds for which a service is left alone after a passing failure, doubled each time, and after one that people mend.
FIRST_PAUSE_S = 5.0
LONGEST_PAUSE_S = 300.0

#: Seconds beyond a call's own time for which a claim lasts, and those that giving it back may take.
_MARGIN_S = 60
_PARTING_S = 2.0

_US = 1_000_000


@dataclass(slots=True)
class _Progress:
    """What became of one claim.

    Parameters:
        stored: memories that got a vector.
        refused: ids of those whose text the service refused.
    """

    stored: int = 0
    refused: list[str] = field(default_factory=list)


class _Cut(NamedTuple):
    """A memory, and the passages of its text that are sent."""

    due: Due
    passages: list[str]


class MemoryVectors:
    """Gives memories their vectors, in one process of any number.

    Parameters:
        terms: a call has as many texts as a claim has memories, at most.
        passage: characters of a text that share a vector, at most.
        timeout_s: seconds that a call may take.
    """

    def __init__(
        self,
        database: Database,
        embedder: Embedder,
        support: VectorSupport,
        budgets: BudgetService,
        *,
        terms: ClaimTerms,
        passage: int,
        timeout_s: float,
    ) -> None:
        self._database = database
        self._embedder = embedder
        self._support = support
        self._budgets = budgets
        self._terms = terms
        self._passage = passage
        self._timeout_s = timeout_s
        self._failures = 0
        self._waiting: dict[str, int] = {}

    async def run(self) -> None:
        """Go on for as long as the process lives; every failure is tried again."""
        pause = 0.0
        while True:
            await asyncio.sleep(pause)
            try:
                pause = await self.step()
            except Exception:
                # Nobody waits for vectors; what nobody foresaw must end no process, and no loop for good.
                logger.exception("memories wait for their vectors")
                pause = LONGEST_PAUSE_S

    async def step(self) -> float:
        """Claim a batch and do what can be done of it.

        Returns: seconds after which there may be more to do.
        """
        holder = secrets.token_hex(8)
        claimed = False
        try:
            if not await self._support.ready():
                return LONGEST_PAUSE_S / 10
            started = time.monotonic()
            due = await self._claim(holder)
            if not due:
                return max(IDLE_S, _SHARE * (time.monotonic() - started))
            claimed = True
            return await self._embed(due, holder)
        except (ClaudeMemError, StorageError) as error:
            logger.info("memories wait for their vectors", extra={"reason": type(error).__name__})
            self._support.lost()
            return FIRST_PAUSE_S
        finally:
            if claimed:
                await self._give_back(holder)

    async def _claim(self, holder: str) -> list[Due]:
        now = now_us()
        self._waiting = {project: until for project, until in self._waiting.items() if until > now}
        until = now + int((2 * self._timeout_s + _MARGIN_S) * _US)
        return await run_transaction(
            self._database,
            lambda transaction: vectors.claim(
                transaction,
                self._terms,
                holder=holder,
                until_us=until,
                now_us=now,
                without=sorted(self._waiting),
            ),
        )

    async def _embed(self, due: Sequence[Due], holder: str) -> float:
        """Embed batch after batch, for as long as the claim is sure to last; the rest is claimed again."""
        deadline = time.monotonic() + self._timeout_s
        progress = _Progress()
        try:
            for batch in self._batches(due):
                if time.monotonic() > deadline:
                    break
                await self._embed_batch(batch, holder, progress)
        except GenerationError as error:
            return self._pause(error)
        finally:
            if progress.refused:
                await vectors.refuse(self._database, progress.refused, holder=holder, now_us=now_us())
        if progress.refused and not progress.stored:
            # Not these texts alone, it seems.
            return LONGEST_PAUSE_S
        self._failures = 0
        return 0.0

    def _batches(self, due: Sequence[Due]) -> Iterator[list[_Cut]]:
        """What goes into one call: memories of one project, with as many passages as a call may have texts."""
        for _, members in itertools.groupby(due, key=lambda one: (one.team_id, one.project_id)):
            batch: list[_Cut] = []
            texts = 0
            for one in members:
                cut = _Cut(one, passages(one.text, size=self._passage)[: self._terms.limit])
                if batch and texts + len(cut.passages) > self._terms.limit:
                    yield batch
                    batch, texts = [], 0
                batch.append(cut)
                texts += len(cut.passages)
            yield batch

    async def _embed_batch(self, batch: Sequence[_Cut], holder: str, progress: _Progress) -> None:
        first, now = batch[0].due, now_us()
        texts = [text for one in batch for text in one.passages]
        if first.project_id in self._waiting:
            return
        async with self._budgets.hold(
            team_id=first.team_id,
            project_id=first.project_id,
            estimated_tokens=estimated_tokens(texts),
            now_us=now,
        ) as admission:
            await self._budgets.record_warning(admission, now_us=now)
            if admission.waits_until_us is not None:
                self._waiting[first.project_id] = admission.waits_until_us
                return
            try:
                made = await embed(
                    self._embedder,
                    texts,
                    purpose="memory",
                    timeout_s=self._timeout_s,
                    prices=self._budgets.prices,
                )
            except UnrecoverableError as error:
                if error.status == 404:
                    raise
                refused = error
            else:
                await self._store(batch, made, holder, progress)
                return
        if len(batch) == 1:
            logger.info("a memory gets no vector for now: %s", refused.message)
            progress.refused.append(first.id)
            return
        # One text may spoil the call of all.
        half = len(batch) // 2
        await self._embed_batch(batch[:half], holder, progress)
        await self._embed_batch(batch[half:], holder, progress)

    async def _store(self, batch: Sequence[_Cut], made: Embedded, holder: str, progress: _Progress) -> None:
        first, now = batch[0].due, now_us()
        row = usage_row(
            team_id=first.team_id,
            project_id=first.project_id,
            model=self._embedder.model,
            tokens=made.tokens,
            at_us=now,
        )

        async def work(transaction: Executor) -> int:
            rest = iter(made.vectors)
            pairs = [(one.due, list(itertools.islice(rest, len(one.passages)))) for one in batch]
            stored = await vectors.store(transaction, pairs, holder=holder, now_us=now)
            # Last, for it locks the counters of the team until the end.
            await usage.append(transaction, [row])
            return stored

        stored = await run_transaction(self._database, work)
        progress.stored += stored
        metrics.MEMORIES_EMBEDDED.inc(stored)

    def _pause(self, error: GenerationError) -> float:
        self._failures += 1
        logger.warning("memories wait for their vectors: %s", error.message)
        if not isinstance(error, TransientError | RateLimitError):
            return LONGEST_PAUSE_S
        asked = (error.retry_after_ms or 0) / 1000
        grown: float = FIRST_PAUSE_S * 2 ** min(self._failures - 1, 10)
        return max(asked, min(grown, LONGEST_PAUSE_S))

    async def _give_back(self, holder: str) -> None:
        """Let others have what is left at once; without it they have it when the claim is over."""
        try:
            async with asyncio.timeout(_PARTING_S):
                await vectors.release(self._database, holder=holder, until_us=now_us())
        except (TimeoutError, ClaudeMemError, StorageError) as error:
            logger.info("a claim ends by itself", extra={"reason": type(error).__name__})
