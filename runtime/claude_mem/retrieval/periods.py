"""Times in words: what `yesterday`, `last week`, `3 days ago`, `in March 2025` and `2025-03-14` mean in a question.

Days are those of UTC. What a question says of time is a preference, never a filter: a memory may be about a day
without being from it. `since` and `until` of a search are the filters.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_MONTHS = (
    *("january", "february", "march", "april", "may", "june", "july"),
    *("august", "september", "october", "november", "december"),
)
_MONTH = "|".join(f"{name}|{name[:3]}" if name != "may" else name for name in _MONTHS) + "|sept"
_NUMBERS = {"a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7}
_COUNT = r"\d{1,3}|" + "|".join(_NUMBERS)
_YEAR = r"(?:19|20)\d\d"
_FLAGS = re.IGNORECASE

_ISO = re.compile(rf"(?<![\w-])({_YEAR})-(\d\d)(?:-(\d\d))?(?![\w-])")
_NEAR = re.compile(r"\b(today|yesterday)\b", _FLAGS)
_SPAN = re.compile(r"\b(this|last|past)\s+(week|month|year)\b", _FLAGS)
_AGO = re.compile(rf"\b({_COUNT})\s+(day|week|month|year)s?\s+ago\b", _FLAGS)
_LAST = re.compile(rf"\b(?:in the\s+)?(?:last|past)\s+({_COUNT})\s+(day|week|month|year)s?\b", _FLAGS)
_DATE = re.compile(rf"\b({_MONTH})\.?\s+(\d\d?)(?:st|nd|rd|th)?\b(?:,?\s*({_YEAR})\b)?", _FLAGS)
_DAY_FIRST = re.compile(rf"\b(\d\d?)(?:st|nd|rd|th)?\s+(?:of\s+)?({_MONTH})\b(?:,?\s*({_YEAR})\b)?", _FLAGS)
_OF_YEAR = re.compile(rf"\b({_MONTH})\.?,?\s+({_YEAR})\b", _FLAGS)
# May and March are words too: a month alone needs a preposition before it.
_ALONE = re.compile(rf"\b(?:in|during|since|last)\s+({_MONTH})\b", _FLAGS)
_IN_YEAR = re.compile(rf"\b(?:in|during)\s+({_YEAR})\b", _FLAGS)


@dataclass(frozen=True, slots=True)
class Period:
    """A time that a question names.

    Parameters:
        since_us, until_us: its begin and the instant after its end, in microseconds since the epoch.
        relative: the words that mean it only from today, such as `yesterday`: they are not looked for in the text.
    """

    since_us: int
    until_us: int
    relative: str = ""


def find(text: str, *, now_us: int) -> Period | None:
    """The first time that a text names, or None. Days that no calendar has count as none."""
    today = datetime.fromtimestamp(now_us / 1_000_000, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    for pattern, read in _READERS:
        for match in pattern.finditer(text):
            try:
                begin, end = read(match, today)
                return Period(_us(begin), _us(end), match[0] if pattern in _RELATIVE else "")
            except (ValueError, OverflowError):
                continue
    return None


_Range = tuple[datetime, datetime]


def _iso(match: re.Match[str], _: datetime) -> _Range:
    year, month, day = int(match[1]), int(match[2]), match[3]
    return _day(year, month, int(day)) if day else _month(year, month)


def _near(match: re.Match[str], today: datetime) -> _Range:
    begin = today - timedelta(days=int(match[1].lower() == "yesterday"))
    return begin, begin + timedelta(days=1)


def _span(match: re.Match[str], today: datetime) -> _Range:
    back = int(match[1].lower() != "this")
    unit = match[2].lower()
    if unit == "week":
        monday = today - timedelta(days=today.weekday() + 7 * back)
        return monday, monday + timedelta(days=7)
    if unit == "month":
        return _month(*divmod(today.year * 12 + today.month - 1 - back, 12), offset=1)
    return _year(today.year - back)


def _ago(match: re.Match[str], today: datetime) -> _Range:
    """The day so many days ago; for larger units the unit around that day."""
    count, unit = _count(match[1]), match[2].lower()
    if unit == "day":
        begin = today - timedelta(days=count)
        return begin, begin + timedelta(days=1)
    if unit == "week":
        monday = today - timedelta(days=today.weekday() + 7 * count)
        return monday, monday + timedelta(days=7)
    if unit == "month":
        return _month(*divmod(today.year * 12 + today.month - 1 - count, 12), offset=1)
    return _year(today.year - count)


def _last(match: re.Match[str], today: datetime) -> _Range:
    days = {"day": 1, "week": 7, "month": 31, "year": 366}[match[2].lower()] * _count(match[1])
    return today - timedelta(days=days), today + timedelta(days=1)


def _date(match: re.Match[str], today: datetime) -> _Range:
    return _dated(_month_number(match[1]), int(match[2]), year=match[3], today=today)


def _day_first(match: re.Match[str], today: datetime) -> _Range:
    return _dated(_month_number(match[2]), int(match[1]), year=match[3], today=today)


def _of_year(match: re.Match[str], _: datetime) -> _Range:
    return _month(int(match[2]), _month_number(match[1]))


def _alone(match: re.Match[str], today: datetime) -> _Range:
    month = _month_number(match[1])
    return _month(today.year - (month > today.month), month)


def _in_year(match: re.Match[str], _: datetime) -> _Range:
    return _year(int(match[1]))


_READERS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str], datetime], _Range]], ...] = (
    (_ISO, _iso),
    (_NEAR, _near),
    (_AGO, _ago),
    (_LAST, _last),
    (_SPAN, _span),
    (_DATE, _date),
    (_DAY_FIRST, _day_first),
    (_OF_YEAR, _of_year),
    (_ALONE, _alone),
    (_IN_YEAR, _in_year),
)
_RELATIVE = frozenset({_NEAR, _AGO, _LAST, _SPAN})


def _count(text: str) -> int:
    return _NUMBERS.get(text.lower()) or int(text)


def _month_number(name: str) -> int:
    return next(number for number, month in enumerate(_MONTHS, 1) if month.startswith(name.lower()[:3]))


def _dated(month: int, day: int, *, year: str | None, today: datetime) -> _Range:
    if year:
        return _day(int(year), month, day)
    begin, end = _day(today.year, month, day)
    return (begin, end) if begin <= today else _day(today.year - 1, month, day)


def _day(year: int, month: int, day: int) -> _Range:
    begin = datetime(year, month, day, tzinfo=UTC)
    return begin, begin + timedelta(days=1)


def _month(year: int, month: int, *, offset: int = 0) -> _Range:
    """Parameters: offset: 1 where months are counted from 0."""
    month += offset
    following = (year + 1, 1) if month == 12 else (year, month + 1)
    return datetime(year, month, 1, tzinfo=UTC), datetime(*following, 1, tzinfo=UTC)


def _year(year: int) -> _Range:
    return datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC)


def _us(moment: datetime) -> int:
    return int(moment.timestamp()) * 1_000_000
