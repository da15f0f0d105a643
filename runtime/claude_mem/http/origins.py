"""How the origin of a memory is spelled on the wire."""

from __future__ import annotations

from typing import TYPE_CHECKING

from claude_mem.http import recollections, wire
from claude_mem.model.money import usd

if TYPE_CHECKING:
    from claude_mem.http.responses import origins as shapes
    from claude_mem.services.origins import Call, Origin


def origin(found: Origin) -> shapes.Origin:
    """What led to a memory."""
    return {
        "memoryId": found.memory.id,
        "sources": [wire.source(each) for each in found.sources],
        "events": [recollections.entry(each) for each in found.events],
        "jobs": [wire.job_full(each) for each in found.jobs],
        "calls": [_call(each) for each in found.calls],
        "summaries": [recollections.entry(each) for each in found.summaries],
    }


def _call(found: Call) -> shapes.ProviderCall:
    return {
        "atEpoch": found.at_ms,
        "provider": found.provider,
        "model": found.model,
        "tokens": found.tokens,
        "inputTokens": found.input_tokens,
        "outputTokens": found.output_tokens,
        "jobs": found.jobs,
        "costUsd": usd(found.micro_usd),
    }
