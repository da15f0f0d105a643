"""`claude-mem server usage` and `budget …`: what provider calls came to, and what they may come to."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from claude_mem.cli.server_context import (
    AsJson,
    Limit,
    Project,
    Team,
    data_dir,
    moment,
    run,
    show_lines,
    show_rows,
)
from claude_mem.environment.catalogue.generation import DAILY_TOKEN_BUDGET
from claude_mem.generation.prices import PRICES_FILE, PriceList, PricesError
from claude_mem.http import spending
from claude_mem.model.errors import InvalidInput, NotFound
from claude_mem.model.money import micro_usd
from claude_mem.model.times import now_us
from claude_mem.services.bootstrap import cli_entry, require_project, require_team
from claude_mem.services.budget_changes import LARGEST_LIMIT, BudgetChanges, limits_of
from claude_mem.services.budgets import DEFAULT_WARN_PERCENT, BudgetService
from claude_mem.services.usage import Dimension, UsageService, this_month
from claude_mem.storage import tenancy
from claude_mem.storage.budgets import PERIODS, BudgetRow, Period

if TYPE_CHECKING:
    from claude_mem.services.budgets import Budget
    from claude_mem.services.usage import Breakdown
    from claude_mem.storage.database import Database

_ONE_TEAM = "name one with --team; claude-mem server team list shows them"

ByPeriod = Annotated[str, typer.Option("--period", metavar="day|month", help="What the budget is for.")]


def usage(
    *,
    by: Annotated[Dimension, typer.Option("--by", help="What to tell apart.")] = Dimension.PROJECT,
    team: Team = None,
    project: Project = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="First day, UTC; else the month's first.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="TIME", help="Moment before which the last day begins.")
    ] = None,
    limit: Limit = 100,
    as_json: AsJson = False,
) -> None:
    """Show calls, tokens and estimated cost: of every team, or of one team or project."""
    month, tomorrow = this_month(now_us())

    async def work(database: Database) -> Breakdown:
        return await UsageService(database, prices=_prices()).breakdown(
            by=by,
            team_id=team,
            project_id=project,
            since_us=moment("--since", since) or month,
            until_us=moment("--until", until) or tomorrow,
            limit=limit,
        )

    document = spending.breakdown(run(work))
    columns = (spending.KEYS[by], *spending.SUMS)
    total = [["total", *(document["total"][column] for column in spending.SUMS)]]
    listed = [[line[column] for column in columns] for line in document["lines"]]
    show_rows(
        {"teamId": team, "projectId": project} | document,
        listed + total if listed else [],
        columns=columns,
        as_json=as_json,
        nothing="no provider calls in this time",
    )


def budget_list(*, team: Team = None, project: Project = None, as_json: AsJson = False) -> None:
    """Show a team's budgets, or those that a project's calls count against, and what is left of them."""

    async def work(database: Database) -> list[Budget]:
        scope = await scope_of(database, team=team, project=project)
        return await _service(database).standing(team_id=scope, project_id=project, now_us=now_us())

    listed = [spending.budget(one) for one in run(work)]
    columns = (
        "scope",
        "projectId",
        "period",
        "tokens",
        "spentTokens",
        "usd",
        "spentUsd",
        "state",
        "resetsAt",
    )
    show_rows(
        {"budgets": listed},
        [[entry[column] for column in columns] for entry in listed],
        columns=columns,
        as_json=as_json,
        nothing="no budgets; set one with: claude-mem server budget set",
    )


def budget_set(
    *,
    period: ByPeriod = "day",
    tokens: Annotated[
        int | None, typer.Option("--tokens", min=0, max=LARGEST_LIMIT, help="Most tokens; 0 is no limit.")
    ] = None,
    usd: Annotated[
        float | None, typer.Option("--usd", min=0, max=1e9, help="Most US dollars, estimated; 0 is no limit.")
    ] = None,
    warn_percent: Annotated[
        int, typer.Option("--warn-percent", min=1, max=100, help="Share of a limit that is worth a warning.")
    ] = DEFAULT_WARN_PERCENT,
    team: Team = None,
    project: Project = None,
    as_json: AsJson = False,
) -> None:
    """Set the budget of a team, or of a project; one that is there is replaced, and jobs that wait go on."""
    chosen = _period(period)
    if tokens is None and usd is None:
        raise typer.BadParameter("name at least one of --tokens and --usd")

    async def work(database: Database) -> Budget:
        scope = await scope_of(database, team=team, project=project)
        row = BudgetRow(
            team_id=scope,
            project_id=project,
            period=chosen,
            token_limit=tokens or None,
            micro_usd_limit=micro_usd(usd) or None if usd else None,
            warn_percent=warn_percent,
        )
        entry = cli_entry("budget.set", None, team_id=scope, project_id=project, **limits_of(row))
        return await BudgetChanges(database, _service(database)).store(row, entry)

    show_lines(spending.budget(run(work)), as_json=as_json)


def budget_remove(
    *, period: ByPeriod = "day", team: Team = None, project: Project = None, as_json: AsJson = False
) -> None:
    """Remove a budget; a team without a daily budget has the default one."""
    chosen = _period(period)

    async def work(database: Database) -> None:
        scope = await scope_of(database, team=team, project=project)
        entry = cli_entry("budget.remove", None, team_id=scope, project_id=project, period=chosen)
        changes = BudgetChanges(database, _service(database))
        await changes.drop(team_id=scope, project_id=project, period=chosen, entry=entry)

    run(work)
    show_lines({"deleted": True, "projectId": project, "period": chosen}, as_json=as_json)


def _service(database: Database) -> BudgetService:
    default = DAILY_TOKEN_BUDGET.read(os.environ)
    return BudgetService(database, prices=_prices(), default_daily_tokens=default)


def _prices() -> PriceList:
    try:
        return PriceList.load(data_dir() / PRICES_FILE)
    except PricesError as error:
        raise InvalidInput(str(error)) from error


async def scope_of(database: Database, *, team: str | None, project: str | None) -> str:
    """The id of the team that is named, of the project's, or of the only one there is.

    Raises: NotFound, InvalidInput where there are several.
    """
    if project is not None:
        return (await require_project(database, project, team_id=team)).team_id
    if team is not None:
        return (await require_team(database, team)).id
    teams = await tenancy.list_teams(database, after=None, limit=2)
    if not teams:
        raise NotFound("there is no team yet")
    if len(teams) > 1:
        raise InvalidInput(f"there are several teams: {_ONE_TEAM}")
    return str(teams[0]["id"])


def _period(given: str) -> Period:
    for period in PERIODS:
        if given == period:
            return period
    raise typer.BadParameter("a period is day or month")
