"""Long texts are cut where they pause, and nothing of them is lost before the bound."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from claude_mem.retrieval.passages import PASSAGES, passages


def test_a_short_text_is_one_passage() -> None:
    assert passages("a text", size=100) == ["a text"]
    assert passages("...", size=100) == ["..."]


def test_a_passage_ends_where_the_text_pauses() -> None:
    paragraph = "One sentence. Another one here.\n\nA third paragraph that goes on for a while, and on"
    assert passages(paragraph, size=40)[0] == "One sentence. Another one here."
    assert passages("word " * 30, size=52)[0] == "word " * 9 + "word"
    assert passages("x" * 100, size=40) == ["x" * 40, "x" * 40, "x" * 20]


def test_there_are_no_more_than_are_read() -> None:
    assert len(passages("word " * 1000, size=100)) == PASSAGES


@given(st.text(alphabet="ab .\n", max_size=400), st.integers(10, 100))
def test_nothing_is_lost_and_no_passage_is_too_long(text: str, size: int) -> None:
    cut = passages(text, size=size)
    assert all(0 < len(piece) <= size for piece in cut) or not text
    if len(cut) < PASSAGES and any(letter in "ab" for letter in text):
        assert "".join("".join(cut).split()).count("a") == text.count("a")
