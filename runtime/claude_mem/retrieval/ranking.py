"""BM25 over the segments of one project, with the project's own statistics.

    score(d) = sum over terms t of  w(t) * idf(t) * f(k1 + 1) / (f + k1 (1 - b + b |d| / average))
    idf(t)   = ln(1 + (N - n(t) + 0.5) / (n(t) + 0.5))

after Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009), with Lucene's idf, which
is never negative, and the usual k1 and b. f is weighted by field before it is saturated, as in their BM25F. N documents,
n(t) of them with the term, and their average length are counted over what is alive at the moment of the question. A
time that the question names is one more term, which all documents from then hold once.

Equal scores are ordered by time, newest first, and then by id.
"""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Sequence

    from claude_mem.retrieval.query import Query
    from claude_mem.retrieval.segments import Columns, Numbers, Postings

K1 = 1.2
B = 0.75

#: How the time that a question names is called in an explanation.
PERIOD = "(time)"

Scores = NDArray[np.float64]
Mask = NDArray[np.bool_]

_NONE = np.empty(0, np.int64)


@dataclass(frozen=True)
class Part:
    """A segment as it is at one moment.

    Parameters:
        key: names it.
        deleted: numbers of its documents that are no more.
    """

    key: str
    columns: Columns
    deleted: Numbers


@dataclass(frozen=True)
class Snapshot:
    """All documents of a project at one moment, numbered through its parts."""

    parts: tuple[Part, ...]

    @cached_property
    def bases(self) -> list[int]:
        """The number of each part's first document."""
        sizes = [len(part.columns.lengths) for part in self.parts]
        return [sum(sizes[:at]) for at in range(len(sizes))]

    @cached_property
    def size(self) -> int:
        """Documents in all, those that are no more included."""
        return sum(len(part.columns.lengths) for part in self.parts)

    @cached_property
    def dead(self) -> Mask | None:
        """Which documents are no more; None when all are alive."""
        if not any(len(part.deleted) for part in self.parts):
            return None
        mask = np.zeros(self.size, np.bool_)
        for base, part in zip(self.bases, self.parts, strict=True):
            mask[part.deleted.astype(np.int64) + base] = True
        return mask

    @cached_property
    def lengths(self) -> Scores:
        return np.concatenate(
            [part.columns.lengths.astype(np.int64) for part in self.parts] or [_NONE]
        ).astype(np.float64)

    @cached_property
    def created(self) -> NDArray[np.int64]:
        return np.concatenate([part.columns.created for part in self.parts] or [_NONE])

    @cached_property
    def updated(self) -> NDArray[np.int64]:
        return np.concatenate([part.columns.updated for part in self.parts] or [_NONE])

    @cached_property
    def norms(self) -> Scores:
        """What each document's length is compared with."""
        return _norms(self.lengths, self.average_length)

    @cached_property
    def documents(self) -> int:
        """How many are alive."""
        return self.size if self.dead is None else int(self.size - self.dead.sum())

    @cached_property
    def average_length(self) -> float:
        """Of those that are alive, in words; 1 where there is nothing to measure."""
        lengths = self.lengths if self.dead is None else self.lengths[~self.dead]
        return float(lengths.mean()) if len(lengths) and lengths.any() else 1.0

    def id_of(self, number: int) -> str:
        """The id of a document."""
        at = bisect.bisect_right(self.bases, number) - 1
        return bytes(self.parts[at].columns.ids[number - self.bases[at]]).decode()


@dataclass(frozen=True, slots=True)
class Statistics:
    """What scores depend on beside the documents themselves.

    Parameters:
        documents: of the project.
        average_length: in words.
        frequencies: how many documents hold each term of the question, in its order; the time it names comes last.
    """

    documents: int
    average_length: float
    frequencies: tuple[int, ...]


