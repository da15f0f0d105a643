"""Cursors of searches: a position in a ranking, with all that the ranking depends on.

Scores depend on statistics, and those change with every write. A cursor carries the statistics of the first page, so the
pages of one search are pages of one ranking: a memory is shown once and not left out, as long as neither it nor the one
made just before it, from which a short one borrows, changes. Ranks change with every write too, so the cursor of a search
that was fused with meaning carries what meaning found and no page has shown yet.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import math
from dataclasses import dataclass
from typing import Any

import orjson

from claude_mem.model.errors import InvalidInput, Issue
from claude_mem.model.times import MAX_EPOCH_MS, now_us
from claude_mem.retrieval.fusion import MEANINGS
from claude_mem.retrieval.ranking import Position, Statistics

#: Microseconds by which a server that gave a cursor may be ahead of this one.
_CLOCKS_DIFFER_US = 3600 * 1_000_000

#: Far below the length of the shortest document, so that nothing divided by it is infinite.
_LEAST_LENGTH = 1e-6


@dataclass(frozen=True, slots=True)
class Window:
    """What a fused ranking has beside the words' own, which goes on from the position.

    Parameters:
        passed: how many of the words' ranking come before the position.
        shown: how many memories the pages so far have shown.
        brought: ids that meaning brought onto them, which the words' ranking may have behind the position.
        later: ids that meaning found and words lack, with its rank and the similarity; they come behind the words' last.
    """

    passed: int = 0
    shown: int = 0
    brought: tuple[str, ...] = ()
    later: tuple[tuple[str, int, float], ...] = ()

    def encoded(self) -> list[object]:
        """As JSON."""
        return [self.passed, self.shown, self.brought, self.later]

    @classmethod
    def read(cls, passed: object, shown: object, brought: list[object], later: list[list[object]]) -> Window:
        """What `encoded` gave; raises ValueError or TypeError for anything else."""
        if len(brought) + len(later) > MEANINGS:
            raise ValueError(len(later))
        return cls(
            _count(passed), _count(shown), tuple(map(str, brought)), tuple(_near(*one) for one in later)
        )


@dataclass(frozen=True, slots=True)
class SearchCursor:
    """Where a search goes on.

    Parameters:
        question: a digest of what was asked; the cursor is good for nothing else.
        asked_us: when the first page was asked for, in microseconds since the epoch.
        position: in the ranking by words.
        window: of a ranking that meaning had a say in; None where words alone rank.
    """

    question: str
    asked_us: int
    statistics: Statistics
    position: Position
    window: Window | None = None

    def encode(self) -> str:
        """The text that a client sends back for the next page."""
        parts = [
            self.question,
            self.asked_us,
            [self.statistics.documents, self.statistics.average_length, self.statistics.frequencies],
            list(self.position),
            *([self.window.encoded()] if self.window is not None else []),
        ]
        return base64.urlsafe_b64encode(orjson.dumps(parts)).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str, *, question: str) -> SearchCursor:
        """Read a client's cursor.

        Raises: InvalidInput when it is not one that `encode` made for this question, as far as that can be told.
        """
        try:
            padded = text + "=" * (-len(text) % 4)
            parts = orjson.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
            asked, asked_us, (documents, average, frequencies), (score, updated_us, identity), *window = parts
            cursor = cls(
                question=str(asked),
                asked_us=_time(asked_us),
                statistics=Statistics(_count(documents), _finite(average), tuple(map(_count, frequencies))),
                position=Position(_finite(score), _whole(updated_us), str(identity)),
                window=_window(*window) if window else None,
            )
        except (binascii.Error, ValueError, TypeError) as error:
            raise refusal_of_cursor() from error
        if cursor.question != question or cursor.statistics.average_length < _LEAST_LENGTH:
            raise refusal_of_cursor()
        return cursor


def digest(*parts: object) -> str:
    """A short digest of what a search asks for."""
    return hashlib.blake2b(orjson.dumps(parts, default=str), digest_size=9).hexdigest()


def _window(encoded: list[Any]) -> Window:
    return Window.read(*encoded)


def _near(identity: object, rank: object, similarity: object) -> tuple[str, int, float]:
    found = _count(rank)
    if not found:
        raise ValueError(rank)
    return str(identity), found, _finite(similarity)


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) > MAX_EPOCH_MS * 1000:
        raise ValueError(value)
    return value


def _count(value: object) -> int:
    found = _whole(value)
    if found < 0:
        raise ValueError(value)
    return found


def _time(value: object) -> int:
    """A moment that has passed: times in words are read as of then, and the calendar ends."""
    found = _count(value)
    if found > now_us() + _CLOCKS_DIFFER_US:
        raise ValueError(value)
    return found


def _finite(value: object) -> float:
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(value)
    return float(value)


def refusal_of_cursor() -> InvalidInput:
    """What a cursor that fits no page of this search is refused with."""
    message = "cursor is not one that this search gave: leave it out to start from the beginning"
    return InvalidInput(message, (Issue("invalid_format", ("cursor",), message),))
