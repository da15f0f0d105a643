"""UTC days and months, in microseconds since the epoch: what usage is counted and limited by."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, Literal

DAY_US: Final = 86_400_000_000


def day_start_us(at_us: int) -> int:
    """The first instant of the UTC day, in microseconds since the epoch."""
    return at_us - at_us % DAY_US


def month_start_us(at_us: int) -> int:
    """The first instant of the UTC month, in microseconds since the epoch."""
    moment = datetime.fromtimestamp(at_us / 1_000_000, UTC)
    return int(moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0).timestamp()) * 1_000_000


def period_bounds(period: Literal["day", "month"], at_us: int) -> tuple[int, int]:
    """The first instants of the UTC day or month, and of the next one."""
    if period == "day":
        start = day_start_us(at_us)
        return start, start + DAY_US
    start = month_start_us(at_us)
    first = datetime.fromtimestamp(start / 1_000_000, UTC)
    following = first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)
    return start, int(following.timestamp()) * 1_000_000
