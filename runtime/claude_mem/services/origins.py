"""What led to a memory: its events, the jobs and provider calls that made it, and the summaries that were told of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from claude_mem.generation.content import SUMMARY_KIND
from claude_mem.model.errors import NotFound
from claude_mem.model.times import now_us
from claude_mem.services.refusals import refuse_storage_errors
from claude_mem.services.timeline import entry_of
from claude_mem.storage import audit, observations, origins, rows
from claude_mem.storage.search import parted
from claude_mem.storage.timeline import PAGE_CHARACTERS

if TYPE_CHECKING:
    from claude_mem.generation.prices import PriceList
    from claude_mem.model.records import Job, Observation, ObservationSource
    from claude_mem.services.context import RequestContext
    from claude_mem.services.timeline import Entry
    from claude_mem.storage.database import Database
    from claude_mem.storage.usage import UsageRow

#: Events, jobs, calls or summaries that are told of at most.
MOST: Final = 100


@dataclass(frozen=True, slots=True)
class Call:
    """A provider call that a memory came of.

    Parameters:
        tokens: of the whole call.
        jobs: how many jobs shared it; None where nobody noted that.
        micro_usd: what it cost, in millionths of a US dollar; None for a model without a price.
    """

    at_ms: int
    provider: str | None
    model: str | None
    tokens: int
    input_tokens: int
    output_tokens: int
    jobs: int | None
    micro_usd: int | None


@dataclass(frozen=True, slots=True)
class Origin:
    """What led to a memory, and what was made of it.

    Parameters:
        sources: what it is linked to; a memory that somebody wrote has none.
        events: of the sources that are still there, oldest first.
        calls: those of which it is known.
        summaries: of the memory's session, made when the memory was there, oldest first.
    """

    memory: Observation
    sources: list[ObservationSource]
    events: list[Entry]
    jobs: list[Job]
    calls: list[Call]
    summaries: list[Entry]


class OriginService:
    """Tells where memories come from, within the caller's scope.

    Parameters:
        prices: what the tokens of a model cost.
    """

    def __init__(self, database: Database, *, prices: PriceList) -> None:
        self._database = database
        self._prices = prices

    async def of_memory(self, context: RequestContext, memory_id: str) -> Origin:
        """Look up what led to a memory.

        Raises: NotFound in another team, Forbidden in a sibling project, Unavailable.
        """
        with refuse_storage_errors():
            memory = await observations.find(self._database, memory_id, team_id=context.team_id)
            if memory is None:
                raise NotFound("Memory not found")
            context.check_project(memory.project_id)
            made = origins.Made(memory.id, memory.team_id, memory.project_id)
            found = Origin(
                memory,
                sources=await origins.sources(self._database, made, limit=MOST),
                events=[entry_of(row) for row in await origins.events(self._database, made, limit=MOST)],
                jobs=await origins.jobs(self._database, made, limit=MOST),
                calls=[self._call(row) for row in await origins.calls(self._database, made, limit=MOST)],
                summaries=await self._summaries(memory),
            )
            entry = context.audit(
                "observation.read",
                "observation",
                resource_id=memory.id,
                project_id=memory.project_id,
                mode="origin",
                observationIds=[each.id for each in found.summaries],
            )
            await audit.append_alone(self._database, entry, now_us=now_us())
        return found

    def _call(self, row: UsageRow) -> Call:
        told = row.metadata
        given, gave = _count(told.get("inputTokens")), _count(told.get("outputTokens"))
        model = _text(told.get("model"))
        price = self._prices.price(model or "")
        return Call(
            at_ms=row.at_us // 1000,
            provider=_text(told.get("provider")),
            model=model,
            tokens=row.quantity,
            input_tokens=given,
            output_tokens=gave,
            jobs=_count(told.get("jobs")) or None,
            micro_usd=None
            if price is None
            else price.micro_usd(tokens=row.quantity, input_tokens=given, output_tokens=gave),
        )

    async def _summaries(self, memory: Observation) -> list[Entry]:
        if memory.server_session_id is None or memory.kind == SUMMARY_KIND:
            return []
        newest_first = await observations.list_rows(
            self._database,
            team_id=memory.team_id,
            project_id=memory.project_id,
            kind=SUMMARY_KIND,
            session_id=memory.server_session_id,
            before=None,
            limit=MOST,
            most=PAGE_CHARACTERS,
        )
        return [
            entry_of(row)
            for row in reversed(parted(newest_first)[0])
            if rows.observation(row).created_ms >= memory.created_ms
        ]


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _count(value: object) -> int:
    """A number of somebody else's document; 0 where it is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
