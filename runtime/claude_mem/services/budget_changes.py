"""Budgets as they are set and removed, by keys and at the command line; each change is a line of the audit log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from claude_mem.model.errors import InvalidInput, NotFound
from claude_mem.model.money import usd
from claude_mem.model.times import now_us
from claude_mem.services.refusals import refuse_storage_errors
from claude_mem.services.scope import require_project
from claude_mem.storage import audit, budgets
from claude_mem.storage.database import Database, Executor, run_transaction

if TYPE_CHECKING:
    from claude_mem.model.records import AuditEntry
    from claude_mem.services.budgets import Budget, BudgetService
    from claude_mem.services.context import RequestContext

#: The `classification` in `last_error` of a job that waits for a budget; such jobs go on when the budget changes.
WAITING: Final = "budget_exhausted"

#: The largest limit, in tokens or millionths of a US dollar: what a JSON number holds exactly.
LARGEST_LIMIT: Final = 2**53 - 1

#: What only an administrator may do here, as a refusal says it.
CHANGES_BUDGETS: Final = "change budgets"


class BudgetChanges:
    """Sets and removes budgets.

    Parameters:
        service: tells what a budget has come to.
    """

    def __init__(self, database: Database, service: BudgetService) -> None:
        self._database = database
        self._service = service

    async def put(self, context: RequestContext, budget: budgets.BudgetRow) -> Budget:
        """Set the budget of a scope and period of the caller's team, for a team-wide key of an administrator.

        Raises: Forbidden, InvalidInput.
        """
        context.require_administrator(CHANGES_BUDGETS)
        if budget.project_id is not None:
            await require_project(self._database, context, project_id=budget.project_id)
        entry = context.audit(
            "budget.set", "budget", resource_id=None, project_id=budget.project_id, **limits_of(budget)
        )
        return await self.store(budget, entry)

    async def remove(
        self, context: RequestContext, *, project_id: str | None, period: budgets.Period
    ) -> None:
        """Delete a budget of the caller's team; the default applies again where there is one.

        Raises: Forbidden, NotFound.
        """
        team_id = context.require_administrator(CHANGES_BUDGETS)
        if project_id is not None:
            await require_project(self._database, context, project_id=project_id)
        entry = context.audit(
            "budget.remove", "budget", resource_id=None, project_id=project_id, period=period
        )
        await self.drop(team_id=team_id, project_id=project_id, period=period, entry=entry)

    async def store(self, budget: budgets.BudgetRow, entry: AuditEntry) -> Budget:
        """Store a budget with its line of the audit log, and let jobs that wait ask again.

        Raises: InvalidInput, Forbidden when the project is not the team's.
        """
        check_limits(budget)

        async def change(transaction: Executor) -> None:
            now = now_us()
            await budgets.put(transaction, budget, now_us=now)
            await audit.append(transaction, [entry], now_us=now)
            await budgets.resume(transaction, team_id=budget.team_id, classification=WAITING, now_us=now)

        with refuse_storage_errors():
            await run_transaction(self._database, change)
        found = await self._service.standing(
            team_id=budget.team_id, project_id=budget.project_id, now_us=now_us()
        )
        return next(
            one for one in found if (one.project_id, one.period) == (budget.project_id, budget.period)
        )

    async def drop(
        self, *, team_id: str, project_id: str | None, period: budgets.Period, entry: AuditEntry
    ) -> None:
        """Delete a budget with a line of the audit log, and let jobs that wait ask again.

        Raises: NotFound.
        """

        async def change(transaction: Executor) -> None:
            now = now_us()
            removed = await budgets.remove(transaction, team_id=team_id, project_id=project_id, period=period)
            if removed is None:
                raise NotFound("Budget not found")
            await audit.append(transaction, [entry], now_us=now)
            await budgets.resume(transaction, team_id=team_id, classification=WAITING, now_us=now)

        with refuse_storage_errors():
            await run_transaction(self._database, change)


def check_limits(budget: budgets.BudgetRow) -> None:
    """Raises: InvalidInput for limits that are missing or make no sense."""
    if budget.period not in budgets.PERIODS:
        raise InvalidInput("a budget's period is day or month")
    if not 1 <= budget.warn_percent <= 100:
        raise InvalidInput("a budget's warning threshold is 1 to 100 percent")
    if any(
        limit is not None and not 0 < limit <= LARGEST_LIMIT
        for limit in (budget.token_limit, budget.micro_usd_limit)
    ):
        raise InvalidInput("a budget's limits are above 0")


def limits_of(budget: budgets.BudgetRow) -> dict[str, object]:
    """What the audit log says of a budget that is set."""
    return {
        "period": budget.period,
        "tokens": budget.token_limit,
        "usd": usd(budget.micro_usd_limit),
        "warnPercent": budget.warn_percent,
    }
