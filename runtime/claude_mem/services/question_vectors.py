"""A question's vector: made once, within a short time, or not at all; search goes on without it."""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from claude_mem.generation.breaker import CircuitBreaker
from claude_mem.generation.errors import GenerationError, ProviderTimeoutError
from claude_mem.model.errors import ClaudeMemError
from claude_mem.model.times import now_us
from claude_mem.services.embedding_costs import embed, estimated_tokens, usage_row
from claude_mem.services.lru import Lru
from claude_mem.storage import usage
from claude_mem.storage.database import StorageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from claude_mem.embeddings.port import Embedded, Embedder
    from claude_mem.services.budgets import BudgetService
    from claude_mem.storage.database import Database

logger = logging.getLogger(__name__)

#: Characters of a question that are sent; a longer one is a pasted text, whose beginning says what it is.
MOST_CHARACTERS = 2_000

#: Vectors of questions that a process keeps. Each is a few kilobytes.
KEPT = 512

#: Usage rows that wait to be written, at most.
MOST_USAGE = 10_000


@dataclass(frozen=True, slots=True)
class NoVector:
    """Why a question has none: `timeout`, `endpoint_failed`, `circuit_open` or `budget_spent`."""

    reason: str


class QuestionVectors:
    """Makes vectors of questions.

    What one team asks is never answered from what another asked: not even the time of an answer tells of it.

    Parameters:
        timeout_s: seconds that the endpoint has.
    """

    def __init__(
        self, database: Database, embedder: Embedder, budgets: BudgetService, *, timeout_s: float
    ) -> None:
        self._database = database
        self._embedder = embedder
        self._budgets = budgets
        self._timeout_s = timeout_s
        self._breaker = CircuitBreaker()
        self._kept: Lru[tuple[str, str], Sequence[float]] = Lru(KEPT)
        self._usage: deque[usage.UsageRow] = deque(maxlen=MOST_USAGE)
        self._failing = False

    async def of(self, text: str, *, team_id: str, project_id: str) -> Sequence[float] | NoVector:
        """The vector of a question that a team asks of a project.

        Raises: Unavailable when the database cannot be asked for budgets.
        """
        text = text[:MOST_CHARACTERS]
        kept = self._kept.get((team_id, text))
        if kept is not None:
            return kept
        now = now_us()
        async with self._budgets.hold(
            team_id=team_id, project_id=project_id, estimated_tokens=estimated_tokens([text]), now_us=now
        ) as admission:
            if not admission.allowed:
                return NoVector("budget_spent")
            made = await self._call(text)
        if isinstance(made, NoVector):
            return made
        row = usage_row(
            team_id=team_id,
            project_id=project_id,
            model=self._embedder.model,
            tokens=made.tokens,
            at_us=now,
        )
        self._usage.append(row)
        self._kept.put((team_id, text), made.vectors[0])
        return made.vectors[0]

    async def _call(self, text: str) -> Embedded | NoVector:
        ticket = self._breaker.admit()
        if ticket is None:
            return NoVector("circuit_open")
        try:
            made = await embed(
                self._embedder,
                [text],
                purpose="question",
                timeout_s=self._timeout_s,
                prices=self._budgets.prices,
            )
        except GenerationError as error:
            # Every failure counts, also a refused key: each would cost a search its time.
            self._breaker.failed(ticket)
            self._tell(error)
            return NoVector("timeout" if isinstance(error, ProviderTimeoutError) else "endpoint_failed")
        except BaseException:
            self._breaker.abandon(ticket)
            raise
        self._breaker.answered(ticket)
        self._failing = False
        return made

    def _tell(self, error: GenerationError) -> None:
        """Log the first failure after a success; each search would say it again."""
        if not self._failing:
            self._failing = True
            logger.warning("questions get no vectors, words alone answer: %s", error.message)

    async def write_usage(self) -> None:
        """Store what calls cost; what cannot be stored now waits."""
        waiting = [self._usage.popleft() for _ in range(len(self._usage))]
        try:
            await usage.append(self._database, waiting)
        except (ClaudeMemError, StorageError) as error:
            self._usage.extendleft(reversed(waiting))
            logger.info("the usage of questions waits", extra={"reason": type(error).__name__})
