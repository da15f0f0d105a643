"""The search syntax: what words, phrases and exclusions become, and that no text is too strange."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claude_mem.retrieval.query import MAX_TERMS, Query, for_postgres, for_sqlite, parse


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", Query()),
        ("  \t ", Query()),
        ("parser retry", Query(words=("parser", "retry"))),
        ("parser OR retry AND parser", Query(words=("parser", "retry"))),
        ('"exact phrase" other', Query(words=("other",), phrases=("exact phrase",))),
        ("keep -drop", Query(words=("keep",), excluded=("drop",))),
        ('-"not this" that', Query(words=("that",), excluded=("not this",))),
        ('"never closed', Query(phrases=("never closed",))),
        ("- -- & | ! ( ) '", Query()),
        ("QUEUE_ENGINE src/a.py:12", Query(words=("QUEUE_ENGINE", "src/a.py:12"))),
        ("größe 記憶", Query(words=("größe", "記憶"))),
    ],
)
def test_a_question_is_read_as_people_type_it(text: str, expected: Query) -> None:
    assert parse(text) == expected


def test_exclusions_alone_ask_for_nothing() -> None:
    assert parse("-only -these").is_empty
    assert not parse("this").is_empty


def test_a_pasted_text_is_cut() -> None:
    assert len(parse(" ".join(f"w{n}" for n in range(1000))).words) == MAX_TERMS


def test_each_storage_gets_its_own_syntax() -> None:
    query = parse('it\'s "a b" -c\\d')
    assert for_postgres(query) == r"'a b' & ('it''s') & !'c\\d'"
    assert for_sqlite(query) == '("a b" AND ("it\'s")) NOT ("c\\d")'
    assert for_sqlite(parse("x y")) == '("x" OR "y")'


@given(st.text())
def test_any_text_can_be_rendered(text: str) -> None:
    query = parse(text)
    assert query.is_empty or (for_postgres(query) and for_sqlite(query))
