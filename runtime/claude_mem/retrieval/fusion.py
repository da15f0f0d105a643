"""Two rankings made one page: words come first, in their order, and meaning takes the places that they leave.

A memory that words found is never pushed down on its page for the sake of meaning, so a page never finds less than words
alone, whatever the model is worth. Meaning takes

- all places that words leave free: where they find little, it has the page to itself;
- at the end of a page of at most `SMALL`, a fifth of the places even so, but never one of the first `FIRST`. They would
  be those of the weakest of many matches, and what words lack would not be seen otherwise. On larger pages, which go
  that deep that it will be, nothing gives way.

On further pages words go on where they were, and what meaning found beside comes behind their last.

Scores are reciprocal ranks, 1 / (K + place), with the K of Cormack, Clarke and Büttcher, "Reciprocal Rank Fusion
outperforms Condorcet and individual Rank Learning Methods" (2009); they tell no more than the order. Who was ranked, and
by what, is the caller's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from claude_mem.retrieval.parser import is_flag, is_pasted

if TYPE_CHECKING:
    from collections.abc import Sequence

K = 60
FIRST = 5
SMALL = 20
_SHARE = 5

#: How many of the closest in meaning have a say.
MEANINGS = 50

_MINUS = re.compile(r'(?<!\S)-(?:"[^"]*"?|\S+)')
_MARKS = re.compile(r'"|\*(?!\S)|(?<!\S)(?:OR|AND)(?!\S)')


@dataclass(frozen=True, slots=True)
class Placed:
    """A memory in the fused ranking.

    Parameters:
        place: where it stands, from 1.
        words, meaning: its ranks, from 1; None where it has none, or has it by words further down than was looked.
        similarity: cosine of the angle to the question, -1 to 1; None without a rank by meaning.
    """

    id: str
    place: int
    words: int | None = None
    meaning: int | None = None
    similarity: float | None = None

    @property
    def score(self) -> float:
        """As the module says."""
        return 1 / (K + self.place)


@dataclass(frozen=True, slots=True)
class FirstPage:
    """What `fuse` makes of two rankings.

    Parameters:
        kept: how many of the page are the words' own: its first.
        page: their memories, and behind them those that meaning brought.
        later: what meaning brought beside, in its order; their places are not known yet.
    """

    kept: int
    page: list[Placed]
    later: list[Placed]


def reserved(size: int) -> int:
    """How many places of a page words leave to meaning even where they could fill them."""
    return max(0, min(size // _SHARE, size - FIRST)) if size <= SMALL else 0


def fuse(words: Sequence[str], meanings: Sequence[tuple[str, float]], *, size: int) -> FirstPage:
    """The first page of two rankings.

    Parameters:
        words: ids, best first: as many as the page has places, or all there are.
        meanings: ids with their similarity, best first.
        size: places of the page.
    """
    words = words[:size]
    held = set(words)
    near = {identity: (rank, similarity) for rank, (identity, similarity) in enumerate(meanings, 1)}
    lacking = [identity for identity in near if identity not in held]
    taken = lacking[: max(reserved(size), size - len(words))]
    kept = words[: size - len(taken)]
    page = [
        Placed(identity, place, place, *near.get(identity, (None, None)))
        for place, identity in enumerate(kept, 1)
    ]
    page += [
        Placed(identity, place, None, *near[identity]) for place, identity in enumerate(taken, len(kept) + 1)
    ]
    later = [Placed(identity, 0, None, *near[identity]) for identity in lacking[len(taken) :]]
    return FirstPage(len(kept), page, later)


def meant(text: str) -> str:
    """A question without its syntax, for a model: what is excluded is left out, quotes and operators are dropped."""
    if not is_pasted(text):
        text = _MINUS.sub(lambda minus: minus[0] if is_flag(minus[0]) else " ", text)
    return " ".join(_MARKS.sub(" ", text).split())
