"""Time as the server keeps it: microseconds of the Unix epoch inside, milliseconds and ISO 8601 on the wire.

Python's datetime ends with the year 9999 and JavaScript's Date with 275760, and a client may send any of
them. So the calendar (proleptic Gregorian, without leap seconds) is computed here, on integers.
"""

from __future__ import annotations

import re
import time
from functools import lru_cache
from typing import Final

MAX_EPOCH_MS: Final = 8_640_000_000_000_000
"""The last moment a JavaScript Date can hold, +275760-09-13T00:00:00.000Z; the first is its negative."""

MIN_POSTGRES_MS: Final = -210_866_803_200_000
"""The first moment PostgreSQL's timestamptz can hold: Julian day 0, 24 November 4714 BC."""

_DAY_MS: Final = 86_400_000


def now_us() -> int:
    """The present, in microseconds of the Unix epoch."""
    return time.time_ns() // 1000


def ms_from_us(us: int) -> int:
    """Microseconds as milliseconds, rounded down."""
    return us // 1000


def us_from_ms(ms: int) -> int:
    """Milliseconds as microseconds."""
    return ms * 1000


def iso8601_ms(ms: int) -> str:
    """`ms` milliseconds from the Unix epoch as `Date.toISOString` writes it: `2026-01-01T00:00:00.000Z`.

    Years outside 0..9999 get a sign and six digits. Raises ValueError beyond `MAX_EPOCH_MS` either way.
    """
    if not -MAX_EPOCH_MS <= ms <= MAX_EPOCH_MS:
        raise ValueError(
            f"Time out of range: {ms} ms. Times go up to {MAX_EPOCH_MS} ms from the Unix epoch, both ways."
        )
    days, within = divmod(ms, _DAY_MS)
    minutes, millis = divmod(within, 60_000)
    hours, minutes = divmod(minutes, 60)
    seconds, millis = divmod(millis, 1000)
    return f"{_date_text(days)}T{hours:02d}:{minutes:02d}:{seconds:02d}.{millis:03d}Z"


def iso8601_us(us: int) -> str:
    """The same for microseconds, rounded down: the text has milliseconds, as all times on the wire."""
    return iso8601_ms(ms_from_us(us))


@lru_cache(maxsize=256)
def _date_text(days: int) -> str:
    year, month, day = _civil(days)
    shown = f"{year:04d}" if 0 <= year <= 9999 else f"{year:+07d}"
    return f"{shown}-{month:02d}-{day:02d}"


def _civil(days: int) -> tuple[int, int, int]:
    """Year, month and day of a day counted from 1 January 1970.

    The arithmetic is Howard Hinnant's "chrono-Compatible Low-Level Date Algorithms": eras of 400 years that
    begin on 1 March.
    """
    era, day_of_era = divmod(days + 719_468, 146_097)
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * shifted + 2) // 5 + 1
    month = shifted + 3 if shifted < 10 else shifted - 9
    return year_of_era + era * 400 + (month <= 2), month, day


def _days(year: int, month: int, day: int) -> int:
    """The inverse of `_civil`."""
    era, year_of_era = divmod(year - (month <= 2), 400)
    day_of_year = (153 * (month - 3 if month > 2 else month + 9) + 2) // 5 + day - 1
    day_of_era = year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year
    return era * 146_097 + day_of_era - 719_468


