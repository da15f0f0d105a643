"""What was used and spent, and the budgets that limit it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from aiohttp import web
from pydantic import Field, Strict, TypeAdapter

from claude_mem.http import params, spending
from claude_mem.http.access import authorize, named_project
from claude_mem.http.answers import answer
from claude_mem.http.keys import SERVICES
from claude_mem.http.openapi.operation import PROJECT, Operation, Parameter, describe
from claude_mem.http.responses import figures
from claude_mem.http.schemas import Body, Id, Integer
from claude_mem.http.validation import read_json, validate
from claude_mem.model.errors import InvalidInput, Issue
from claude_mem.model.money import MICRO, micro_usd
from claude_mem.model.scopes import READ, WRITE
from claude_mem.model.times import iso8601_us, now_us, parse_since
from claude_mem.services.budget_changes import CHANGES_BUDGETS, LARGEST_LIMIT
from claude_mem.services.budgets import DEFAULT_WARN_PERCENT
from claude_mem.services.periods import month_start_us
from claude_mem.services.usage import Dimension, this_month
from claude_mem.storage import usage
from claude_mem.storage.budgets import PERIODS, BudgetRow

MOST_LINES = 1000

#: A key is bound to one team, so there is nothing to tell apart by team.
_DIMENSIONS = [str(dimension) for dimension in Dimension if dimension is not Dimension.TEAM]


class BudgetBody(Body):
    """A budget to be set; a limit of 0 is none, and a budget without limits lifts the default."""

    project_id: Id | None = None
    period: Literal["day", "month"]
    tokens: Annotated[Integer, Field(ge=0, le=LARGEST_LIMIT)] | None = None
    usd: Annotated[float, Strict(), Field(ge=0, le=LARGEST_LIMIT // MICRO, allow_inf_nan=False)] | None = None
    warn_percent: Annotated[Integer, Field(ge=1, le=100)] = DEFAULT_WARN_PERCENT


BUDGET: TypeAdapter[BudgetBody] = TypeAdapter(BudgetBody)


@describe(
    Operation(
        "getUsage",
        "This month's figures",
        tag="Usage and budgets",
        scope=READ,
        answers={200: figures.UsageTotals},
    )
)
async def show_usage(request: web.Request) -> web.Response:
    """GET /v1/usage: this month's figures of the caller's team."""
    context = await authorize(request, READ)
    since = month_start_us(now_us())
    totals = await usage.totals(request.app[SERVICES].database, team_id=context.team_id, since_us=since)
    return answer({"since": iso8601_us(since), "usage": totals})


@describe(
    Operation(
        "getUsageBreakdown",
        "Provider calls, their tokens and cost, told apart",
        tag="Usage and budgets",
        scope=READ,
        answers={200: figures.Breakdown},
        refusals=frozenset({400}),
        parameters=(
            Parameter("by", "What to tell apart.", {"enum": _DIMENSIONS, "default": "day"}),
            Parameter("since", "First day; the first of this month unless given."),
            Parameter("until", "First instant that is left out; tomorrow unless given."),
            PROJECT,
            Parameter(
                "limit",
                "Most lines.",
                {"type": "integer", "minimum": 1, "maximum": MOST_LINES, "default": 100},
            ),
        ),
    )
)
async def show_breakdown(request: web.Request) -> web.Response:
    """GET /v1/usage/breakdown: provider calls, their tokens and what they cost, told apart."""
    context = await authorize(request, READ)
    month, tomorrow = this_month(now_us())
    found = await request.app[SERVICES].usage.breakdown(
        by=_dimension(request),
        team_id=context.team_id,
        project_id=await named_project(request, context),
        since_us=_time(request, "since", default=month),
        until_us=_time(request, "until", default=tomorrow),
        limit=params.integer(request, "limit", default=100, least=1, most=MOST_LINES),
    )
    return answer(spending.breakdown(found))


@describe(
    Operation(
        "listBudgets",
        "Budgets, and what is left of them",
        tag="Usage and budgets",
        scope=READ,
        answers={200: figures.BudgetList},
        parameters=(PROJECT,),
    )
)
async def show_budget(request: web.Request) -> web.Response:
    """GET /v1/usage/budget: the budgets that the caller's work counts against, and what is left of them."""
    context = await authorize(request, READ)
    now = now_us()
    found = await request.app[SERVICES].budgets.standing(
        team_id=context.team_id, project_id=await named_project(request, context), now_us=now
    )
    return answer({"budgets": [spending.budget(one) for one in found]})


