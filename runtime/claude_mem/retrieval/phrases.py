"""Whether words stand beside each other in a text, whatever their case, accents and punctuation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from claude_mem.retrieval.analyzer import is_unspaced, words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from claude_mem.retrieval.query import Phrase


def holds_all(text: str, phrases: Sequence[Phrase]) -> bool:
    """Whether a text has each of the phrases."""
    spoken = _spoken(text) if phrases else ""
    return all(_within(phrase, spoken) for phrase in phrases)


def holds_any(text: str, phrases: Sequence[Phrase]) -> bool:
    """Whether a text has one of the phrases."""
    spoken = _spoken(text) if phrases else ""
    return any(_within(phrase, spoken) for phrase in phrases)


def _spoken(text: str) -> str:
    return f" {' '.join(words(text))} "


def _within(phrase: Phrase, spoken: str) -> bool:
    joined = " ".join(phrase.words)
    # Where a script has no spaces, a word may begin and end anywhere.
    before = "" if is_unspaced(joined[0]) else " "
    after = "" if is_unspaced(joined[-1]) else " "
    return before + joined + after in spoken
