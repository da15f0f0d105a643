"""What vectors cost, in the words of usage and metrics."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from claude_mem.generation.errors import GenerationError
from claude_mem.storage.usage import UsageRow
from claude_mem.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

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


@contextmanager
def measured(purpose: str) -> Iterator[None]:
    """Measure one call.

    Parameters:
        purpose: `memory` or `question`.
    """
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
