"""What is close in meaning to a question: ids of a project's memories, or why there are none. It never fails a search."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from claude_mem.model.errors import ClaudeMemError
from claude_mem.retrieval.fusion import MEANINGS, meant
from claude_mem.services.question_vectors import NoVector
from claude_mem.storage import vectors
from claude_mem.storage.database import StorageError
from claude_mem.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from claude_mem.retrieval.query import Query
    from claude_mem.services.question_vectors import QuestionVectors
    from claude_mem.services.vector_support import VectorSupport
    from claude_mem.storage.database import Database
    from claude_mem.storage.search import Filters

logger = logging.getLogger(__name__)

#: How many times as many are read where only their texts tell which of them pass.
_SPARE = 4


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a question's meaning brought.

    Parameters:
        nearest: ids with their similarity, most similar first.
        missing: why meaning had no say, `not_supported`, `timeout`, `endpoint_failed`, `circuit_open`, `budget_spent`,
            `database_failed` or `no_words`; None where it had.
    """

    model: str
    nearest: list[tuple[str, float]] = field(default_factory=list)
    missing: str | None = None


class SemanticSearch:
    """Compares questions with memories.

    Parameters:
        min_similarity: cosine below which nothing counts as close.
        timeout_s: seconds that the database has to compare.
    """

    def __init__(
        self,
        database: Database,
        support: VectorSupport,
        questions: QuestionVectors,
        *,
        model: str,
        min_similarity: float,
        timeout_s: float,
    ) -> None:
        self._database = database
        self._support = support
        self._questions = questions
        self._model = model
        self._min_similarity = min_similarity
        self._timeout_s = timeout_s

    async def near(
        self,
        text: str,
        query: Query,
        *,
        team_id: str,
        project_id: str,
        filters: Filters,
        read_in_texts: bool,
    ) -> Meaning:
        """The memories of a project that are closest to a question and pass the filters.

        Parameters:
            text: the question as it was typed, and `query` as it was read.
            read_in_texts: whether more is asked of a memory than the filters can tell, so that many may fall away.
        """
        said = meant(text)
        if not query.terms or not said:
            return self._counted(Meaning(self._model, missing="no_words"))
        try:
            found = await self._near(
                said,
                team_id=team_id,
                project_id=project_id,
                filters=filters,
                limit=MEANINGS * _SPARE if read_in_texts else MEANINGS,
            )
        except (ClaudeMemError, StorageError) as error:
            # The words' own ranking may have been read already; it is worth more than an error.
            self._support.lost()
            logger.info("vectors were not compared", extra={"reason": type(error).__name__})
            found = Meaning(self._model, missing="database_failed")
        return self._counted(found)

    async def _near(
        self, text: str, *, team_id: str, project_id: str, filters: Filters, limit: int
    ) -> Meaning:
        if not await self._support.ready():
            return Meaning(self._model, missing="not_supported")
        question = await self._questions.of(text, team_id=team_id, project_id=project_id)
        if isinstance(question, NoVector):
            return Meaning(self._model, missing=question.reason)
        try:
            async with asyncio.timeout(self._timeout_s):
                nearest = await self._compare(
                    question, team_id=team_id, project_id=project_id, filters=filters, limit=limit
                )
        except TimeoutError:
            return Meaning(self._model, missing="timeout")
        return Meaning(self._model, [one for one in nearest if one[1] >= self._min_similarity])

    async def _compare(
        self, question: Sequence[float], *, team_id: str, project_id: str, filters: Filters, limit: int
    ) -> list[tuple[str, float]]:
        with metrics.VECTORS_COMPARED_SECONDS.time():
            return await vectors.nearest(
                self._database,
                question,
                model=self._model,
                team_id=team_id,
                project_id=project_id,
                filters=filters,
                limit=limit,
            )

    def _counted(self, meaning: Meaning) -> Meaning:
        metrics.SEMANTIC_SEARCHES.labels(meaning.missing or "fused").inc()
        return meaning

    async def write_usage(self) -> None:
        """Store what questions cost."""
        await self._questions.write_usage()
