"""What a question asks for: terms with weights, phrases, what is excluded, and a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from claude_mem.retrieval.periods import Period

#: Characters by which a stem may be shorter than what was typed of a word, and characters that a stem has at least.
SHORTER = 5
SHORTEST = 4


@dataclass(frozen=True, slots=True)
class Term:
    """A term that is looked up in the index.

    Parameters:
        text: as the index has it.
        weight: its share in the score.
        prefix: what words begin with that may stand in for it; None where only the term itself will do.
        starts: whether the question asked for all words that begin so.
        unfinished: whether it may go on, as the last word, a commit's hash and a version may: then words that begin so
            stand in for one that no document has. Of a finished word that would be another word; it is done only where
            nothing else is found.
    """

    text: str
    weight: float = 1.0
    prefix: str | None = None
    starts: bool = False
    unfinished: bool = False

    @property
    def cut(self) -> tuple[str, ...]:
        """The prefix without its last characters, longest first: a stem may be shorter than what was typed.

        None of a number or a hash, which is another one when it is cut.
        """
        if self.prefix is None or not self.prefix.isalpha():
            return ()
        size = len(self.prefix)
        return tuple(self.prefix[:end] for end in range(size - 1, max(SHORTEST, size - SHORTER) - 1, -1))


@dataclass(frozen=True, slots=True)
class Phrase:
    """Words that stand beside each other.

    Parameters:
        words: folded, as `analyzer.words` gives them.
        terms: which a document that has the phrase holds; empty when the index cannot tell.
    """

    words: tuple[str, ...]
    terms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Query:
    """A parsed question.

    Parameters:
        terms: any of these may match.
        phrases: each of these must.
        in_words: whether a question in words is around the phrases, which may then be a title that nobody spelt so.
        excluded: none of these terms may be there.
        excluded_phrases: nor any of these.
        period: what it says about time.
    """

    terms: tuple[Term, ...] = ()
    phrases: tuple[Phrase, ...] = ()
    excluded: tuple[str, ...] = ()
    excluded_phrases: tuple[Phrase, ...] = ()
    period: Period | None = None
    in_words: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing is asked for: exclusions alone find nothing."""
        return not self.terms and not self.phrases and self.period is None

    @property
    def counted(self) -> int:
        """How many frequencies the statistics of a ranking have: one for each term, and one for the time."""
        return len(self.terms) + (self.period is not None)
