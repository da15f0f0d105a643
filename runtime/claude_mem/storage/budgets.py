"""Budgets as rows, and what was spent against them; what a budget means is left to the services."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from claude_mem.model.identity import new_id
from claude_mem.storage.database import fetch_one

if TYPE_CHECKING:
    from claude_mem.storage.database import Executor, Row

Period = Literal["day", "month"]
PERIODS: tuple[Period, ...] = get_args(Period)


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetRow:
    """A budget to be stored.

    Parameters:
        project_id: None is the whole team.
        token_limit: tokens in a period; None does not apply.
        micro_usd_limit: millionths of a US dollar in a period; None does not apply.
        warn_percent: share of a limit, 1 to 100, from which a warning is given.
    """

    team_id: str
    project_id: str | None
    period: Period
    token_limit: int | None
    micro_usd_limit: int | None
    warn_percent: int


async def standing(
    executor: Executor,
    *,
    team_id: str,
    project_id: str | None,
    day_us: int,
    month_us: int,
    default_tokens: int | None,
    default_percent: int,
) -> list[Row]:
    """A team's budgets with what was spent, a row for each budget and model; the model is None where nothing was.

    Parameters:
        project_id: leave other projects' budgets out; None lists all.
        day_us, month_us: first instants of the current UTC day and month.
        default_tokens: daily limit of a team that has no daily budget of its own; None is none.
        default_percent: its warning threshold.
    """
    return await executor.fetch(
        "budgets.standing",
        team_id=team_id,
        project_id=project_id,
        day=day_us,
        month=month_us,
        default_tokens=default_tokens,
        default_percent=default_percent,
    )


async def put(executor: Executor, budget: BudgetRow, *, now_us: int) -> str:
    """Store a budget in place of the one of the same scope and period, and return its id.

    Raises: ReferenceViolation when there is no such team, or the project is not the team's.
    """
    row = await fetch_one(
        executor,
        "budgets.put",
        id=new_id(),
        team_id=budget.team_id,
        project_id=budget.project_id,
        period=budget.period,
        token_limit=budget.token_limit,
        micro_usd_limit=budget.micro_usd_limit,
        warn_percent=budget.warn_percent,
        now=now_us,
    )
    if row is None:
        raise AssertionError("an upsert that returns its row returned none")
    return str(row["id"])


async def remove(executor: Executor, *, team_id: str, project_id: str | None, period: Period) -> str | None:
    """Delete a budget and return its id; None when there is none."""
    row = await fetch_one(executor, "budgets.remove", team_id=team_id, project_id=project_id, period=period)
    return None if row is None else str(row["id"])


async def is_noticed(executor: Executor, notice_id: str) -> bool:
    """Whether the audit log holds a notice of this id."""
    return await fetch_one(executor, "budgets.noticed", id=notice_id) is not None


async def resume(executor: Executor, *, team_id: str, classification: str, now_us: int) -> int:
    """Make a team's queued jobs that wait for the reason `classification` due at once, and count them."""
    return await executor.execute(
        "budgets.resume", team_id=team_id, classification=classification, now=now_us
    )


async def spending(
    executor: Executor,
    *,
    by: str,
    team_id: str | None,
    project_id: str | None,
    since_us: int,
    until_us: int,
) -> list[Row]:
    """Sums of provider calls, a row for each model and each value of `by`.

    Parameters:
        by: `team`, `project`, `session`, `model`, `lane` or `day`.
        team_id: None is every team.
        project_id: None is all projects and what belongs to none.
        since_us, until_us: first instants of UTC days; the second is left out.
    """
    scope = {"team_id": team_id, "project_id": project_id, "since": since_us, "until": until_us}
    if by in {"session", "project"}:
        return await executor.fetch(f"spending.by_{by}", **scope)
    return await executor.fetch("spending.by_period", by=by, **scope)