class Position(NamedTuple):
    """A place in a ranking: that of one result."""

    score: float
    updated_us: int
    id: str


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one term adds to a score.

    Parameters:
        frequency: how often the document has it, weighted by field.
        document_frequency: how many documents of the project have it.
        idf: what that makes it worth.
        score: what it adds.
    """

    term: str
    weight: float
    frequency: float
    document_frequency: int
    idf: float
    score: float


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
        self._impacts: NDArray[np.float32] | None = None

    def impacts(self, snapshot: Snapshot, *, average_length: float) -> NDArray[np.float32]:
        """What each document's frequency counts for; kept for the snapshot's own average length."""
        if average_length != snapshot.average_length:
            return _saturated(self.frequencies, _norms(snapshot.lengths[self.documents], average_length))
        if self._impacts is None:
            self._impacts = _saturated(self.frequencies, snapshot.norms[self.documents])
        return self._impacts

    @property
    def weight(self) -> int:
        """Bytes that it takes, with its impacts."""
        return 16 * len(self.documents)


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


@dataclass(frozen=True)
class Ranking:
    """The scores of all documents for one question.

    Parameters:
        held: for each term of the question, and then for its time, where it is.
        scores: of each document of the snapshot; 0 for those that do not match.
    """

    snapshot: Snapshot
    query: Query
    held: list[Held]
    statistics: Statistics
    scores: Scores

    def best(self, count: int, *, after: Position | None = None) -> list[int]:
        """The numbers of the best documents in order, from behind a position."""
        matching = np.flatnonzero(self.scores > 0)
        if after is not None:
            matching = self._behind(matching, after)
        if len(matching) > 4 * count:
            values = self.scores[matching]
            least = np.partition(values, len(values) - count)[len(values) - count]
            matching = matching[values >= least]
        return self._sorted(matching)[:count]

    def _behind(self, matching: NDArray[np.int64], after: Position) -> NDArray[np.int64]:
        scores, updated = self.scores[matching], self.snapshot.updated[matching]
        lower = (scores < after.score) | ((scores == after.score) & (updated < after.updated_us))
        equal = matching[(scores == after.score) & (updated == after.updated_us)]
        later = [number for number in equal.tolist() if self.snapshot.id_of(number) > after.id]
        return np.concatenate([matching[lower], np.array(later, np.int64)])

    def _sorted(self, numbers: NDArray[np.int64]) -> list[int]:
        scores, updated = self.scores[numbers], self.snapshot.updated[numbers]
        order = np.lexsort((-updated, -scores))
        if ((np.diff(scores[order]) == 0) & (np.diff(updated[order]) == 0)).any():
            ids = np.array([self.snapshot.id_of(number) for number in numbers.tolist()])
            order = np.lexsort((ids, -updated, -scores))
        found: list[int] = numbers[order].tolist()
        return found

    def position(self, number: int) -> Position:
        """Where a document stands."""
        snapshot = self.snapshot
        return Position(float(self.scores[number]), int(snapshot.updated[number]), snapshot.id_of(number))

    def explain(self, number: int) -> list[Contribution]:
        """What each term adds to the score of a document, most first; terms that it lacks are left out."""
        found = []
        for (name, weight), where, count in zip(
            _named(self.query), self.held, self.statistics.frequencies, strict=True
        ):
            at = int(np.searchsorted(where.documents, number))
            if at == len(where.documents) or where.documents[at] != number:
                continue
            idf = _idf(self.statistics.documents, count)
            impacts = where.impacts(self.snapshot, average_length=self.statistics.average_length)
            impact = 1.0 if name == PERIOD else float(impacts[at])
            frequency = float(where.frequencies[at])
            found.append(Contribution(name, weight, frequency, count, idf, impact * weight * idf))
        return sorted(found, key=lambda item: -item.score)


def rank(
    snapshot: Snapshot,
    query: Query,
    held: Sequence[Held],
    *,
    required: Sequence[Held] = (),
    excluded: Sequence[Held] = (),
    statistics: Statistics | None = None,
) -> Ranking:
    """Score all documents.

    Parameters:
        held: where each term of the question is.
        required: only documents in all of these match.
        excluded: documents in any of these do not.
        statistics: to score with in place of those of the snapshot, for a further page of the same ranking.
    """
    everywhere = [*held, *_inside(snapshot, query)]
    if statistics is None:
        counts = tuple(_alive(snapshot, where.documents) for where in everywhere)
        statistics = Statistics(snapshot.documents, snapshot.average_length, counts)
    scores = np.zeros(snapshot.size)
    for (name, weight), where, count in zip(_named(query), everywhere, statistics.frequencies, strict=True):
        worth = weight * _idf(statistics.documents, count)
        if name == PERIOD:
            scores[where.documents] += worth
        else:
            impacts = where.impacts(snapshot, average_length=statistics.average_length)
            scores[where.documents] += impacts * worth
    for where in required:
        outside = np.ones(snapshot.size, np.bool_)
        outside[where.documents] = False
        scores[outside] = 0
    for where in excluded:
        scores[where.documents] = 0
    if snapshot.dead is not None:
        scores[snapshot.dead] = 0
    return Ranking(snapshot, query, everywhere, statistics, scores)


def _inside(snapshot: Snapshot, query: Query) -> list[Held]:
    """The documents from the time that the question names."""
    if query.period is None:
        return []
    created = snapshot.created
    inside = np.flatnonzero((created >= query.period.since_us) & (created < query.period.until_us))
    return [Held(inside, np.ones(len(inside), np.float32))]


def _named(query: Query) -> list[tuple[str, float]]:
    named = [(term.text, term.weight) for term in query.terms]
    return [*named, (PERIOD, 1.0)] if query.period is not None else named


def _norms(lengths: Scores, average_length: float) -> Scores:
    return K1 * (1 - B + B / average_length * lengths)


def _saturated(frequencies: NDArray[np.float32], norms: Scores) -> NDArray[np.float32]:
    return (frequencies * (K1 + 1) / (frequencies + norms)).astype(np.float32)


def _idf(documents: int, count: int) -> float:
    return math.log(1 + (documents - count + 0.5) / (count + 0.5)) if count <= documents else 0.0


def _alive(snapshot: Snapshot, documents: NDArray[np.int64]) -> int:
    return len(documents) if snapshot.dead is None else int(len(documents) - snapshot.dead[documents].sum())
