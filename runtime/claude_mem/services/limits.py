"""Admission: rate limit, monthly caps and metering. Each is off unless it is set, and counts by itself once it is.

All three let a request pass when the database cannot count: losing memory would be worse than going over a limit.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from claude_mem.model.errors import ClaudeMemError, QuotaExceeded, RateLimited
from claude_mem.model.times import now_us
from claude_mem.services.periods import month_start_us
from claude_mem.storage import usage
from claude_mem.storage.database import Database, Executor, StorageError, run_transaction

if TYPE_CHECKING:
    from claude_mem.model.records import Principal

logger = logging.getLogger(__name__)

WINDOW_S = 60
_WINDOW_US = WINDOW_S * 1_000_000


@dataclass(frozen=True, slots=True)
class Limits:
    """What is limited; None is without limit.

    Parameters:
        rate_per_minute: requests of one key in a minute.
        monthly_requests: requests of a team in a UTC month.
        monthly_tokens: tokens of a team in a UTC month; holds back writes only.
        metering: keep a usage row for each request even without a cap.
    """

    rate_per_minute: int | None = None
    monthly_requests: int | None = None
    monthly_tokens: int | None = None
    metering: bool = False


@dataclass(frozen=True, slots=True)
class RateWindow:
    """Where a key stands in the current minute.

    Parameters:
        reset_s: Unix time in seconds at which the window ends.
    """

    limit: int
    remaining: int
    reset_s: int


class Admission:
    """Counts requests and refuses those over a limit."""

    def __init__(self, database: Database, limits: Limits) -> None:
        self._database = database
        self.limits = limits
        self._metered: list[usage.UsageRow] = []

    async def rate(self, principal: Principal) -> RateWindow | None:
        """Count a request in its key's window; None where no limit is set.

        The count may be over the limit: `check_rate` tells.
        """
        limit = self.limits.rate_per_minute
        if limit is None or principal.key_id is None:
            return None
        now = now_us()
        start = now - now % _WINDOW_US
        try:
            count = await usage.hit(self._database, subject_id=principal.key_id, window_start_us=start)
        except (ClaudeMemError, StorageError) as error:
            logger.warning("the rate limit could not be counted", extra={"reason": type(error).__name__})
            return None
        return RateWindow(limit, limit - count, (start + _WINDOW_US) // 1_000_000)

    @staticmethod
    def check_rate(window: RateWindow) -> None:
        """Raises: RateLimited when the window's requests are used up."""
        if window.remaining < 0:
            wait = max(1, window.reset_s - now_us() // 1_000_000)
            message = f"Rate limit exceeded ({window.limit} requests / {WINDOW_S}s)"
            raise RateLimited(message, retry_after_s=wait)

    async def admit(self, principal: Principal, *, writes: bool, method: str, path: str) -> None:
        """Count a request of a team and refuse it when a cap is used up.

        Raises: QuotaExceeded.
        """
        team_id = principal.team_id
        if team_id is None:
            return
        limits = self.limits
        row = usage.UsageRow(
            team_id=team_id,
            project_id=principal.project_id,
            kind="request",
            quantity=1,
            at_us=now_us(),
            metadata={"method": method, "path": _storable(path), "apiKeyId": principal.key_id},
        )
        try:
            if limits.monthly_requests is not None:
                await self._admit_request(row, limits.monthly_requests)
            elif limits.metering:
                self._metered.append(row)
        except QuotaExceeded:
            raise
        except (ClaudeMemError, StorageError) as error:
            logger.warning("a cap could not be checked", extra={"reason": type(error).__name__})
        if writes:
            await self.check_tokens(principal)

    async def check_tokens(self, principal: Principal) -> None:
        """Refuse a write when the team's tokens of the month are used up.

        Raises: QuotaExceeded.
        """
        cap = self.limits.monthly_tokens
        if cap is None or principal.team_id is None:
            return
        try:
            used = await self._used(self._database, principal.team_id, kind="tokens", at_us=now_us())
        except (ClaudeMemError, StorageError) as error:
            logger.warning("a cap could not be checked", extra={"reason": type(error).__name__})
            return
        _refuse_over("token", used, cap=cap)

    async def _admit_request(self, row: usage.UsageRow, cap: int) -> None:
        async def count(transaction: Executor) -> None:
            await usage.lock_team(transaction, row.team_id)
            _refuse_over(
                "request",
                await self._used(transaction, row.team_id, kind="request", at_us=row.at_us),
                cap=cap,
            )
            await usage.append(transaction, [row])

        await run_transaction(self._database, count)

    @staticmethod
    async def _used(executor: Executor, team_id: str, *, kind: str, at_us: int) -> int:
        return await usage.month_total(
            executor, team_id=team_id, kind=kind, month_start_us=month_start_us(at_us)
        )

    async def write_metered(self) -> None:
        """Store metered requests; called every few seconds, and when the server stops."""
        rows, self._metered = self._metered, []
        try:
            await usage.append(self._database, rows)
        except (ClaudeMemError, StorageError) as error:
            logger.warning("metered requests wait for the database", extra={"reason": type(error).__name__})
            self._metered = rows[-10_000:] + self._metered

    async def forget_old_windows(self) -> None:
        """Delete windows of the rate limit that are over."""
        if self.limits.rate_per_minute is None:
            return
        try:
            await usage.forget_windows(self._database, before_us=now_us() - 2 * _WINDOW_US)
        except (ClaudeMemError, StorageError) as error:
            logger.warning("old windows were not deleted", extra={"reason": type(error).__name__})


def _storable(path: str) -> str:
    """A path as the database takes it: it may hold any byte, and one row that is refused would hold up the others."""
    return path.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def _refuse_over(what: str, used: int, *, cap: int) -> None:
    if used >= cap:
        raise QuotaExceeded(f"Monthly {what} quota reached ({cap})", used=used, cap=cap)


class FailedAuthentications:
    """Counts failed authentications by address in this process.

    Only failures are ever refused: a valid key passes whatever its address has done before.

    Parameters:
        per_minute: failures answered as such; None is without limit.
    """

    #: Addresses kept at most; the one that failed longest ago is forgotten.
    LARGEST = 10_000

    def __init__(self, per_minute: int | None) -> None:
        self._limit = per_minute
        self._counts: OrderedDict[str, tuple[int, int]] = OrderedDict()

    def record(self, address: str) -> None:
        """Count a failure.

        Raises: RateLimited when the address has too many in the current minute.
        """
        if self._limit is None:
            return
        now = now_us()
        window = now // _WINDOW_US
        seen, count = self._counts.pop(address, (window, 0))
        count = count + 1 if seen == window else 1
        self._counts[address] = (window, count)
        if len(self._counts) > self.LARGEST:
            self._counts.popitem(last=False)
        if count > self._limit:
            wait = max(1, ((window + 1) * _WINDOW_US - now) // 1_000_000)
            raise RateLimited(
                f"Too many failed authentications ({self._limit} / {WINDOW_S}s)", retry_after_s=wait
            )
