"""Single times in words, each as a range of time: `yesterday`, `last Friday`, `two weeks ago`, `5th of May`, `2025-W12`.

What lies between two times, before or after one is for `periods`. Some words are only sometimes times: `may` is a
verb, and a bare month, weekday or year counts only behind a word such as `in`, `on` or `since`. Short names of weekdays
(`sun`, `sat`, `mon`) never count. Readers raise ValueError for a day that no calendar has, and for a verb.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from claude_mem.retrieval import spans
from claude_mem.retrieval.stopwords import STOP_WORDS

_Read = Callable[[re.Match[str], datetime], spans.Range]


class Point(NamedTuple):
    """A way to name a time.

    Parameters:
        pattern: how it is written.
        read: what a match of it means, asked at a moment.
        relative: whether it means that only from today, such as `yesterday`; `March 5` may stand in a text.
    """

    pattern: re.Pattern[str]
    read: _Read
    relative: bool = False


_MONTHS = (
    *("january", "february", "march", "april", "may", "june", "july"),
    *("august", "september", "october", "november", "december"),
)
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_SMALL = (
    *("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS = {"twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "ninety": 90}
_NUMBERS = {"a": 1, "an": 1} | {name: number for number, name in enumerate(_SMALL, 1)} | _TENS
#: The least and the most that people mean.
_VAGUE = {"couple": (2, 3), "few": (2, 5), "several": (3, 7)}
_SHORT = {"h": "hour", "d": "day", "w": "week"}

_MONTH = "|".join(f"{name}|{name[:3]}" if name != "may" else name for name in _MONTHS) + "|sept"
_WEEKDAY = "|".join(_WEEKDAYS)
_COUNT = (
    rf"\d{{1,3}}|(?:{'|'.join(_TENS)})[\s-](?:{'|'.join(_SMALL[:9])})|{'|'.join(_NUMBERS)}"
    r"|(?:a\s+)?couple(?:\s+of)?|(?:a\s+)?few|several"
)
_UNIT = "minute|hour|day|week|fortnight|weekend|month|quarter|year"
_YEAR = r"(?:19|20)\d\d"
_ORDINAL = "(?:st|nd|rd|th)?"
_OF_THE_DAY = "morning|afternoon|evening|night"
# A decimal, a range or a name is no count; nor is the half of something.
_ALONE = r"(?<![\w.,-])(?<!half )"
# Not a host or a compound.
_END = r"(?![\w-]|\.\w)"
_THROUGH = "and|to|until|till|through"

#: Something that every time has: a number, a unit, or a name.
HINT = re.compile(rf"\d|(?:{_UNIT}|{_OF_THE_DAY})s?\b|\b(?:{_MONTH})\b", re.IGNORECASE)

#: What stands before a date, but not before a verb.
_LEADS = re.compile(
    r"\b(?:on|by|since|before|after|until|till|from|to|of|between)\s+(?:the\s+)?$", re.IGNORECASE
)
_LEADS_MONTH = re.compile(r"\b(?:since|from|to)\s+$", re.IGNORECASE)
_CLOSES = re.compile(rf"\s*(?:$|[,;:.?!)]|[-\u2013]\s|(?:{_THROUGH})\b)", re.IGNORECASE)
_NEXT_WORD = re.compile(r"\s+(\w+)")


def _named(text: str, read: _Read) -> Point:
    return Point(re.compile(text, re.IGNORECASE), read)


def _relative(text: str, read: _Read) -> Point:
    return Point(re.compile(text, re.IGNORECASE), read, relative=True)


def _iso(match: re.Match[str], _: datetime) -> spans.Range:
    year, month, day = int(match[1]), int(match[2]), match[3]
    return spans.day_of(year, month, int(day)) if day else spans.month_of(year, month)


def _iso_week(match: re.Match[str], _: datetime) -> spans.Range:
    year, week, day = match[1] or match[5], match[2] or match[4], match[3]
    found = date.fromisocalendar(int(year), int(week), int(day or 1))
    begin = datetime(found.year, found.month, found.day, tzinfo=UTC)
    return begin, begin + timedelta(days=1 if day else 7)


def _near(match: re.Match[str], now: datetime) -> spans.Range:
    """The whole day: whose morning is meant, UTC does not tell."""
    return spans.back("day", int(match[1].lower() == "yesterday"), now)


def _last_night(_: re.Match[str], now: datetime) -> spans.Range:
    """From noon to noon, for the same reason that `this morning` is a day."""
    begin = spans.midnight(now) - timedelta(hours=12)
    return begin, begin + timedelta(days=1)


def _before_last(match: re.Match[str], now: datetime) -> spans.Range:
    return spans.back((match[1] or "day").lower(), 2, now)


def _span(match: re.Match[str], now: datetime) -> spans.Range:
    return spans.back(match[2].lower(), int(match[1].lower() != "this"), now)


def _weekend(_: re.Match[str], now: datetime) -> spans.Range:
    return spans.back("weekend", int(now.weekday() < 5), now)


def _ago(match: re.Match[str], now: datetime) -> spans.Range:
    least, most = _count(match[1])
    unit = _SHORT.get(match[2].lower(), match[2].lower())
    return spans.back(unit, most, now)[0], spans.back(unit, least, now)[1]


def _last(match: re.Match[str], now: datetime) -> spans.Range:
    _, most = _count(match[1] or "a")
    unit = _SHORT.get(match[2].lower(), match[2].lower())
    tomorrow = spans.midnight(now) + timedelta(days=1)
    if unit in ("minute", "hour"):
        return now - most * timedelta(**{unit + "s": 1}), tomorrow
    return spans.midnight(now) - timedelta(days=spans.DAYS[unit] * most), tomorrow


def _weekday(match: re.Match[str], now: datetime) -> spans.Range:
    """The last one, today's included."""
    return spans.back("day", (now.weekday() - _weekday_number(match[1])) % 7, now)


