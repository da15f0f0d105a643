"""Fusion by rank: what words put first stays first, and what they lack is shown without pushing them aside."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claude_mem.retrieval.fusion import MEANINGS, K, Placed, fuse, meant

NAMES = [f"m{number}" for number in range(150)]
SIZES = st.integers(1, 100)
WORD_LISTS = st.lists(st.sampled_from(NAMES), unique=True)
MEANING_LISTS = st.lists(st.sampled_from(NAMES), unique=True, max_size=MEANINGS)


def near(names: list[str]) -> list[tuple[str, float]]:
    return [(name, 1 - rank / 100) for rank, name in enumerate(names)]


def ids(page: list[Placed]) -> list[str]:
    return [one.id for one in page]


def reciprocal_rank(page: list[str], wanted: set[str]) -> float:
    return max((1 / place for place, name in enumerate(page, 1) if name in wanted), default=0.0)


@given(WORD_LISTS, MEANING_LISTS, SIZES)
def test_a_page_of_any_size_has_what_words_find_at_the_same_places(
    words: list[str], meanings: list[str], size: int
) -> None:
    fused = fuse(words, near(meanings), size=size)
    page = ids(fused.page)
    found = words[:size]
    assert page[: len(found)] == found
    assert len(page) == len(set(page)) == min(size, len({*found, *meanings}))
    assert page[len(found) :] + ids(fused.later) == [name for name in meanings if name not in found]


@given(WORD_LISTS, MEANING_LISTS, SIZES, st.sets(st.sampled_from(NAMES), min_size=1))
def test_no_figure_of_a_page_is_lower_than_by_words_alone(
    words: list[str], meanings: list[str], size: int, wanted: set[str]
) -> None:
    alone = words[:size]
    page = ids(fuse(words, near(meanings), size=size).page)
    for top in (5, size):
        assert wanted.intersection(alone[:top]) <= wanted.intersection(page[:top])
    assert reciprocal_rank(page, wanted) >= reciprocal_rank(alone, wanted)


@pytest.mark.parametrize("size", [1, 5, 10, 20, 100])
def test_a_page_that_words_fill_is_theirs_however_sure_meaning_is(size: int) -> None:
    fused = fuse(NAMES, [("x", 1.0), (NAMES[-1], 0.99), (NAMES[0], 0.3)], size=size)
    assert ids(fused.page) == NAMES[:size]
    assert ids(fused.later) == ["x", NAMES[-1]]


def test_meaning_has_the_places_that_words_leave() -> None:
    fused = fuse(["a", "b"], near(["x", "b", "y", "z"]), size=4)
    assert ids(fused.page) == ["a", "b", "x", "y"]
    assert ids(fused.later) == ["z"]


@given(WORD_LISTS, MEANING_LISTS, SIZES)
def test_scores_fall(words: list[str], meanings: list[str], size: int) -> None:
    scores = [one.score for one in fuse(words, near(meanings), size=size).page]
    assert scores == sorted(set(scores), reverse=True)


@given(WORD_LISTS, SIZES)
def test_without_meaning_nothing_changes(words: list[str], size: int) -> None:
    assert ids(fuse(words, [], size=size).page) == words[:size]


def test_without_words_meaning_alone_ranks() -> None:
    assert ids(fuse([], near(["b", "a"]), size=10).page) == ["b", "a"]


def test_a_score_is_what_the_formula_says() -> None:
    fused = fuse(["a", "c"], [("b", 0.95), ("a", 0.9)], size=10)
    assert fused.page == [Placed("a", 1, 1, 2, 0.9), Placed("c", 2, 2), Placed("b", 3, None, 1, 0.95)]
    assert [one.score for one in fused.page] == [pytest.approx(1 / (K + place)) for place in (1, 2, 3)]


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("how are secrets kept out of logs?", "how are secrets kept out of logs?"),
        ('"connection reset" -proxy', "connection reset"),
        ('queue -"dead letter" OR retry', "queue retry"),
        ("migrat* auth-token -xy", "migrat auth-token"),
        ("when did --force and -v come?", "when did --force and -v come?"),
        ("-only", ""),
        (f'{"a word " * 20}of "a text" -it has', f"{'a word ' * 20}of a text -it has"),
        ('-"unclosed phrase', ""),
        ("2 * 3 - 1", "2 3 - 1"),
        ("", ""),
    ],
)
def test_a_model_gets_a_question_without_its_syntax(typed: str, said: str) -> None:
    assert meant(typed) == said
