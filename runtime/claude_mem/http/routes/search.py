"""Search and context: memories found by their words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web

from claude_mem.http import recollections, wire
from claude_mem.http.access import authorize
from claude_mem.http.answers import answer
from claude_mem.http.keys import SERVICES
from claude_mem.http.openapi.operation import JSON, Operation, Other, describe
from claude_mem.http.responses import found, told
from claude_mem.http.schemas import BRIEFING, CONTEXT, EITHER_CONTEXT, SEARCH
from claude_mem.http.validation import read_json, validate
from claude_mem.model.platforms import normalise_platform
from claude_mem.model.scopes import READ
from claude_mem.services.questions import Question
from claude_mem.storage.search import Filters

if TYPE_CHECKING:
    from claude_mem.http.schemas import BriefingBody, ContextBody, SearchBody
    from claude_mem.retrieval.fusion import Placed
    from claude_mem.retrieval.ranking import Contribution, Statistics
    from claude_mem.services.context import RequestContext
    from claude_mem.services.questions import Hit
    from claude_mem.services.semantic import Meaning

#: Members of a body that ask for a budget.
_BUDGETED = frozenset({"maxTokens", "format"})


@describe(
    Operation(
        "search",
        "Find memories, best first",
        tag="Memories",
        scope=READ,
        body=SEARCH,
        answers={200: found.SearchAnswer},
    )
)
async def search(request: web.Request) -> web.Response:
    """POST /v1/search."""
    context = await authorize(request, READ)
    body = validate(SEARCH, await read_json(request))
    question = _question(body, highlights=body.highlights, explain=body.explain, cursor=body.cursor)
    page = await request.app[SERVICES].recall.find(context, question)
    document: dict[str, Any] = {"observations": [_hit(hit) for hit in page.hits]}
    if page.next_cursor is not None:
        document["nextCursor"] = page.next_cursor
    if body.explain and page.statistics is not None:
        document["statistics"] = _statistics(page.statistics)
    if body.explain and page.meaning is not None:
        document["semantic"] = _semantic(page.meaning)
    return answer(document)


@describe(
    Operation(
        "recall",
        "Find memories, and their text for a prompt",
        tag="Memories",
        scope=READ,
        body=EITHER_CONTEXT,
        answers={
            200: Other(
                JSON,
                "With `maxTokens` or `format`, a context within a budget; `prompt` is its text alone.",
                shape=found.ContextAnswer | told.BriefingAnswer,
                also="text/plain",
            )
        },
    )
)
async def recall(request: web.Request) -> web.Response:
    """POST /v1/context."""
    context = await authorize(request, READ)
    received = await read_json(request)
    if isinstance(received, dict) and not _BUDGETED.isdisjoint(received):
        return await _brief(request, context, received)
    body = validate(CONTEXT, received)
    page = await request.app[SERVICES].recall.find(context, _question(body), mode="context")
    memories = [hit.observation for hit in page.hits]
    return answer(
        {
            "observations": [wire.observation(memory) for memory in memories],
            "context": "\n\n".join(memory.content for memory in memories if memory.content),
        }
    )


async def _brief(request: web.Request, context: RequestContext, received: dict[str, Any]) -> web.Response:
    body = validate(BRIEFING, received)
    briefing = await request.app[SERVICES].briefing.brief(
        context, _question(body), max_tokens=body.max_tokens
    )
    if body.format == "prompt":
        return web.Response(text=briefing.packed.text, content_type="text/plain")
    return answer(recollections.briefing(briefing))


def _question(body: SearchBody | ContextBody | BriefingBody, **wanted: Any) -> Question:
    return Question(
        project_id=body.project_id,
        text=body.query,
        limit=body.limit,
        filters=Filters(
            platform=normalise_platform(body.platform_source),
            kinds=body.kind,
            session_id=body.server_session_id,
            since_us=body.since,
            until_us=body.until,
        ),
        files=body.files,
        concepts=body.concepts,
        **wanted,
    )


def _hit(hit: Hit) -> dict[str, Any]:
    document: dict[str, Any] = wire.observation(hit.observation) | {"score": hit.score}
    if hit.highlights is not None:
        document["highlights"] = [[piece._asdict() for piece in fragment] for fragment in hit.highlights]
    if hit.explanation is not None:
        document["explanation"] = [_contribution(one) for one in hit.explanation]
    if hit.placed is not None:
        document["ranks"] = _ranks(hit.placed)
    return document


def _ranks(placed: Placed) -> dict[str, Any]:
    return {"words": placed.words, "meaning": placed.meaning, "similarity": placed.similarity}


def _semantic(meaning: Meaning) -> dict[str, Any]:
    return {"model": meaning.model, "used": meaning.missing is None, "missing": meaning.missing}


def _contribution(one: Contribution) -> dict[str, Any]:
    return {
        "term": one.term,
        "weight": one.weight,
        "frequency": one.frequency,
        "documentFrequency": one.document_frequency,
        "idf": one.idf,
        "score": one.score,
    }


def _statistics(statistics: Statistics) -> dict[str, Any]:
    return {"documents": statistics.documents, "averageLength": statistics.average_length}


ROUTES = [web.post("/v1/search", search), web.post("/v1/context", recall)]
