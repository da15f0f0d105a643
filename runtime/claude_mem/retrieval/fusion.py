"""Two rankings made one: words come first, in their order, and meaning has the places behind them.

A memory that words found never gives way to one that only meaning found. So a page of any size finds what words alone find,
at the same places, and beside it what meaning brings to the places that words leave free; where they find little, that is
most of the page. That holds whatever the model is worth. All rules that were tried to let meaning in before the words' last
match lower a figure somewhere, however sure meaning is; `docs/decisions.md` has what was measured.

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
        page: the words' memories, and behind them those that meaning brought.
        later: what meaning brought beside, in its order; their places are not known yet.
    """

    page: list[Placed]
    later: list[Placed]


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
    free = size - len(words)
    page = [
        Placed(identity, place, place, *near.get(identity, (None, None)))
        for place, identity in enumerate(words, 1)
    ]
    page += [
        Placed(identity, place, None, *near[identity])
        for place, identity in enumerate(lacking[:free], len(words) + 1)
    ]
    return FirstPage(page, [Placed(identity, 0, None, *near[identity]) for identity in lacking[free:]])


def meant(text: str) -> str:
    """A question without its syntax, for a model: what is excluded is left out, quotes and operators are dropped."""
    if not is_pasted(text):
        text = _MINUS.sub(lambda minus: minus[0] if is_flag(minus[0]) else " ", text)
    return " ".join(_MARKS.sub(" ", text).split())