def _last_weekday(match: re.Match[str], now: datetime) -> spans.Range:
    """The last one before today."""
    return spans.back("day", (now.weekday() - _weekday_number(match[1]) - 1) % 7 + 1, now)


def _weekday_of(match: re.Match[str], now: datetime) -> spans.Range:
    back = 7 * int((match[2] or "this").lower() != "this")
    return spans.back("day", now.weekday() - _weekday_number(match[1]) + back, now)


def _date(match: re.Match[str], now: datetime) -> spans.Range:
    _check_month(match, match[1], sure=bool(match[3]))
    return spans.dated(_month_number(match[1]), int(match[2]), year=match[3], now=now)


def _day_first(match: re.Match[str], now: datetime) -> spans.Range:
    _check_month(match, match[3], sure=bool(match[2] or match[4]))
    return spans.dated(_month_number(match[3]), int(match[1]), year=match[4], now=now)


def _days(match: re.Match[str], now: datetime) -> spans.Range:
    _check_month(match, match[4], sure=bool(match[5]))
    return _from_to(int(match[1] or match[2]), int(match[3]), match=(match[4], match[5]), now=now)


def _days_last(match: re.Match[str], now: datetime) -> spans.Range:
    _check_month(match, match[2], sure=bool(match[1] or match[5]))
    return _from_to(int(match[3]), int(match[4]), match=(match[2], match[5]), now=now)


def _from_to(first: int, last: int, *, match: tuple[str, str | None], now: datetime) -> spans.Range:
    month = _month_number(match[0])
    begin, _ = spans.dated(month, first, year=match[1], now=now)
    return begin, spans.day_of(begin.year, month, last)[1]


def _of_year(match: re.Match[str], _: datetime) -> spans.Range:
    return spans.month_of(int(match[2]), _month_number(match[1]))


def _recent_month(match: re.Match[str], now: datetime) -> spans.Range:
    month = _month_number(match[1])
    return spans.month_of(now.year - (month > now.month), month)


def _bare_month(match: re.Match[str], now: datetime) -> spans.Range:
    _check_month(match, match[1], leads=_LEADS_MONTH)
    return _recent_month(match, now)


def _quarter_of_year(match: re.Match[str], _: datetime) -> spans.Range:
    return spans.quarter_of(int(match[1] or match[4]), int(match[2] or match[3]))


def _recent_quarter(match: re.Match[str], now: datetime) -> spans.Range:
    number = int(match[1])
    return spans.quarter_of(now.year - (number * 3 - 2 > now.month), number)


def _in_year(match: re.Match[str], _: datetime) -> spans.Range:
    return spans.year_of(int(match[1]))


def _bare_year(match: re.Match[str], _: datetime) -> spans.Range:
    following = _NEXT_WORD.match(match.string, match.end())
    if following and following[1].lower() not in STOP_WORDS:
        raise ValueError(f"{match[0]} of something is no year")
    return spans.year_of(int(match[1]))


