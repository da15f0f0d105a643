"""What the occurrences of one term count for in each document, by itself and through the document before it.

By itself it is BM25's saturated frequency, f(k1 + 1) / (f + k1 (1 - b + b |d| / average)). A short document borrows what
the one made just before it has more: an answer seldom repeats the words of its question. What it borrows is
`SHARE * (1 - |d| / STANDS_ALONE)` of the other's impact, see `snapshot`. Documents of `STANDS_ALONE` words and more
borrow nothing, and what is borrowed is not lent on. Context of sentences is used so by Fernández, Losada and Azzopardi,
"Extending the language modeling framework for sentence retrieval to include local context" (2011).

It looks back only, so nothing that is written later changes what an earlier document counts for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, overload

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from claude_mem.retrieval.segments import Postings
    from claude_mem.retrieval.snapshot import Scores, Snapshot

    _Float = np.float32
    _Floats = NDArray[np.float32]

#: How fast further occurrences of a term cease to add.
K1 = 1.2

#: How far long documents are held back. Memories reach from a line to pages and most are short, for which 0.4 is the usual
#: choice (Trotman, Puurula and Burgess, "Improvements to BM25 and Language Models Examined", 2014, and Anserini).
B = 0.4

_NONE = np.empty(0, np.int64)


class Impacts(NamedTuple):
    """What a term counts for.

    Parameters:
        values: in each document that holds it.
        borrowers: numbers of documents that lack it and borrow it.
        borrowed: what it counts for in each of those.
    """

    values: NDArray[np.float32]
    borrowers: NDArray[np.int64]
    borrowed: NDArray[np.float32]


class Single(NamedTuple):
    """What a term counts for in one document.

    Parameters:
        frequency: how often the document has it, weighted by field.
        own: what it counts for by itself.
        impact: what it counts for.
    """

    frequency: float
    own: float
    impact: float


class Held:
    """The documents of a snapshot that hold a term.

    Attributes:
        documents: their numbers, ascending.
        frequencies: how often each holds it, weighted by field.
    """

    __slots__ = ("_impacts", "documents", "frequencies")

    def __init__(self, documents: NDArray[np.int64], frequencies: NDArray[np.float32]) -> None:
        self.documents = documents
        self.frequencies = frequencies
        self._impacts: Impacts | None = None

    def impacts(self, snapshot: Snapshot, *, average_length: float) -> Impacts:
        """What the term counts for; kept for the snapshot's own average length."""
        if average_length != snapshot.average_length:
            return self._counted(snapshot, average_length)
        if self._impacts is None:
            self._impacts = self._counted(snapshot, average_length)
        return self._impacts

    def _counted(self, snapshot: Snapshot, average_length: float) -> Impacts:
        own = saturated(self.frequencies, snapshot.lengths[self.documents], average_length=average_length)
        lends = snapshot.lends[self.documents]
        giving = np.flatnonzero(lends)
        if not len(giving):
            return Impacts(own, _NONE, np.empty(0, np.float32))
        heirs = snapshot.followers[self.documents[giving]]
        lent = own[giving] * lends[giving]
        places = np.full(snapshot.size, -1, np.int64)
        places[self.documents] = np.arange(len(self.documents))
        at = places[heirs]
        holds = at >= 0
        own[at[holds]] = np.maximum(own[at[holds]], lent[holds])
        return Impacts(own, heirs[~holds], lent[~holds])

    def of(self, number: int, snapshot: Snapshot, *, average_length: float) -> Single:
        """What the term counts for in the document of a number."""
        impacts = self.impacts(snapshot, average_length=average_length)
        at = int(np.searchsorted(self.documents, number))
        if at == len(self.documents) or self.documents[at] != number:
            return Single(0.0, 0.0, float(impacts.borrowed[impacts.borrowers == number].sum()))
        own = saturated(self.frequencies[at], snapshot.lengths[number], average_length=average_length)
        return Single(float(self.frequencies[at]), float(own), float(impacts.values[at]))

    @property
    def weight(self) -> int:
        """Bytes that it takes at most, with its impacts."""
        return 28 * len(self.documents)


def gather(snapshot: Snapshot, found: Sequence[Sequence[Postings]]) -> Held:
    """Number the documents of postings through the whole snapshot.

    Parameters:
        found: for each part of the snapshot the postings of a term, or of all words that it stands for.
    """
    documents = [_NONE]
    frequencies = [np.empty(0, np.float32)]
    several = False
    for base, postings in zip(snapshot.bases, found, strict=True):
        several |= len(postings) > 1
        for one in postings:
            documents.append(one.documents.astype(np.int64) + base)
            frequencies.append(one.frequencies.astype(np.float32) * np.float32(0.5))
    numbers, values = np.concatenate(documents), np.concatenate(frequencies)
    if several:
        sums = np.zeros(snapshot.size, np.float32)
        np.add.at(sums, numbers, values)
        numbers = np.flatnonzero(sums)
        values = sums[numbers]
    return Held(numbers, values)


@overload
def saturated(frequencies: _Float, lengths: np.float64, *, average_length: float) -> _Float: ...
@overload
def saturated(frequencies: _Floats, lengths: Scores, *, average_length: float) -> _Floats: ...
def saturated(
    frequencies: _Float | _Floats, lengths: np.float64 | Scores, *, average_length: float
) -> _Float | _Floats:
    """BM25's saturated frequencies.

    Parameters:
        lengths: of the documents that have these frequencies, in words.
    """
    norms = K1 * (1 - B + B / average_length * lengths)
    return (frequencies * (K1 + 1) / (frequencies + norms)).astype(np.float32)
