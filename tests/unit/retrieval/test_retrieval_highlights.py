"""Highlights: the fragments are the text's own, and mark what was asked for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from claude_mem.retrieval.highlights import FRAGMENTS, MOST_READ, highlight
from claude_mem.retrieval.parser import parse


def marked(text: str, question: str) -> list[str]:
    fragments = highlight(text, parse(question, now_us=0))
    return [piece.text for fragment in fragments for piece in fragment if piece.match]


def test_words_are_marked_as_they_stand() -> None:
    assert marked("The Parsers rejected parsing; PARSER_MODE is set.", "parser") == ["Parsers", "PARSER"]
    assert marked("see src/auth/tokenStore.py", "token_store") == ["tokenStore"]
    assert marked("naïve Café", "cafe") == ["Café"]
    assert marked("日本の記憶喪失", "記憶") == ["記憶"]
    assert marked("migrate, migration", "migr*") == ["migrate", "migration"]
    assert marked("nothing here", "absent") == []


def test_the_fragments_with_most_terms_are_shown() -> None:
    text = "alpha " + "x " * 300 + "alpha beta " + "y " * 300 + "beta " + "z " * 300 + "beta alpha gamma"
    fragments = highlight(text, parse("alpha beta gamma", now_us=0))
    assert len(fragments) == FRAGMENTS
    assert {piece.text for piece in fragments[-1] if piece.match} == {"alpha", "beta", "gamma"}


@given(st.text(alphabet="abAB_ .é記憶x", max_size=400), st.text(alphabet='abé記憶 *"', max_size=12))
def test_fragments_are_parts_of_the_text(text: str, question: str) -> None:
    for fragment in highlight(text, parse(question, now_us=0)):
        assert "".join(piece.text for piece in fragment) in text
        assert any(piece.match for piece in fragment)


def test_a_text_that_is_all_matches_or_one_long_word_is_read_as_far_as_the_bound() -> None:
    question = parse("zebra", now_us=0)
    fragments = highlight("zebra " * 1_000_000, question)
    assert len(fragments) == FRAGMENTS
    assert highlight("a" * MOST_READ + " zebra", question) == []
