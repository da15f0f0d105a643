"""Documents scored for a question, with the project's own statistics, and put into order.

    score(d) = sum over terms t of  w(t) * idf(t) * impact(t, d)
    idf(t)   = ln(1 + (N - n(t) + 0.5) / (n(t) + 0.5))

This is BM25, after Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009), with Lucene's
idf, which is never negative; `impacts` says what a term's occurrences count for. Frequencies are weighted by field before
they are saturated, as in their BM25F. N documents, n(t) of them with the term, and their average length are counted over
what is alive at the moment of the question. A time that the question names is one more term, which all documents from
then hold once. Only documents with a term of the question match, whatever they borrow.

Equal scores are ordered by time, newest first, and then by id.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from claude_mem.retrieval.impacts import Held

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from claude_mem.retrieval.query import Query
    from claude_mem.retrieval.snapshot import Scores, Snapshot

#: How an explanation calls the time that a question names, and what a short document borrows of the one before it.
PERIOD = "(time)"
BEFORE = "(before)"


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
        """What each term adds to the score of a document, most first; terms that it lacks are left out.

        What it borrows of the document before it is one contribution more, in which nothing is counted.
        """
        found = []
        borrowed = 0.0
        average = self.statistics.average_length
        for (name, weight), where, count in zip(
            _named(self.query), self.held, self.statistics.frequencies, strict=True
        ):
            idf = _idf(self.statistics.documents, count)
            frequency, own, impact = where.of(number, self.snapshot, average_length=average)
            if name == PERIOD:
                own = impact = frequency
            borrowed += weight * idf * (impact - own)
            if frequency:
                found.append(Contribution(name, weight, frequency, count, idf, weight * idf * own))
        if borrowed > 0:
            part = float(self.snapshot.borrows[number])
            found.append(Contribution(BEFORE, part, 0.0, 0, 0.0, borrowed))
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
    borrowed = []
    for (name, weight), where, count in zip(_named(query), everywhere, statistics.frequencies, strict=True):
        worth = weight * _idf(statistics.documents, count)
        if name == PERIOD:
            scores[where.documents] += worth
            continue
        impacts = where.impacts(snapshot, average_length=statistics.average_length)
        _add(scores, where.documents, impacts.values * worth)
        if len(impacts.borrowers):
            borrowed.append((impacts, worth))
    if borrowed:
        matching = scores > 0
        for impacts, worth in borrowed:
            _add(scores, impacts.borrowers, impacts.borrowed * worth)
        scores *= matching
    for where in required:
        outside = np.ones(snapshot.size, np.bool_)
        outside[where.documents] = False
        scores[outside] = 0
    for where in excluded:
        scores[where.documents] = 0
    if snapshot.dead is not None:
        scores[snapshot.dead] = 0
    return Ranking(snapshot, query, everywhere, statistics, scores)


def _add(scores: Scores, documents: NDArray[np.int64], values: NDArray[np.floating[Any]]) -> None:
    """Add to the scores of some documents, which costs half of `+=` where nothing has to be converted meanwhile."""
    np.add.at(scores, documents, values.astype(np.float64, copy=False))


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


def _idf(documents: int, count: int) -> float:
    return math.log(1 + (documents - count + 0.5) / (count + 0.5)) if count <= documents else 0.0


def _alive(snapshot: Snapshot, documents: NDArray[np.int64]) -> int:
    return len(documents) if snapshot.dead is None else int(len(documents) - snapshot.dead[documents].sum())
