"""Which parts of a text show why it was found."""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from claude_mem.retrieval.analyzer import chunks, fold, parse_chunk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from claude_mem.retrieval.query import Query

#: Fragments of an answer at most, and characters of each, about.
FRAGMENTS = 3
WIDTH = 160

#: Characters of a text that are looked at, from its beginning, and matches that are weighed: a text made for it would
#: otherwise keep a server busy for minutes.
MOST_READ = 32_768
MOST_MARKS = 1000

_PLACE = re.compile(r"[^\s]+")
_PIECE = re.compile(r"[^\W_]+")


class Piece(NamedTuple):
    """A part of a fragment, and whether it is a match."""

    text: str
    match: bool


class _Mark(NamedTuple):
    start: int
    end: int
    term: str


def highlight(text: str, query: Query) -> list[list[Piece]]:
    """The fragments of a text with the most of a question's terms, in the order of the text.

    Only the first `MOST_READ` characters are looked at.

    Returns: fragments as pieces, whose texts together are the fragment; none when nothing in the text matches.
    """
    text = text[:MOST_READ]
    marks = list(islice(_marks(text, query), MOST_MARKS))
    windows: list[tuple[int, int]] = []
    for start, end in _windows(text, marks):
        if len(windows) < FRAGMENTS and all(end <= low or high <= start for low, high in windows):
            windows.append((start, end))
    return [list(_pieces(text, start, end, marks=marks)) for start, end in sorted(windows)]


def _marks(text: str, query: Query) -> Iterator[_Mark]:
    wanted = {term.text for term in query.terms} | {term for phrase in query.phrases for term in phrase.terms}
    prefixes = tuple(term.prefix for term in query.terms if term.starts and term.prefix)
    for place in _PLACE.finditer(text):
        if not any(_hits(chunk, wanted, prefixes) for chunk in chunks(place[0])):
            continue
        for piece in _PIECE.finditer(place[0]):
            yield from _marks_in(piece[0], place.start() + piece.start(), wanted=wanted, prefixes=prefixes)


def _hits(chunk: str, wanted: set[str], prefixes: tuple[str, ...]) -> bool:
    parsed = parse_chunk(chunk)
    terms = {word.term for word in parsed.atoms} | set(parsed.wholes) | set(parsed.characters)
    if not terms.isdisjoint(wanted):
        return True
    return bool(prefixes) and any(word.surface.startswith(prefixes) for word in parsed.atoms)


def _marks_in(piece: str, at: int, *, wanted: set[str], prefixes: tuple[str, ...]) -> Iterator[_Mark]:
    for chunk in chunks(piece):
        parsed = parse_chunk(chunk)
        if parsed.characters:
            # A script without spaces: the pairs themselves are marked, not the whole run.
            for size in (2, 1):
                for start in range(len(piece) - size + 1):
                    if piece[start : start + size] in wanted:
                        yield _Mark(at + start, at + start + size, piece[start : start + size])
            continue
        terms = [word.term for word in parsed.atoms if word.term in wanted]
        terms += [whole for whole in parsed.wholes if whole in wanted]
        if not terms and prefixes and fold(piece).startswith(prefixes):
            terms = [fold(piece)]
        if terms:
            yield _Mark(at, at + len(piece), terms[0])


def _windows(text: str, marks: list[_Mark]) -> list[tuple[int, int]]:
    """Where a fragment might be, those with most different terms first."""
    found = []
    for number, mark in enumerate(marks):
        start = max(0, mark.start - WIDTH // 4)
        end = min(len(text), start + WIDTH)
        inside = [other for other in marks[number : number + WIDTH] if other.end <= end]
        found.append((-len({other.term for other in inside}), -len(inside), start, max(end, mark.end)))
    return [(_word_start(text, start), _word_end(text, end)) for *_, start, end in sorted(found)]


def _word_start(text: str, at: int) -> int:
    space = text.rfind(" ", max(0, at - 20), at)
    return at if at == 0 or space < 0 else space + 1


def _word_end(text: str, at: int) -> int:
    space = text.find(" ", at, at + 20)
    return at if at == len(text) or space < 0 else space


def _pieces(text: str, start: int, end: int, *, marks: list[_Mark]) -> Iterator[Piece]:
    at = start
    for mark in marks:
        if mark.start < start or mark.end > end or mark.end <= at:
            continue
        begin = max(mark.start, at)
        if begin > at:
            yield Piece(text[at:begin], match=False)
        yield Piece(text[begin : mark.end], match=True)
        at = mark.end
    if at < end:
        yield Piece(text[at:end], match=False)