#: What is a time wherever it stands, in the order in which it is looked for.
STANDING = (
    _named(rf"(?<![\w-])({_YEAR})-(\d\d)(?:-(\d\d)(?:T[\d:.]+(?:Z|[+-][\d:]+)?)?)?(?![\w-])", _iso),
    _named(
        rf"(?<![\w-])(?:({_YEAR})-?W(\d\d)(?:-([1-7]))?|week\s+(\d\d?)(?:\s+of|,)?\s+({_YEAR}))(?![\w-])",
        _iso_week,
    ),
    _relative(
        rf"\b(?:the\s+)?(?:day\s+before\s+yesterday|({_UNIT})\s+before\s+last(?!\s+(?:{_UNIT}|{_WEEKDAY}|{_MONTH}|night)\b)){_END}",
        _before_last,
    ),
    _relative(rf"\b(today|yesterday|tonight|this\s+(?:{_OF_THE_DAY}))\b", _near),
    _relative(r"\blast\s+night\b", _last_night),
    _relative(rf"{_ALONE}({_COUNT})\s+({_UNIT})s?\s+ago\b", _ago),
    _relative(rf"{_ALONE}(\d{{1,3}})\s?([hdw])\s+ago\b", _ago),
    _relative(
        rf"\b(?:last|past)\s+({_COUNT})\s+(minute|hour|day|week|fortnight|month|quarter|year)s?\b", _last
    ),
    _relative(r"\b(?:last|past)\s+(\d{1,3})\s?(h)\b", _last),
    _relative(r"\b(?:last|past)()\s+(hour|fortnight)\b", _last),
    _relative(rf"\b(?:on\s+)?({_WEEKDAY})\s+(?:of\s+)?(this|last|past)\s+week\b", _weekday_of),
    _relative(r"\b(this|last|past)\s+(week|weekend|month|year|quarter(?!\s+of\b))\b", _span),
    _relative(r"\b(?:over|during|at|on)\s+the\s+weekend\b", _weekend),
    _relative(rf"\bthis\s+({_WEEKDAY})(){_END}", _weekday_of),
    _relative(rf"\b(?:last|past)\s+({_WEEKDAY}){_END}", _last_weekday),
    _named(
        rf"\b(?:(?:between|from)\s+(?:the\s+)?(\d\d?){_ORDINAL}\s+(?:{_THROUGH})\s+(?:the\s+)?"
        rf"|(?<![.-])(\d\d?){_ORDINAL}\s?[-\u2013]\s?)"
        rf"(\d\d?){_ORDINAL}\s+(?:of\s+)?({_MONTH})\b(?:,?\s*({_YEAR})\b)?",
        _days,
    ),
    _named(
        rf"\b(?:(from|between)\s+)?({_MONTH})\.?\s+(?:the\s+)?(\d\d?){_ORDINAL}"
        rf"(?(1)\s+(?:{_THROUGH})\s+(?:the\s+)?|\s?[-\u2013]\s?)"
        rf"(\d\d?){_ORDINAL}(?![\w.:-])(?!\s+(?:of\s+)?(?:{_MONTH})\b)(?:,?\s*({_YEAR})\b)?",
        _days_last,
    ),
    _named(rf"\b({_MONTH})\.?\s+(\d\d?){_ORDINAL}\b(?:,?\s*({_YEAR})\b)?", _date),
    _named(rf"\b(\d\d?){_ORDINAL}\s+(of\s+)?({_MONTH})\b(?:,?\s*({_YEAR})\b)?", _day_first),
    _named(rf"\b({_MONTH})\.?,?\s+({_YEAR})\b", _of_year),
    _named(
        rf"\b(?:(?:in|during)(?:\s+(?:early|mid|late))?|last|from|(?:in|at)\s+the\s+(?:start|beginning|middle|end)\s+of)"
        rf"[\s-]+({_MONTH})\b",
        _recent_month,
    ),
    _named(rf"\b(?:({_YEAR})[\s-]?Q([1-4])|Q([1-4]),?\s+(?:of\s+)?({_YEAR}))\b", _quarter_of_year),
    _named(rf"\b(?:in|during|last|from)\s+(?-i:Q)([1-4]){_END}", _recent_quarter),
    _named(rf"\b(?:on|from)\s+({_WEEKDAY}){_END}", _weekday),
    _named(rf"\b({_WEEKDAY})\s+(?:{_OF_THE_DAY})\b", _weekday),
    _named(rf"\b(?:in|during)\s+({_YEAR})\b", _in_year),
)

#: What is a time only behind a word such as `since`.
BARE = (
    _named(rf"({_WEEKDAY}){_END}", _weekday),
    _relative(r"weekend\b", _weekend),
    _named(rf"({_MONTH})\b{_END}", _bare_month),
    _named(rf"(?-i:Q)([1-4]){_END}", _recent_quarter),
    _named(rf"({_YEAR})\b(?![-./:,]\w|%)", _bare_year),
)


def _check_month(
    match: re.Match[str], name: str, *, sure: bool = False, leads: re.Pattern[str] = _LEADS
) -> None:
    """Raises: ValueError when `may` is perhaps a verb, as in `how may 2 workers share a lock`."""
    text = match.string
    if sure or name.lower() != "may" or name == "May" or match.start() == 0:
        return
    if leads.search(text, max(0, match.start() - 20), match.start()) or _CLOSES.match(text, match.end()):
        return
    raise ValueError(f"{match[0]} is perhaps no date")


def _count(text: str) -> tuple[int, int]:
    """The least and the most that a count stands for."""
    parts = re.split(r"[\s-]+", text.lower())
    for part in parts:
        if part in _VAGUE:
            return _VAGUE[part]
    number = sum(_NUMBERS.get(part) or int(part) for part in parts)
    return number, number


def _month_number(name: str) -> int:
    return next(number for number, month in enumerate(_MONTHS, 1) if month.startswith(name.lower()[:3]))


def _weekday_number(name: str) -> int:
    return _WEEKDAYS.index(name.lower())
