"""Segments and their ranking: whatever is built, merged and deleted, the scores are those of BM25 by its definition."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from claude_mem.retrieval.analyzer import analyse
from claude_mem.retrieval.impacts import K1, B, gather
from claude_mem.retrieval.parser import parse
from claude_mem.retrieval.ranking import BEFORE, Position, Ranking, rank
from claude_mem.retrieval.segments import (
    NO_POSTINGS,
    Block,
    Columns,
    MergePart,
    NewDocument,
    Postings,
    Segment,
    build,
    merge,
)
from claude_mem.retrieval.snapshot import FOLLOWS_US, SHARE, STANDS_ALONE, Part, Snapshot

WORDS = ("alpha", "beta", "gamma", "delta", "記憶", "retry_count")
TEXTS = st.lists(st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join), min_size=1, max_size=12)


def document(number: int, text: str) -> NewDocument:
    return NewDocument(f"id-{number}", number, number, analyse(text))


def postings(segment: Segment, term: str) -> list[Postings]:
    found = [Block(data).find(term) for _, data in segment.blocks]
    return [one for one in found if len(one.documents)]


def ranked(segments: list[Segment], deleted: list[list[int]], question: str) -> Ranking:
    parts = [
        Part(str(number), segment.columns, np.array(gone, np.uint16))
        for number, (segment, gone) in enumerate(zip(segments, deleted, strict=True))
    ]
    snapshot = Snapshot(tuple(parts))
    query = parse(question, now_us=0)
    held = [gather(snapshot, [postings(one, term.text) for one in segments]) for term in query.terms]
    return rank(snapshot, query, held)


def by_definition(texts: dict[str, str], question: str) -> dict[str, float]:
    """The formula over all documents, which follow each other, term by term."""
    analysed = {name: analyse(text) for name, text in texts.items()}
    average = sum(one.length for one in analysed.values()) / max(1, len(analysed)) or 1.0
    names = list(texts)
    before = dict(zip(names[1:], names, strict=False))
    scores: dict[str, float] = {}
    asked = parse(question, now_us=0).terms
    for term in asked:
        impacts = {}
        for name, one in analysed.items():
            frequency = one.frequencies.get(term.text, 0) / 2
            norm = K1 * (1 - B + B * one.length / average)
            impacts[name] = frequency * (K1 + 1) / (frequency + norm)
        having = sum(impact > 0 for impact in impacts.values())
        idf = math.log(1 + (len(texts) - having + 0.5) / (having + 0.5))
        for name, one in analysed.items():
            lent = SHARE * max(0, 1 - one.length / STANDS_ALONE) * impacts.get(before.get(name, ""), 0)
            scores[name] = scores.get(name, 0) + term.weight * idf * max(impacts[name], lent)
    matching = {name for name, one in analysed.items() if any(term.text in one.frequencies for term in asked)}
    return {name: score for name, score in scores.items() if name in matching}


@settings(deadline=None)
@given(first=TEXTS, second=TEXTS, chance=st.randoms(use_true_random=False))
def test_scores_are_bm25_over_what_is_alive(
    first: list[str], second: list[str], chance: random.Random
) -> None:
    texts = first + second
    segments = [
        build([document(number, text) for number, text in enumerate(first)]),
        build([document(number + len(first), text) for number, text in enumerate(second)]),
    ]
    deleted = [[n for n in range(len(part)) if chance.random() < 0.3] for part in (first, second)]
    gone = {*deleted[0], *(number + len(first) for number in deleted[1])}
    alive = {f"id-{n}": text for n, text in enumerate(texts) if n not in gone}
    question = " ".join(chance.sample(WORDS, 3))
    expected = by_definition(alive, question)
    split = ranked(segments, deleted, question)
    found = {split.snapshot.id_of(number): float(split.scores[number]) for number in split.best(99)}
    assert found == pytest.approx(expected, rel=1e-5)
    if alive:
        parts = [
            MergePart(one.columns, np.array(numbers, np.uint16), [data for _, data in one.blocks])
            for one, numbers in zip(segments, deleted, strict=True)
        ]
        whole = ranked([merge(parts)], [[]], question)
        merged = {whole.snapshot.id_of(number): float(whole.scores[number]) for number in whole.best(99)}
        assert merged == found, "to the last bit, whatever the segments"
    for number in split.best(99):
        explained = split.explain(number)
        assert sum(one.score for one in explained) == pytest.approx(float(split.scores[number]))


def test_a_short_document_borrows_of_the_one_before_it() -> None:
    turns = ["What does the grandma collect?", "Old stamps", "Stamps are nice", "grandma " + "filler " * 60]
    found = ranked(
        [build([document(number, text) for number, text in enumerate(turns)])], [[]], "grandma stamps"
    )
    answer, later = found.explain(1), found.explain(2)
    assert [one.term for one in answer] == ["stamp", BEFORE]
    assert answer[1].weight == pytest.approx(SHARE * (1 - 2 / STANDS_ALONE))
    assert [one.term for one in later] == ["stamp"], "what is borrowed is not lent on"
    assert [one.term for one in found.explain(3)] == ["grandma"], "a long one borrows nothing"
    alone = ranked(
        [build([document(number, text) for number, text in enumerate(turns)])], [[0]], "grandma stamps"
    )
    assert [one.term for one in alone.explain(1)] == ["stamp"], "of what is no more nothing is borrowed"


def test_what_lacks_every_word_is_not_found_by_what_came_before_it() -> None:
    texts = ["grandma", "yes", "no"]
    found = ranked([build([document(number, text) for number, text in enumerate(texts)])], [[]], "grandma")
    assert found.best(9) == [0]


@pytest.mark.parametrize(("made", "follows"), [(FOLLOWS_US, True), (FOLLOWS_US + 1, False), (0, False)])
def test_following_is_soon_after_and_not_at_once(made: int, *, follows: bool) -> None:
    segment = build(
        [NewDocument("b", made, made, analyse("alpha")), NewDocument("a", 0, 0, analyse("alpha beta"))]
    )
    found = Snapshot((Part("0", segment.columns, NO_POSTINGS.documents),)).followers.tolist()
    assert found == [-1, 0 if follows else -1]


def test_what_is_written_later_changes_no_impact_of_what_was_there() -> None:
    texts = ["alpha", "beta alpha", "alpha gamma"]
    documents = [document(number, text) for number, text in enumerate(texts)]
    before = ranked([build(documents)], [[]], "alpha beta")
    after = ranked([build(documents), build([document(9, "beta beta")])], [[], []], "alpha beta")
    for was, now in zip(before.held, after.held, strict=True):
        assert (
            now.impacts(after.snapshot, average_length=1.5).values[: len(was.documents)].tolist()
            == was.impacts(before.snapshot, average_length=1.5).values.tolist()
        )


def test_blocks_are_sorted_and_a_frequent_term_has_its_own() -> None:
    texts = [f"common w{number}x" + " rare" * (number == 7) for number in range(3000)]
    segment = build([document(number, text) for number, text in enumerate(texts)])
    firsts = [first for first, _ in segment.blocks]
    assert firsts[0] == ""
    assert firsts == sorted(firsts)
    assert len(firsts) > 5
    (common,) = postings(segment, "common")
    assert common.documents.tolist() == list(range(3000))
    assert [one.documents.tolist() for one in postings(segment, "rare")] == [[7]]
    assert postings(segment, "absent") == []
    block = Block(segment.blocks[0][1])
    assert [term for term, _ in block.starting_with("comm")] == ["common"]
    assert len(block.terms) == 1


def test_columns_survive_packing() -> None:
    segment = build([document(1, "a b"), NewDocument("ü", 5, 6, analyse("c"))])
    read = Columns.unpack(**segment.columns.packed())
    assert read.numbers == {"id-1": 0, "ü": 1}
    assert (read.created.tolist(), read.updated.tolist()) == ([1, 5], [1, 6])


def test_equals_are_ordered_by_time_and_then_by_id_through_pages() -> None:
    same = [NewDocument(f"id-{n:02}", 0, n // 2, analyse("alpha")) for n in range(10)]
    ranking = ranked([build(same[:4]), build(same[4:])], [[], []], "alpha")
    whole = [ranking.snapshot.id_of(number) for number in ranking.best(10)]
    assert whole == [f"id-{n:02}" for n in (8, 9, 6, 7, 4, 5, 2, 3, 0, 1)]
    paged: list[str] = []
    after: Position | None = None
    while page := ranking.best(3, after=after):
        paged += [ranking.snapshot.id_of(number) for number in page]
        after = ranking.position(page[-1])
    assert paged == whole


def test_a_time_is_a_term_that_is_worth_the_more_the_fewer_are_from_then() -> None:
    day = 86_400_000_000
    documents = [NewDocument(f"id-{n}", n * day, n * day, analyse("alpha")) for n in range(10)]
    segment = build(documents)
    snapshot = Snapshot((Part("0", segment.columns, NO_POSTINGS.documents),))
    query = parse("alpha yesterday", now_us=4 * day + 5)
    found = rank(snapshot, query, [gather(snapshot, [postings(segment, "alpha")])])
    assert snapshot.id_of(found.best(1)[0]) == "id-3"
    assert [one.term for one in found.explain(3)] == ["(time)", "alpha"]
    assert len(found.best(99)) == 10, "a preference, no filter"


def test_nothing_is_found_in_nothing() -> None:
    snapshot = Snapshot(())
    query = parse("alpha", now_us=0)
    assert rank(snapshot, query, [gather(snapshot, [])]).best(5) == []
    empty = build([document(1, "")])
    blocks = [data for _, data in empty.blocks]
    assert merge([MergePart(empty.columns, NO_POSTINGS.documents, blocks)]).blocks == empty.blocks
