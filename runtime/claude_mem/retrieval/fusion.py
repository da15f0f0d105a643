"""Two rankings made one by rank: by words, and by meaning.

    score(d) = 1 / (K + place(d)) + MEANING / (K + m(d))
    place(d) = min(w(d), BEHIND + m(d))

w and m are ranks by words and by meaning, from 1; a rank that a memory does not have adds nothing. It is reciprocal rank
fusion, with its K, after Cormack, Clarke and Büttcher, "Reciprocal Rank Fusion outperforms Condorcet and individual
Rank Learning Methods" (2009), with two changes, so that a weak model cannot spoil what words found:

- MEANING is so small that the first five by words stay as they are, whatever meaning says: even a whole
  1 / (K + 1) of it is less than what parts the fifth from the sixth. Further down neighbours change places.
- A memory that words lack, or have far down, counts as if words had it behind the sixth: it is seen on the first
  page, and never among the first five.

Pure arithmetic: who was ranked, and by what, is the caller's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

K = 60
FIRST = 5
BEHIND = FIRST + 1
MEANING = K / ((K + FIRST) * (K + FIRST + 1))

#: How many are fused: the best by words, and the best by meaning. Whoever comes behind the first by words alone scores
#: less than the last by meaning, as WORDS > BEHIND + MEANINGS.
WORDS = 64
MEANINGS = 50

_MINUS = re.compile(r'(?<!\S)-(?:"[^"]*"?|\S+)')
_MARKS = re.compile(r'"|\*(?!\S)|(?<!\S)(?:OR|AND)(?!\S)')


@dataclass(frozen=True, slots=True)
class Placed:
    """A memory in the fused ranking.

    Parameters:
        words, meaning: its ranks, from 1; None where it has none.
        similarity: cosine of the angle to the question, -1 to 1; None without a rank by meaning.
    """

    id: str
    words: int | None
    meaning: int | None = None
    similarity: float | None = None

    @property
    def score(self) -> float:
        """As the module says."""
        if self.meaning is None:
            return 0.0 if self.words is None else 1 / (K + self.words)
        behind = BEHIND + self.meaning
        place = behind if self.words is None else min(self.words, behind)
        return 1 / (K + place) + MEANING / (K + self.meaning)


def fuse(words: Sequence[str], meanings: Sequence[tuple[str, float]]) -> list[Placed]:
    """One ranking of two; of equal scores the one that words have higher comes first.

    Parameters:
        words: ids, best first.
        meanings: ids with their similarity, best first.
    """
    by_words = {identity: rank for rank, identity in enumerate(words, 1)}
    placed = {identity: Placed(identity, rank) for identity, rank in by_words.items()}
    for rank, (identity, similarity) in enumerate(meanings, 1):
        placed[identity] = Placed(identity, by_words.get(identity), rank, similarity)
    last = len(words) + 1
    return sorted(placed.values(), key=lambda one: (-one.score, one.words or last, one.meaning or 0))


def meant(text: str) -> str:
    """A question without its syntax, for a model: what is excluded is left out, quotes and operators are dropped."""
    return " ".join(_MARKS.sub(" ", _MINUS.sub(" ", text)).split())