@describe(
    Operation(
        "setBudget",
        "Set a budget",
        tag="Usage and budgets",
        scope=WRITE,
        body=BUDGET,
        answers={200: figures.BudgetSet},
    )
)
async def set_budget(request: web.Request) -> web.Response:
    """PUT /v1/budgets: one budget for each scope and period; setting it again replaces it."""
    context = await authorize(request, WRITE)
    team_id = context.require_administrator(CHANGES_BUDGETS)
    body = validate(BUDGET, await read_json(request))
    if body.tokens is None and body.usd is None:
        message = "name at least one of tokens and usd"
        raise InvalidInput(message, (Issue("custom", (), message),))
    changed = await request.app[SERVICES].budget_changes.put(
        context,
        BudgetRow(
            team_id=team_id,
            project_id=body.project_id,
            period=body.period,
            token_limit=body.tokens or None,
            micro_usd_limit=micro_usd(body.usd) or None if body.usd else None,
            warn_percent=body.warn_percent,
        ),
    )
    return answer({"budget": spending.budget(changed)})


@describe(
    Operation(
        "removeBudget",
        "Remove a budget",
        tag="Usage and budgets",
        scope=WRITE,
        answers={200: figures.BudgetRemoved},
        refusals=frozenset({400, 404}),
        parameters=(
            Parameter("period", "Of the budget; needed.", {"enum": list(PERIODS)}),
            Parameter("projectId", "Of the budget; the team's unless given."),
        ),
    )
)
async def remove_budget(request: web.Request) -> web.Response:
    """DELETE /v1/budgets: the budget of the `period`, and of the `projectId` where one is named."""
    context = await authorize(request, WRITE)
    context.require_administrator(CHANGES_BUDGETS)
    period = params.text(request, "period")
    for known in PERIODS:
        if period == known:
            project_id = params.text(request, "projectId")
            changes = request.app[SERVICES].budget_changes
            await changes.remove(context, project_id=project_id, period=known)
            return answer({"deleted": True, "projectId": project_id, "period": known})
    raise _invalid_option("period", PERIODS)


def _dimension(request: web.Request) -> Dimension:
    given = params.text(request, "by") or str(Dimension.DAY)
    if given not in _DIMENSIONS:
        raise _invalid_option("by", _DIMENSIONS)
    return Dimension(given)


def _time(request: web.Request, name: str, *, default: int) -> int:
    given = params.text(request, name)
    moment = default if given is None else parse_since(given)
    if moment is None:
        message = f"Invalid date: {name} is not a time such as 2026-01-31 or 2026-01-31T12:00:00Z"
        raise InvalidInput(message, (Issue("invalid_format", (name,), message),))
    return moment


def _invalid_option(name: str, options: Any) -> InvalidInput:
    listed = "|".join(f'"{option}"' for option in options)
    message = f"Invalid option: expected one of {listed}"
    return InvalidInput(message, (Issue("invalid_value", (name,), message, {"values": list(options)}),))


ROUTES = [
    web.get("/v1/usage", show_usage),
    web.get("/v1/usage/breakdown", show_breakdown),
    web.get("/v1/usage/budget", show_budget),
    web.put("/v1/budgets", set_budget),
    web.delete("/v1/budgets", remove_budget),
]
