"""Fusion by rank: what words put first stays first, and what they lack is shown without pushing them aside."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claude_mem.retrieval.fusion import FIRST, MEANINGS, SMALL, K, Placed, fuse, meant, reserved

NAMES = [f"m{number}" for number in range(150)]
SIZES = st.integers(1, 100)
WORD_LISTS = st.lists(st.sampled_from(NAMES), unique=True)
MEANING_LISTS = st.lists(st.sampled_from(NAMES), unique=True, max_size=MEANINGS)


def near(names: list[str]) -> list[tuple[str, float]]:
    return [(name, 1 - rank / 100) for rank, name in enumerate(names)]


def ids(page: list[Placed]) -> list[str]:
    return [one.id for one in page]


@given(WORD_LISTS, MEANING_LISTS, SIZES)
def test_no_memory_that_words_found_is_pushed_down(words: list[str], meanings: list[str], size: int) -> None:
    fused = fuse(words, near(meanings), size=size)
    page = ids(fused.page)
    assert page[: fused.kept] == words[: fused.kept]
    assert len(page) == len(set(page)) == min(size, len({*words[:size], *meanings}))
    assert fused.kept >= min(len(words), size - reserved(size))
    brought = page[fused.kept :] + ids(fused.later)
    assert brought == [name for name in meanings if name not in words[:size]]


@given(WORD_LISTS, MEANING_LISTS, st.integers(SMALL + 1, 100))
def test_a_large_page_finds_what_words_find_at_the_same_places(
    words: list[str], meanings: list[str], size: int
) -> None:
    assert ids(fuse(words, near(meanings), size=size).page)[: len(words)] == words[:size]


def test_small_pages_end_with_what_meaning_brings_and_never_before_the_sixth_place() -> None:
    assert [reserved(size) for size in (1, 5, 6, 9, 10, 20, 21, 100)] == [0, 0, 1, 1, 2, 4, 0, 0]
    assert all(size - reserved(size) >= FIRST for size in range(FIRST, 101))
    fused = fuse(NAMES[:40], near(["x", "m12", "m3", "y", "z"]), size=10)
    assert ids(fused.page) == [*NAMES[:8], "x", "m12"]
    assert ids(fused.later) == ["y", "z"]


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
