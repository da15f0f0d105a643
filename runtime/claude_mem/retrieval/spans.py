"""Days, weeks, months, quarters and years of UTC as ranges of time. Which words mean them is for `dates`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

#: A begin, and the instant after the end.
Range = tuple[datetime, datetime]

#: Days of a unit, the longest where they differ.
DAYS: Final = {"day": 1, "week": 7, "fortnight": 14, "month": 31, "quarter": 92, "year": 366}


def back(unit: str, count: int, now: datetime) -> Range:
    """So many units back: the whole unit around that moment; of minutes five to either side, of hours one."""
    today = midnight(now)
    monday = today - timedelta(days=today.weekday())
    months = today.year * 12 + today.month - 1
    match unit:
        case "minute" | "hour":
            margin = timedelta(minutes=5) if unit == "minute" else timedelta(hours=1)
            moment = now - count * timedelta(**{unit + "s": 1})
            return moment - margin, moment + margin
        case "day":
            begin = today - timedelta(days=count)
            return begin, begin + timedelta(days=1)
        case "week" | "fortnight":
            begin = monday - timedelta(days=DAYS[unit] * count)
            return begin, begin + timedelta(days=7)
        case "weekend":
            begin = monday - timedelta(days=7 * count - 5)
            return begin, begin + timedelta(days=2)
        case "month":
            year, month = divmod(months - count, 12)
            return month_of(year, month + 1)
        case "quarter":
            year, quarter = divmod(months // 3 - count, 4)
            return quarter_of(year, quarter + 1)
        case _:
            return year_of(today.year - count)


def dated(month: int, day: int, *, year: str | None, now: datetime) -> Range:
    """A day of a year; without a year its last one that has begun. Raises: ValueError for a day that no calendar has."""
    if year:
        return day_of(int(year), month, day)
    begin, end = day_of(now.year, month, day)
    return (begin, end) if begin <= now else day_of(now.year - 1, month, day)


def midnight(moment: datetime) -> datetime:
    """When its day began."""
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def day_of(year: int, month: int, day: int) -> Range:
    """A day. Raises: ValueError for one that no calendar has."""
    begin = datetime(year, month, day, tzinfo=UTC)
    return begin, begin + timedelta(days=1)


def month_of(year: int, month: int) -> Range:
    """A month. Raises: ValueError."""
    following = (year + 1, 1) if month == 12 else (year, month + 1)
    return datetime(year, month, 1, tzinfo=UTC), datetime(*following, 1, tzinfo=UTC)


def quarter_of(year: int, number: int) -> Range:
    """A quarter, from 1. Raises: ValueError."""
    return month_of(year, number * 3 - 2)[0], month_of(year, number * 3)[1]


def year_of(year: int) -> Range:
    """A year. Raises: ValueError."""
    return datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC)
