"""Tools that read: search, context, recent, get."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from claude_mem.mcp.schemas import MEMORY, MEMORY_ID, PROJECT_ID, QUERY, TIMELINE
from claude_mem.mcp.tool import Caller, Tool
from claude_mem.services.briefing import MEMORIES, MOST_MEMORIES, MOST_TOKENS
from claude_mem.services.questions import Question

if TYPE_CHECKING:
    from collections.abc import Mapping

    from claude_mem.mcp.arguments import Arguments
    from claude_mem.model.records import Observation

#: Memories of a context without `maxTokens`: where nothing is said, and at most.
_PLAIN: Final = 10
_MOST_PLAIN: Final = 50

#: No `default`: a client that fills it in would say the plain context's where `maxTokens` has another.
_CONTEXT_LIMIT: Final = {
    "type": "integer",
    "minimum": 1,
    "maximum": MOST_MEMORIES,
    "description": f"How many at most: {_PLAIN} unless given, and up to {_MOST_PLAIN}; with maxTokens {MEMORIES} unless "
    f"given, and up to {MOST_MEMORIES}.",
}


async def _search(caller: Caller, given: Arguments) -> dict[str, Any]:
    found = await _find(caller, given, mode="search", default=20, most=100)
    return {"observations": [caller.spelling.observation(observation) for observation in found]}


async def _context(caller: Caller, given: Arguments) -> dict[str, Any] | str:
    tokens = given.optional_integer("maxTokens", least=1, most=MOST_TOKENS)
    if tokens is not None:
        return await _briefing(caller, given, max_tokens=tokens)
    found = await _find(caller, given, mode="context", default=_PLAIN, most=_MOST_PLAIN)
    return {
        "observations": [caller.spelling.observation(observation) for observation in found],
        "context": "\n\n".join(observation.content for observation in found if observation.content),
    }


async def _briefing(caller: Caller, given: Arguments, *, max_tokens: int) -> str:
    question = Question(
        given.text("projectId"),
        given.text("query") if given.says("query") else "",
        given.integer("limit", default=MEMORIES, least=1, most=MOST_MEMORIES),
    )
    briefing = await caller.services.briefing.brief(caller.context, question, max_tokens=max_tokens)
    return briefing.packed.text or "nothing is remembered about this, or nothing that fits into maxTokens"


async def _recent(caller: Caller, given: Arguments) -> dict[str, Any]:
    found = await caller.services.recall.recent(
        caller.context,
        project_id=given.text("projectId"),
        limit=given.integer("limit", default=20, least=1, most=100),
    )
    return {"observations": [caller.spelling.observation(observation) for observation in found]}


async def _get(caller: Caller, given: Arguments) -> dict[str, Any]:
    memory = await caller.services.memories.get(caller.context, given.text("id"))
    return {"memory": caller.spelling.observation(memory)}


async def _timeline(caller: Caller, given: Arguments) -> Mapping[str, Any]:
    found = await caller.services.timeline.around(
        caller.context,
        given.text("id"),
        before=given.integer("before", default=5, least=0, most=50),
        after=given.integer("after", default=5, least=0, most=50),
        events=given.flag("events"),
    )
    return caller.spelling.timeline(found)


async def _find(caller: Caller, given: Arguments, *, mode: str, default: int, most: int) -> list[Observation]:
    question = Question(
        given.text("projectId"),
        given.text("query"),
        given.integer("limit", default=default, least=1, most=most),
    )
    page = await caller.services.recall.find(caller.context, question, mode=mode)
    return [hit.observation for hit in page.hits]


def _limit(default: int, most: int) -> dict[str, Any]:
    return _count(default, most, "How many at most.") | {"minimum": 1}


def _count(default: int, most: int, description: str) -> dict[str, Any]:
    return {
        "type": "integer",
        "minimum": 0,
        "maximum": most,
        "default": default,
        "description": description,
    }


TOOLS = (
    Tool(
        "search",
        "Search memories",
        "Find what is remembered of a project: decisions, fixes, findings, session summaries. Any of the words may "
        'match, the best comes first. "A phrase" in quotes must occur, -word must not.',
        {"projectId": PROJECT_ID, "query": QUERY, "limit": _limit(20, 100)},
        ("projectId", "query"),
        _search,
    ),
    Tool(
        "context",
        "Get context for a task",
        "What is remembered about a task, as one text to work from. Say in the query what you are about to do. With "
        "maxTokens, the most useful that fits: repetitions folded, what is out of date marked, grouped by session; "
        "then the query may be empty, to learn what is good to know at the start.",
        {
            "projectId": PROJECT_ID,
            "query": QUERY,
            "limit": _CONTEXT_LIMIT,
            "maxTokens": {
                "type": "integer",
                "minimum": 1,
                "maximum": MOST_TOKENS,
                "description": "How many tokens the text may have.",
            },
        },
        ("projectId", "query"),
        _context,
    ),
    Tool(
        "recent",
        "List recent memories",
        "What was remembered last in a project, newest first. Good for picking up where work stopped.",
        {"projectId": PROJECT_ID, "limit": _limit(20, 100)},
        ("projectId",),
        _recent,
    ),
    Tool(
        "timeline",
        "See what led to a memory",
        "What was observed before and after a memory, in order of time: how something came about, and what became of it. "
        "Entries are brief; get has a memory in full.",
        {
            "id": MEMORY_ID,
            "before": _count(5, 50, "How many entries before it."),
            "after": _count(5, 50, "How many entries after it."),
            "events": {
                "type": "boolean",
                "default": False,
                "description": "Tell of single steps too, such as tool calls.",
            },
        },
        ("id",),
        _timeline,
        output=TIMELINE,
    ),
    Tool(
        "get",
        "Read one memory",
        "One memory in full, with its metadata, by the id that another tool gave.",
        {"id": MEMORY_ID},
        ("id",),
        _get,
        output={"memory": MEMORY},
    ),
)
