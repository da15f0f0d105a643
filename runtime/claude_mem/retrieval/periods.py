"""What a question says of time: `yesterday`, `in March 2025`, `since last Friday`, `before June`, `from March to May`.

Days are those of UTC. What a question says of time is a preference, never a filter: a memory may be about a day
without being from it. `since` and `until` of a search are the filters. How single times are written is in `dates`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from claude_mem.retrieval import spans
from claude_mem.retrieval.dates import BARE, HINT, STANDING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from claude_mem.retrieval.dates import Point
    from claude_mem.retrieval.spans import Range

#: Characters of a question in which a time is looked for: what is longer was pasted, and each word is tried in many ways.
MOST_CHARACTERS = 1000
#: Letters that patterns take for i, s and k whatever their case, and `lower` leaves as they are.
_FOLDED = str.maketrans({"\u0130": "I", "\u0131": "i", "\u017f": "s", "\u212a": "K"})

_EVER = datetime(1970, 1, 1, tzinfo=UTC)
# Two days before a date is neither that date nor all that was before.
_COUNTED = "".join(rf"(?<!{unit} )(?<!{unit}s )" for unit in ("hour", "day", "week", "month", "year"))
# Of `since the end of March` all of March is meant, as nobody says when an end begins.
_PART = r"(?:the\s+)?(?:(?:start|beginning|middle|end)\s+of\s+)?"
_OPEN = re.compile(
    rf"{_COUNTED}\b(?:(since|until|till)\s+{_PART}|(after|before)\s+(?:the\s+)?)", re.IGNORECASE
)
_CLOSED = re.compile(rf"\b(from|between)\s+{_PART}", re.IGNORECASE)
_LINKS = {
    "from": re.compile(rf"\s+(?:to|until|till|through|-|\u2013)\s+{_PART}", re.IGNORECASE),
    "between": re.compile(rf"\s+and\s+{_PART}", re.IGNORECASE),
}
_NOW = re.compile(r"now\b", re.IGNORECASE)


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
    """The first time that a text names, or None. Days that no calendar has count as none.

    Parameters:
        now_us: the moment of asking, in microseconds since the epoch.
    """
    text = text[:MOST_CHARACTERS].translate(_FOLDED)
    if not HINT.search(text):
        return None
    now = datetime.fromtimestamp(now_us / 1_000_000, UTC)
    return next(_periods(text, now), None)


def _periods(text: str, now: datetime) -> Iterator[Period]:
    for opening in _CLOSED.finditer(text):
        yield from _between(text, opening, now)
    for opening in _OPEN.finditer(text):
        word = opening[1] or opening[2]
        for point, match in _at(text, opening.end()):
            found = _read(point, match, now)
            if found is not None:
                said = f"{word} {match[0]}" if point.relative else word
                yield from _period(_opened(word.lower(), found, now), said)
    for point in STANDING:
        for match in point.pattern.finditer(text):
            yield from _period(_read(point, match, now), match[0] if point.relative else "")


def _between(text: str, opening: re.Match[str], now: datetime) -> Iterator[Period]:
    """From one time to another. `from March to May` means the last May that has begun, and the March before it."""
    for first, start in _at(text, opening.end()):
        link = _LINKS[opening[1].lower()].match(text, start.end())
        if link is None:
            continue
        ends = [(end, stop, _read(end, stop, now)) for end, stop in _at(text, link.end())]
        said = [start[0]] if first.relative else []
        for end, stop, last in ends:
            begin = last and _read(first, start, now if first.relative else min(now, last[0]))
            if last and begin:
                words = " ".join([*said, stop[0]] if end.relative else said)
                yield from _period((begin[0], last[1]), words)
        begin = _read(first, start, now) if _NOW.match(text, link.end()) else None
        if begin:
            yield from _period(_opened("since", begin, now), " ".join([*said, "now"]))


def _at(text: str, position: int) -> Iterator[tuple[Point, re.Match[str]]]:
    for point in (*STANDING, *BARE):
        match = point.pattern.match(text, position)
        if match:
            yield point, match


def _read(point: Point, match: re.Match[str], now: datetime) -> Range | None:
    try:
        return point.read(match, now)
    except (ValueError, OverflowError):
        return None


def _opened(word: str, found: Range, now: datetime) -> Range:
    """What is before or after a time; `until` includes it, as `since` does."""
    begin, end = found
    match word:
        case "before":
            return _EVER, begin
        case "until" | "till":
            return _EVER, end
    tomorrow = spans.midnight(now) + timedelta(days=1)
    return (begin if word == "since" else end), tomorrow


def _period(found: Range | None, relative: str) -> Iterator[Period]:
    if found is not None and found[0] < found[1]:
        yield Period(_us(found[0]), _us(found[1]), relative)


def _us(moment: datetime) -> int:
    return int(moment.timestamp()) * 1_000_000
