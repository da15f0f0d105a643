"""What provider calls came to, by team, project, session, model, lane or day, and what that costs.

Whole UTC days are counted, because the database keeps its sums by day. Costs are estimates from list prices; a model
without a price has none.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from claude_mem.services.periods import DAY_US, day_start_us, month_start_us
from claude_mem.storage import budgets

if TYPE_CHECKING:
    from collections.abc import Iterable

    from claude_mem.generation.prices import PriceList
    from claude_mem.storage.database import Database, Row

#: The first instant that is not asked about any more: the year 10000, in microseconds since the epoch.
END_US = 253_402_300_800_000_000


class Dimension(StrEnum):
    """What usage is told apart by."""

    TEAM = "team"
    PROJECT = "project"
    SESSION = "session"
    MODEL = "model"
    LANE = "lane"
    DAY = "day"


_COLUMNS = {
    Dimension.TEAM: "team",
    Dimension.PROJECT: "project_id",
    Dimension.SESSION: "session_id",
    Dimension.MODEL: "model",
    Dimension.LANE: "lane",
    Dimension.DAY: "day",
}
_SUMS = ("tokens", "input_tokens", "output_tokens", "calls", "failed_calls")


@dataclass(slots=True, kw_only=True)
class Usage:
    """Sums of provider calls.

    Parameters:
        tokens: as the provider bills them; may exceed input and output together.
        failed_calls: calls, among `calls`, whose answer was of no use.
        priced_micro_usd: cost in millionths of a US dollar of the models that have a price.
        unpriced_tokens: tokens of the others.
    """

    tokens: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    calls: int = 0
    failed_calls: int = 0
    priced_micro_usd: int = 0
    unpriced_tokens: int = 0
    has_price: bool = False

    @property
    def micro_usd(self) -> int | None:
        """The cost of what has a price; None where nothing has."""
        return self.priced_micro_usd if self.has_price or not self.tokens else None

    def add(self, row: Row, prices: PriceList) -> None:
        """Count the sums of one model in."""
        tokens, got, gave = row["tokens"], row["input_tokens"], row["output_tokens"]
        self.tokens += tokens
        self.input_tokens += got
        self.output_tokens += gave
        self.calls += row["calls"]
        self.failed_calls += row["failed_calls"]
        price = prices.price(row["model"])
        if price is None:
            self.unpriced_tokens += tokens
        else:
            self.has_price = True
            self.priced_micro_usd += price.micro_usd(tokens=tokens, input_tokens=got, output_tokens=gave)


@dataclass(frozen=True, slots=True, kw_only=True)
class Breakdown:
    """Usage told apart.

    Parameters:
        since_us, until_us: first instants of UTC days; the second is left out.
        lines: the value and its sums: days in order, anything else by tokens, most first. An empty value or None is
            what belongs to none, such as calls without a session.
        more: how many lines were left out at the end.
        total: of all lines, those left out included.
        unpriced_models: models that have no price; an empty name is a row that names none.
    """

    by: Dimension
    since_us: int
    until_us: int
    lines: list[tuple[str | int | None, Usage]]
    more: int
    total: Usage
    unpriced_models: list[str] = field(default_factory=list)


class UsageService:
    """Tells what was spent.

    Parameters:
        prices: what the tokens of a model cost.
    """

    def __init__(self, database: Database, *, prices: PriceList) -> None:
        self._database = database
        self._prices = prices

    async def breakdown(
        self,
        *,
        by: Dimension,
        team_id: str | None,
        project_id: str | None,
        since_us: int,
        until_us: int,
        limit: int,
    ) -> Breakdown:
        """Tell usage apart; days are counted whole, from the one of `since_us` to the one before `until_us` ends.

        Parameters:
            team_id: None is every team.
            project_id: None is all projects and what belongs to none.
            limit: lines at most.
        """
        since = day_start_us(max(0, min(since_us, END_US)))
        until = day_start_us(max(since, min(until_us, END_US)) + DAY_US - 1)
        rows = await budgets.spending(
            self._database, by=by, team_id=team_id, project_id=project_id, since_us=since, until_us=until
        )
        rows = [row for row in rows if row["tokens"] or row["calls"]]
        if by is Dimension.PROJECT and project_id is None:
            rows = _without_projects(rows)
        total = Usage()
        found: dict[str | int | None, Usage] = {}
        for row in rows:
            for sums in (total, found.setdefault(row[_COLUMNS[by]], Usage())):
                sums.add(row, self._prices)
        if by is Dimension.DAY:
            lines = sorted(found.items(), key=lambda line: line[0] or 0)
        else:
            lines = sorted(found.items(), key=lambda line: (-line[1].tokens, str(line[0] or "")))
        models = {row["model"] for row in rows if self._prices.price(row["model"]) is None}
        return Breakdown(
            by=by,
            since_us=since,
            until_us=until,
            lines=lines[:limit],
            more=max(len(lines) - limit, 0),
            total=total,
            unpriced_models=sorted(models),
        )


def this_month(now_us: int) -> tuple[int, int]:
    """From the first instant of the UTC month to the end of the present day."""
    return month_start_us(now_us), day_start_us(now_us) + DAY_US


def _without_projects(rows: Iterable[Row]) -> list[Row]:
    """The rows with the whole team's in place of what belongs to no project: what the projects leave of it."""
    projects = [row for row in rows if row["project_id"]]
    left = {row["model"]: dict(row) for row in rows if not row["project_id"]}
    for row in projects:
        for column in _SUMS:
            left[row["model"]][column] -= row[column]
    return projects + [row for row in left.values() if row["calls"]]
