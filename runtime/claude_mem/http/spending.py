"""How usage and budgets are spelled, on the wire and by the command line; money in US dollars."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from claude_mem.model.money import usd
from claude_mem.model.times import iso8601_us
from claude_mem.services.usage import Dimension

if TYPE_CHECKING:
    from claude_mem.services.budgets import Budget
    from claude_mem.services.usage import Breakdown, Usage

#: What a line is called by.
KEYS = {
    Dimension.TEAM: "teamId",
    Dimension.PROJECT: "projectId",
    Dimension.SESSION: "serverSessionId",
    Dimension.MODEL: "model",
    Dimension.LANE: "lane",
    Dimension.DAY: "day",
}

#: The sums of a line, in the order in which people are shown them.
SUMS = ("calls", "failedCalls", "tokens", "inputTokens", "outputTokens", "costUsd", "unpricedTokens")


def breakdown(found: Breakdown) -> dict[str, Any]:
    """A breakdown as it is shown to people and programs."""
    return {
        "by": str(found.by),
        "since": iso8601_us(found.since_us),
        "until": iso8601_us(found.until_us),
        "lines": [{KEYS[found.by]: _key(found.by, key), **_sums(sums)} for key, sums in found.lines],
        "more": found.more,
        "total": _sums(found.total),
        "unpricedModels": found.unpriced_models,
    }


def _key(by: Dimension, key: str | int | None) -> str | None:
    if by is Dimension.DAY:
        return iso8601_us(int(key or 0)).partition("T")[0]
    return str(key) if key else None


def _sums(sums: Usage) -> dict[str, Any]:
    return {
        "calls": sums.calls,
        "failedCalls": sums.failed_calls,
        "tokens": sums.tokens,
        "inputTokens": sums.input_tokens,
        "outputTokens": sums.output_tokens,
        "costUsd": usd(sums.micro_usd),
        "unpricedTokens": sums.unpriced_tokens,
    }


def budget(found: Budget) -> dict[str, Any]:
    """A budget as it is shown to people and programs."""
    money = found.micro_usd
    return {
        "id": found.id,
        "scope": "team" if found.project_id is None else "project",
        "projectId": found.project_id,
        "period": found.period,
        "isDefault": found.id is None,
        "tokens": found.tokens,
        "spentTokens": found.spent_tokens,
        "remainingTokens": None if found.tokens is None else max(found.tokens - found.spent_tokens, 0),
        "usd": usd(money),
        "spentUsd": usd(found.spent_micro_usd),
        "remainingUsd": None if money is None else usd(max(money - found.spent_micro_usd, 0)),
        "unpricedTokens": found.unpriced_tokens,
        "warnPercent": found.warn_percent,
        "state": found.state,
        "warning": found.state != "ok",
        "resetsAt": iso8601_us(found.resets_us),
        "resetsAtEpoch": found.resets_us // 1000,
    }
