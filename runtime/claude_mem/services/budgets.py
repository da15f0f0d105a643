"""Budgets: what a team and its projects may spend in a UTC day or month, asked before each provider call.

What was spent is counted by the database, whoever wrote the rows, so workers need not know of each other. A call that
does not fit waits, it does not fail. A database that does not answer admits nothing: the call's result could not be
stored either. What becomes of a waiting job is the caller's; setting budgets is `budget_changes`'s.
"""

from __future__ import annotations

import hashlib
import logging
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from claude_mem.model.money import usd
from claude_mem.model.records import AuditEntry
from claude_mem.model.times import iso8601_us
from claude_mem.services.group import GroupCommit
from claude_mem.services.periods import day_start_us, month_start_us, period_bounds
from claude_mem.storage import audit, budgets

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from claude_mem.generation.prices import PriceList
    from claude_mem.storage.database import Database, Row

logger = logging.getLogger(__name__)

DEFAULT_WARN_PERCENT: Final = 80

#: How long to wait where only calls under way stand in the way; they may turn out smaller than estimated.
UNDER_WAY_US: Final = 5_000_000

State = Literal["ok", "warning", "spent"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """A budget and what was spent of it in the current period.

    Parameters:
        id: None for the default that the settings give every team.
        project_id: None is the whole team.
        tokens, micro_usd: limits; None does not apply.
        warn_percent: share of a limit from which a warning is given.
        starts_us, resets_us: first instants of this period and the next, in microseconds since the epoch.
        spent_micro_usd: cost of the models that have a price.
        unpriced_tokens: tokens of the others, which no limit in dollars sees.
    """

    id: str | None
    team_id: str
    project_id: str | None
    period: budgets.Period
    tokens: int | None
    micro_usd: int | None
    warn_percent: int
    starts_us: int
    resets_us: int
    spent_tokens: int
    spent_micro_usd: int
    unpriced_tokens: int

    @property
    def state(self) -> State:
        """`spent` from the limit on, `warning` from the threshold on."""
        pairs = [(self.spent_tokens, self.tokens), (self.spent_micro_usd, self.micro_usd)]
        limited = [(spent, limit) for spent, limit in pairs if limit is not None]
        if any(spent >= limit for spent, limit in limited):
            return "spent"
        if any(spent * 100 >= limit * self.warn_percent for spent, limit in limited):
            return "warning"
        return "ok"

    def fits(self, tokens: int) -> bool:
        """Whether so many more tokens stay within the limits.

        A call that is larger than the whole budget fits while nothing was spent; it would wait for ever otherwise.
        """
        if self.state == "spent":
            return False
        return self.tokens is None or not self.spent_tokens or self.spent_tokens + tokens <= self.tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """Whether a call may be made.

    Parameters:
        waits_until_us: when to ask again, in microseconds since the epoch; None when the call is allowed.
        budget: the one that stands in the way, or else the one that is past its warning threshold.
        warning: whether that one is past its threshold, or spent.
    """

    allowed: bool
    waits_until_us: int | None = None
    budget: Budget | None = None
    warning: bool = False


@dataclass(slots=True)
class _UnderWay:
    """Estimated tokens of this process's calls that are not counted by the database yet, by scope."""

    tokens: dict[tuple[str, str | None], int] = field(default_factory=dict)

    def of(self, budget: Budget) -> int:
        return self.tokens.get((budget.team_id, budget.project_id), 0)

    def add(self, team_id: str, project_id: str, tokens: int) -> None:
        for scope in ((team_id, None), (team_id, project_id)):
            total = self.tokens.pop(scope, 0) + tokens
            if total > 0:
                self.tokens[scope] = total


class _Scope(NamedTuple):
    """Whose budgets are asked about, and when in microseconds since the epoch."""

    team_id: str
    project_id: str
    now_us: int


class BudgetService:
    """Admits provider calls, and keeps the budgets.

    Parameters:
        default_daily_tokens: for a team without a daily budget of its own; None or 0 is without limit.
        prices: what the tokens of a model cost.
    """

    def __init__(
        self, database: Database, *, prices: PriceList, default_daily_tokens: int | None = None
    ) -> None:
        self._database = database
        self.prices = prices
        self._default = default_daily_tokens or None
        self._under_way = _UnderWay()
        self._noticed: dict[str, int] = {}
        self._reading: GroupCommit[_Scope, list[Budget]] = GroupCommit(
            "budgets", self._read, largest=1_000, parallel=2
        )

    async def admit(self, *, team_id: str, project_id: str, estimated_tokens: int, now_us: int) -> Admission:
        """Say whether a call fits the budgets of its project and team.

        Calls of one project that are asked about together share a read of the counters, which begins after that.

        Parameters:
            estimated_tokens: of prompt and answer together, at least 0.
            now_us: microseconds since the epoch.

        Raises: Unavailable when the database does not answer.
        """
        found = await self._reading.submit(_Scope(team_id, project_id, now_us))
        return self._decide(found, estimated_tokens, now_us)

    async def _read(self, asked: Sequence[_Scope]) -> Sequence[list[Budget]]:
        latest = {(scope.team_id, scope.project_id): scope for scope in asked}
        found = {key: await self.standing(**scope._asdict()) for key, scope in latest.items()}
        return [found[scope.team_id, scope.project_id] for scope in asked]

    @asynccontextmanager
    async def hold(
        self, *, team_id: str, project_id: str, estimated_tokens: int, now_us: int
    ) -> AsyncIterator[Admission]:
        """Admit as `admit` does, and count the estimate against this process's other calls until the block ends.

        End the block once the call's usage is stored. Without it, calls at the same time would each fit alone and
        overspend together.
        """
        admission = await self.admit(
            team_id=team_id, project_id=project_id, estimated_tokens=estimated_tokens, now_us=now_us
        )
        held = estimated_tokens if admission.allowed else 0
        self._under_way.add(team_id, project_id, held)
        try:
            yield admission
        finally:
            self._under_way.add(team_id, project_id, -held)

    def _decide(self, found: Iterable[Budget], estimated: int, now_us: int) -> Admission:
        warned: Budget | None = None
        waiting: list[tuple[int, Budget]] = []
        for budget in found:
            if budget.state != "ok":
                warned = warned or budget
            if not budget.fits(estimated):
                waiting.append((budget.resets_us, budget))
            elif not self._fits_beside(budget, estimated):
                waiting.append((min(now_us + UNDER_WAY_US, budget.resets_us), budget))
        if waiting:
            until, budget = max(waiting, key=lambda pair: pair[0])
            return Admission(allowed=False, waits_until_us=until, budget=budget, warning=budget.state != "ok")
        return Admission(allowed=True, budget=warned, warning=warned is not None)

    def _fits_beside(self, budget: Budget, estimated: int) -> bool:
        """Whether a call fits beside those under way."""
        under_way = self._under_way.of(budget)
        if budget.tokens is None or not under_way:
            return True
        return budget.spent_tokens + under_way + estimated <= budget.tokens

    async def record_warning(self, admission: Admission, *, now_us: int) -> bool:
        """Log and audit that a budget nears its end or is spent, each once a period; say whether this was the time.

        Other processes may ask at the same time: the audit log holds one line all the same.
        """
        budget = admission.budget
        if budget is None or budget.state == "ok":
            return False
        notice = _notice(budget)
        if notice.id in self._noticed:
            return False
        self._noticed = {known: end for known, end in self._noticed.items() if end > now_us}
        self._noticed[notice.id] = budget.resets_us
        if await budgets.is_noticed(self._database, notice.id):
            return False
        await audit.append(self._database, [notice], now_us=now_us)
        logger.warning(
            "a token budget is spent; jobs wait for its next period"
            if budget.state == "spent"
            else "a token budget nears its end",
            extra={"teamId": budget.team_id, **notice.details},
        )
        return True

    async def standing(self, *, team_id: str, project_id: str | None, now_us: int) -> list[Budget]:
        """A team's budgets and what was spent: those that a project's calls count against, or all of them."""
        rows = await budgets.standing(
            self._database,
            team_id=team_id,
            project_id=project_id,
            day_us=day_start_us(now_us),
            month_us=month_start_us(now_us),
            default_tokens=self._default,
            default_percent=DEFAULT_WARN_PERCENT,
        )
        by_scope: dict[tuple[str | None, str], list[Row]] = {}
        for row in rows:
            by_scope.setdefault((row["project_id"], row["period"]), []).append(row)
        return [self._budget(team_id, found, now_us) for found in by_scope.values()]

    def _budget(self, team_id: str, rows: list[Row], now_us: int) -> Budget:
        cost = unpriced = 0
        for row in rows:
            price = self.prices.price(row["model"] or "")
            if price is None:
                unpriced += row["tokens"]
            else:
                cost += price.micro_usd(
                    tokens=row["tokens"],
                    input_tokens=row["input_tokens"],
                    output_tokens=row["output_tokens"],
                )
        first = rows[0]
        starts, resets = period_bounds(first["period"], now_us)
        return Budget(
            id=first["id"],
            team_id=team_id,
            project_id=first["project_id"],
            period=first["period"],
            tokens=first["token_limit"],
            micro_usd=first["micro_usd_limit"],
            warn_percent=first["warn_percent"],
            starts_us=starts,
            resets_us=resets,
            spent_tokens=sum(row["tokens"] for row in rows),
            spent_micro_usd=cost,
            unpriced_tokens=unpriced,
        )


def _notice(budget: Budget) -> AuditEntry:
    """The line of the audit log about a budget's state; its id is the same in every process."""
    action = "budget.spent" if budget.state == "spent" else "budget.warning"
    scope = (budget.team_id, budget.project_id or "", budget.period, str(budget.starts_us))
    limits = (str(budget.tokens), str(budget.micro_usd))
    digest = hashlib.sha256("\0".join((action, *scope, *limits)).encode()).hexdigest()
    return AuditEntry(
        id=f"{action}:{digest[:40]}",
        action=action,
        resource_type="budget",
        resource_id=budget.id,
        team_id=budget.team_id,
        project_id=budget.project_id,
        actor_id=None,
        api_key_id=None,
        details={
            "period": budget.period,
            "tokens": budget.tokens,
            "spentTokens": budget.spent_tokens,
            "usd": usd(budget.micro_usd),
            "spentUsd": usd(budget.spent_micro_usd),
            "resetsAt": iso8601_us(budget.resets_us),
        },
    )