_ISO: Final = re.compile(
    r"(?P<year>[0-9]{4}|[+-][0-9]{6})(?:-(?P<month>[0-9]{2})(?:-(?P<day>[0-9]{2}))?)?"
    r"(?:[Tt](?P<hour>[0-9]{2}):(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2})(?:\.(?P<fraction>[0-9]+))?)?"
    r"(?P<zone>[Zz]|[+-][0-9]{2}:?[0-9]{2})?)?"
)
_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_ZONES: Final = {
    "est": -300,
    "edt": -240,
    "cst": -360,
    "cdt": -300,
    "mst": -420,
    "mdt": -360,
    "pst": -480,
    "pdt": -420,
}
_WRITTEN: Final = re.compile(
    r"(?:[a-z]{3,9},? +)?"
    r"(?:(?P<day>[0-9]{1,2})[ -](?P<month>[a-z]{3,9})[ -](?P<year>[0-9]{4})"
    r"|(?P<month2>[a-z]{3,9}) +(?P<day2>[0-9]{1,2}),? +(?P<year2>[0-9]{4})"
    r"|(?P<month3>[0-9]{1,2})/(?P<day3>[0-9]{1,2})/(?P<year3>[0-9]{4})"
    r"|(?P<year4>[0-9]{4})[/-](?P<month4>[0-9]{1,2})[/-](?P<day4>[0-9]{1,2}))"
    r"(?:,? +(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2})(?:\.(?P<fraction>[0-9]+))?)?"
    r"(?: *(?P<half>am|pm))?)?"
    r"(?: *(?P<zone>z|(?:utc?|gmt)?[+-][0-9]{2}:?[0-9]{2}|utc?|gmt|[ecmp][sd]t))?"
    r"(?: *\([^()]*\))?",
    re.IGNORECASE | re.ASCII,
)


def parse_since(text: str) -> int | None:
    """The moment a `since` parameter names, in microseconds of the Unix epoch; None if it is to be ignored.

    Accepted is what JavaScript's Date reads and people write: ISO 8601 dates and date-times, RFC 2822 dates,
    `Nov 14, 2023 10:00 PM`, `11/14/2023`, what `Date.toString` prints. Without a zone the time is UTC. A bare
    number is no date, but four digits are a year. None also for a moment that no Date or no PostgreSQL
    timestamp can hold.
    """
    stripped = text.strip()
    match = _ISO.fullmatch(stripped) or _WRITTEN.fullmatch(stripped)
    if match is None:
        return None
    ms = _moment(match.groupdict())
    if ms is None or not MIN_POSTGRES_MS <= ms <= MAX_EPOCH_MS:
        return None
    return us_from_ms(ms)


def _moment(fields: dict[str, str | None]) -> int | None:
    def first(name: str) -> str | None:
        return next((value for key, value in fields.items() if value and key.rstrip("234") == name), None)

    year_text, month_text = first("year") or "", first("month") or "1"
    month = int(month_text) if month_text.isdecimal() else _month_number(month_text)
    day = int(first("day") or 1)
    if year_text == "-000000" or not 1 <= month <= 12 or not 1 <= day <= 31:
        return None
    clock = _clock_ms(fields)
    offset = _offset_minutes(fields["zone"])
    if clock is None or offset is None:
        return None
    # A day that its month does not have is counted on into the next month, as by a JavaScript Date.
    return _days(int(year_text), month, day) * _DAY_MS + clock - offset * 60_000


def _month_number(name: str) -> int:
    """1..12, or 0 for a word that names no month; JavaScript looks at three letters."""
    lowered = name[:3].lower()
    return _MONTHS.index(lowered) + 1 if lowered in _MONTHS else 0


def _clock_ms(fields: dict[str, str | None]) -> int | None:
    hour, minute, second = (int(fields[name] or 0) for name in ("hour", "minute", "second"))
    millis = int((fields["fraction"] or "0")[:3].ljust(3, "0"))
    half = fields.get("half")
    if half:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if half.lower() == "pm" else 0)
    total = ((hour * 60 + minute) * 60 + second) * 1000 + millis
    return total if minute < 60 and second < 60 and total <= _DAY_MS else None


def _offset_minutes(zone: str | None) -> int | None:
    """Minutes east of UTC."""
    if zone is None:
        return 0
    lowered = zone.lower()
    numeric = re.search(r"([+-])([0-9]{2}):?([0-9]{2})$", lowered)
    if numeric is None:
        return _ZONES.get(lowered, 0)
    hours, minutes = int(numeric[2]), int(numeric[3])
    if hours > 23 or minutes > 59:
        return None
    return (hours * 60 + minutes) * (-1 if numeric[1] == "-" else 1)
