"""Cursors lead back to where they were made, and anything else is refused before a database sees it."""

from __future__ import annotations

import base64
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claude_mem.model.errors import InvalidInput
from claude_mem.model.times import MAX_EPOCH_MS, MIN_POSTGRES_MS
from claude_mem.storage.cursors import Cursor

TIMES = st.integers(MIN_POSTGRES_MS * 1000, MAX_EPOCH_MS * 1000)
IDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


def encoded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@given(TIMES, IDS)
def test_a_cursor_is_read_as_it_was_written(at_us: int, row_id: str) -> None:
    cursor = Cursor(at_us, row_id)
    assert Cursor.decode(cursor.encode()) == cursor


@pytest.mark.parametrize("text", [None, ""])
def test_no_cursor_is_the_beginning(text: str | None) -> None:
    assert Cursor.decode(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "?",
        "ü",
        "\ud800",
        "YQ",
        encoded("1"),
        encoded("1:"),
        encoded("x:y"),
        encoded("1:a\0b"),
        encoded(f"{2**63}:a"),
        encoded(f"{-(2**62)}:a"),
        encoded(f"{MIN_POSTGRES_MS * 1000 - 1}:a"),
        encoded("9" * 5000 + ":a"),
        "gICAgA",
    ],
)
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="cursor"):
        Cursor.decode(text)


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(InvalidInput):
        Cursor.decode(text)
