"""Fusion by rank: what words put first stays first, and what they lack is shown without pushing them aside."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claude_mem.retrieval.fusion import BEHIND, FIRST, MEANING, MEANINGS, WORDS, K, Placed, fuse, meant

NAMES = [f"m{number}" for number in range(150)]
WORD_LISTS = st.lists(st.sampled_from(NAMES), unique=True, max_size=WORDS)
MEANING_LISTS = st.lists(st.sampled_from(NAMES), unique=True, max_size=MEANINGS)


def near(names: list[str]) -> list[tuple[str, float]]:
    return [(name, 1 - rank / 100) for rank, name in enumerate(names)]


@given(WORD_LISTS, MEANING_LISTS)
def test_words_lead_whatever_meaning_says(words: list[str], meanings: list[str]) -> None:
    fused = [one.id for one in fuse(words, near(meanings))]
    assert set(fused) == {*words, *meanings}
    assert len(fused) == len(set(fused))
    assert fused[: len(words[:FIRST])] == words[:FIRST]
    lacking = [name for name in fused if name not in words]
    assert lacking == [name for name in meanings if name not in words]


def test_what_words_lack_is_on_the_first_page_and_in_its_order() -> None:
    words = NAMES[:40]
    fused = [one.id for one in fuse(words, near(["x", "y"]))]
    assert fused[:FIRST] == words[:FIRST]
    assert [fused.index("x"), fused.index("y")] == [FIRST, FIRST + 2]


@given(WORD_LISTS, MEANING_LISTS)
def test_scores_fall_and_stay_above_those_behind_the_window(words: list[str], meanings: list[str]) -> None:
    fused = fuse(words, near(meanings))
    scores = [one.score for one in fused]
    assert scores == sorted(scores, reverse=True)
    behind = Placed("next", WORDS + 1).score
    assert all(score > behind for score in scores)


@given(WORD_LISTS)
def test_without_meaning_nothing_changes(words: list[str]) -> None:
    assert [one.id for one in fuse(words, [])] == words


def test_without_words_meaning_alone_ranks() -> None:
    assert [one.id for one in fuse([], near(["b", "a"]))] == ["b", "a"]


def test_a_score_is_what_the_formula_says() -> None:
    first, brought, second = Placed("a", 1, 2, 0.9), Placed("b", None, 1, 0.95), Placed("c", 2)
    assert first.score == pytest.approx(1 / (K + 1) + MEANING / (K + 2))
    assert brought.score == pytest.approx(1 / (K + BEHIND + 1) + MEANING / (K + 1))
    assert second.score == pytest.approx(1 / (K + 2))
    assert fuse(["a", "c"], [("b", 0.95), ("a", 0.9)]) == [first, second, brought]


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("how are secrets kept out of logs?", "how are secrets kept out of logs?"),
        ('"connection reset" -proxy', "connection reset"),
        ('queue -"dead letter" OR retry', "queue retry"),
        ("migrat* auth-token -x", "migrat auth-token"),
        ("-only", ""),
        ('-"unclosed phrase', ""),
        ("2 * 3 - 1", "2 3 - 1"),
        ("", ""),
    ],
)
def test_a_model_gets_a_question_without_its_syntax(typed: str, said: str) -> None:
    assert meant(typed) == said
