"""What is counted: attempts at jobs by what became of them, and the tokens and the cost of calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from claude_mem.model.times import now_us
from claude_mem.services.outcomes import Answered, Failed, taken_of
from claude_mem.telemetry import metrics

if TYPE_CHECKING:
    from claude_mem.generation.port import Usage
    from claude_mem.generation.prices import PriceList
    from claude_mem.services.outcomes import Outcome


def count_outcome(outcome: Outcome) -> None:
    """Count what was stored of jobs."""
    now_ms = now_us() // 1000
    for taken in taken_of(outcome):
        lane = taken.job.lane
        if isinstance(outcome, Answered):
            metrics.JOBS_SETTLED.labels(lane, "completed").inc()
            metrics.GENERATION_SECONDS.labels(lane).observe(max(0, now_ms - taken.job.created_ms) / 1000)
            continue
        become = "postponed"
        if isinstance(outcome, Failed):
            become = "failed" if outcome.pause_us is None else "retried"
        metrics.JOBS_SETTLED.labels(lane, become).inc()
        metrics.JOB_FAILURES.labels(lane, outcome.failure.classification).inc()
    if isinstance(outcome, Answered) and outcome.drafted:
        metrics.OBSERVATIONS.labels(outcome.taken[0].job.lane).inc(len(outcome.drafted))


def count_usage(usage: Usage, *, provider: str, model: str, prices: PriceList) -> None:
    """Count what a call used, by who is billed for it."""
    other = max(0, usage.total - usage.input_tokens - usage.output_tokens)
    kinds = {"input": usage.input_tokens, "output": usage.output_tokens, "other": other}
    for kind, tokens in kinds.items():
        metrics.TOKENS.labels(provider, model, kind).inc(tokens)
    price = prices.price(model)
    if price is not None:
        micro_usd = price.exact(
            tokens=usage.total, input_tokens=usage.input_tokens, output_tokens=usage.output_tokens
        )
        metrics.COST.labels(provider, model).inc(float(micro_usd / 1_000_000))
