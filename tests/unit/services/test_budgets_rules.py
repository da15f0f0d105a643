"""When a budget warns, when it is spent, what fits, and where its period begins and ends."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal

import pytest

from claude_mem.model.errors import InvalidInput
from claude_mem.services.budget_changes import check_limits
from claude_mem.services.budgets import Budget
from claude_mem.services.periods import period_bounds
from claude_mem.storage.budgets import BudgetRow


def budget(**changes: Any) -> Budget:
    values: dict[str, Any] = {
        "id": "b",
        "team_id": "t",
        "project_id": None,
        "period": "day",
        "tokens": 1000,
        "micro_usd": None,
        "warn_percent": 80,
        "starts_us": 0,
        "resets_us": 1,
        "spent_tokens": 0,
        "spent_micro_usd": 0,
        "unpriced_tokens": 0,
    }
    return Budget(**values | changes)


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({"spent_tokens": 799}, "ok"),
        ({"spent_tokens": 800}, "warning"),
        ({"spent_tokens": 999}, "warning"),
        ({"spent_tokens": 1000}, "spent"),
        ({"spent_tokens": 5000, "tokens": None}, "ok"),
        ({"tokens": None, "micro_usd": 100, "spent_micro_usd": 79}, "ok"),
        ({"tokens": None, "micro_usd": 100, "spent_micro_usd": 80}, "warning"),
        ({"micro_usd": 100, "spent_micro_usd": 100}, "spent"),
        ({"warn_percent": 100, "spent_tokens": 999}, "ok"),
    ],
)
def test_a_budget_warns_before_it_is_spent(changes: dict[str, Any], state: str) -> None:
    assert budget(**changes).state == state


@pytest.mark.parametrize(
    ("changes", "tokens", "fits"),
    [
        ({"spent_tokens": 900}, 100, True),
        ({"spent_tokens": 900}, 101, False),
        ({"spent_tokens": 1000}, 0, False),
        ({}, 5000, True),
        ({"spent_tokens": 1}, 5000, False),
        ({"tokens": None, "spent_tokens": 900}, 5000, True),
        ({"micro_usd": 10, "spent_micro_usd": 10}, 0, False),
    ],
)
def test_a_call_fits_or_it_does_not(changes: dict[str, Any], tokens: int, *, fits: bool) -> None:
    assert budget(**changes).fits(tokens) is fits


@pytest.mark.parametrize(
    ("period", "at", "starts", "resets"),
    [
        ("day", "2026-02-28T23:59:59.999999", "2026-02-28", "2026-03-01"),
        ("day", "2026-03-01T00:00:00", "2026-03-01", "2026-03-02"),
        ("month", "2026-02-28T23:59:59", "2026-02-01", "2026-03-01"),
        ("month", "2026-12-31T12:00:00", "2026-12-01", "2027-01-01"),
        ("month", "2027-01-01T00:00:00", "2027-01-01", "2027-02-01"),
    ],
)
def test_periods_are_those_of_utc(period: Literal["day", "month"], at: str, starts: str, resets: str) -> None:
    assert period_bounds(period, microseconds(at)) == (microseconds(starts), microseconds(resets))


@pytest.mark.parametrize(
    "changes",
    [
        {"token_limit": 0},
        {"token_limit": -1},
        {"token_limit": 2**53},
        {"micro_usd_limit": 0},
        {"warn_percent": 0},
        {"warn_percent": 101},
        {"period": "week"},
    ],
)
def test_limits_that_make_no_sense_are_refused(changes: dict[str, Any]) -> None:
    values: dict[str, Any] = {
        "team_id": "t",
        "project_id": None,
        "period": "day",
        "token_limit": 5,
        "micro_usd_limit": None,
        "warn_percent": 80,
    }
    check_limits(BudgetRow(**values))
    with pytest.raises(InvalidInput):
        check_limits(BudgetRow(**values | changes))


def microseconds(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1_000_000)
