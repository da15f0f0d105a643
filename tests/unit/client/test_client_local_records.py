"""Rows of a local claude-mem's database become records: nothing that they say is lost, whatever their age."""

from __future__ import annotations

import json
from typing import Any

import pytest

from claude_mem.client import local_records

ROW: dict[str, Any] = {
    "id": 1,
    "memory_session_id": "m",
    "project": "api",
    "type": "bugfix",
    "created_at_epoch": 0,
}


def observation(**columns: Any) -> dict[str, Any]:
    return local_records.observation(ROW | columns, None)


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (1_760_000_000_123, 1_760_000_000_123_000),
        (1_760_000_000, 1_760_000_000_000_000),
        ("1760000000", 1_760_000_000_000_000),
        (0, 0),
        (None, 0),
    ],
)
def test_times_are_milliseconds_or_seconds(stored: Any, expected: int) -> None:
    record = observation(created_at_epoch=stored)
    assert (record["createdAtUs"], record["updatedAtUs"]) == (expected, expected)


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (None, {}),
        ("", {}),
        (json.dumps({"ticket": 7, "deep": {"er": [1]}}), {"ticket": 7, "deep": {"er": [1]}}),
        ("[1, 2]", {"metadata": [1, 2]}),
        ("just a note", {"metadata": "just a note"}),
        ('{"ratio": NaN}', {"ratio": "NaN"}),
        ('{"cut', {"metadata": '{"cut'}),
    ],
)
def test_own_metadata_is_kept(stored: str | None, expected: dict[str, Any]) -> None:
    assert observation(metadata=stored)["metadata"] == expected | {"provider": "claude-mem-local"}


def test_columns_come_before_own_metadata() -> None:
    found = observation(
        title="Right", facts='["one"]', metadata='{"title": "Wrong", "facts": [], "by": "hand"}'
    )
    assert found["metadata"] == {
        "title": "Right",
        "facts": ["one"],
        "by": "hand",
        "provider": "claude-mem-local",
    }


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"text": "Old words"}, "Old words"),
        ({"title": "A title", "text": "Old words"}, "A title\n\nOld words"),
        ({"title": "A title", "narrative": "A story", "text": "Old words"}, "A title\n\nA story"),
        (
            {"title": "A title", "subtitle": "Below", "facts": '["one", "two"]'},
            "A title\n\nBelow\n\n- one\n- two",
        ),
        ({}, ""),
    ],
)
def test_the_content_is_all_that_a_row_says(columns: dict[str, Any], expected: str) -> None:
    assert observation(**columns)["content"] == expected


def test_a_row_gives_the_same_record_again() -> None:
    assert observation(title="x") == observation(title="x")
    assert (
        observation(title="x")["id"] != local_records.observation(ROW | {"id": 2, "title": "x"}, None)["id"]
    )
