"""Contexts within a budget: what an agent should know of a project now, or of what it is about to do."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from claude_mem.generation.content import SUMMARY_KIND
from claude_mem.model.times import now_us
from claude_mem.retrieval.parser import parse
from claude_mem.services.choosing import by_question, by_recency, choose
from claude_mem.services.packing import pack
from claude_mem.services.refusals import refuse_storage_errors
from claude_mem.storage import sessions

if TYPE_CHECKING:
    from claude_mem.model.records import Observation
    from claude_mem.services.context import RequestContext
    from claude_mem.services.packing import Packed
    from claude_mem.services.questions import Question
    from claude_mem.services.recall import RecallService
    from claude_mem.storage.database import Database

#: Memories that are chosen from beyond as many as may be told: the best matches, or the newest. Beside the newest
#: memories, the newest summaries.
SPARE = 20
SUMMARIES = 10

#: Tokens and memories of a context, where nothing is said, and at most.
TOKENS = 4_000
MOST_TOKENS = 200_000
MEMORIES = 50
MOST_MEMORIES = 100


@dataclass(frozen=True, slots=True)
class Briefing:
    """A context within a budget.

    Parameters:
        packed: the text, and what is in it.
        max_tokens: the bound that it keeps.
        folded: memories that are not told because another one says the same.
    """

    packed: Packed
    max_tokens: int
    folded: int

    @property
    def memories(self) -> list[Observation]:
        """The memories that are told, in the order of the text."""
        return [told.candidate.memory for group in self.packed.groups for told in group.told]


class BriefingService:
    """Makes contexts of what is remembered."""

    def __init__(self, database: Database, recall: RecallService) -> None:
        self._database = database
        self._recall = recall

    async def brief(self, context: RequestContext, question: Question, *, max_tokens: int) -> Briefing:
        """What is most useful within the tokens.

        Parameters:
            question: what the context is for; with an empty text, what is most useful to know at the start of anything.
                Its limit bounds the number of memories.
            max_tokens: bound of the text, by the estimate that generation uses.

        Raises: Forbidden, InvalidInput, Unavailable.
        """
        asked = bool(question.text.strip())
        wide = replace(question, limit=question.limit + SPARE)
        if asked:
            page = await self._recall.look(context, wide)
            candidates = by_question(page.hits, parse(question.text, now_us=now_us()))
        else:
            newest = await self._recall.latest(context, wide)
            summaries = await self._recall.latest(context, replace(wide, limit=SUMMARIES), kind=SUMMARY_KIND)
            known = {memory.id: memory for memory in (*newest, *summaries)}
            candidates = by_recency(known.values(), now_ms=now_us() // 1000)
        # Comparing each with each takes milliseconds that other requests should not wait for.
        chosen = await asyncio.to_thread(choose, candidates)
        wanted = {each.memory.server_session_id for each in chosen} - {None}
        with refuse_storage_errors():
            found = await sessions.find_by_ids(
                self._database, sorted(filter(None, wanted)), team_id=context.team_id
            )
        packed = await asyncio.to_thread(
            pack, chosen, sessions=found, max_tokens=max_tokens, limit=question.limit
        )
        briefing = Briefing(packed, max_tokens, len(candidates) - len(chosen))
        await self._recall.record(
            context, question, found=briefing.memories, mode="context", maxTokens=max_tokens
        )
        return briefing
