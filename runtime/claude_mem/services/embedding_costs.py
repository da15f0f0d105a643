"""Calls for vectors, and what they cost in the words of usage and metrics."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from claude_mem.embeddings.port import NAME
from claude_mem.generation.errors import GenerationError
from claude_mem.generation.port import Usage
from claude_mem.services.measuring import count_usage
from claude_mem.storage.usage import UsageRow
from claude_mem.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from claude_mem.embeddings.port import Embedded, Embedder
    from claude_mem.generation.prices import PriceList

#: The lane of usage rows for vectors; budgets and caps count them with all other tokens.
LANE = "embedding"

#: Characters that are taken for a token before the service has counted: few, as budgets are asked with it.
_CHARACTERS_OF_A_TOKEN = 3


def estimated_tokens(texts: Sequence[str]) -> int:
    """About what a call will cost, before it is made."""
    return sum(len(text) // _CHARACTERS_OF_A_TOKEN + 1 for text in texts)


def usage_row(*, team_id: str, project_id: str, model: str, tokens: int, at_us: int) -> UsageRow:
    """The row that counts a call, at `at_us` in microseconds since the epoch."""
    details = {"model": model, "lane": LANE, "inputTokens": tokens, "outputTokens": 0}
    return UsageRow(
        team_id=team_id, project_id=project_id, kind="tokens", quantity=tokens, at_us=at_us, metadata=details
    )


async def embed(
    embedder: Embedder, texts: Sequence[str], *, purpose: str, timeout_s: float, prices: PriceList
) -> Embedded:
    """Make one call, and count what it took.

    Parameters:
        purpose: `memory` or `question`.
        timeout_s: seconds after which the call is given up.

    Raises: GenerationError, as the embedder does.
    """
    with _measured(purpose):
        made = await embedder.embed(texts, timeout_s=timeout_s)
    used = Usage(input_tokens=made.tokens, output_tokens=0, total=made.tokens)
    count_usage(used, provider=NAME, model=embedder.model, prices=prices)
    return made


@contextmanager
def _measured(purpose: str) -> Iterator[None]:
    started = time.perf_counter()
    outcome = "abandoned"
    try:
        yield
        outcome = "ok"
    except GenerationError as error:
        outcome = error.classification
        raise
    finally:
        metrics.EMBEDDING_CALLS.labels(purpose, outcome).inc()
        metrics.EMBEDDING_SECONDS.labels(purpose).observe(time.perf_counter() - started)
