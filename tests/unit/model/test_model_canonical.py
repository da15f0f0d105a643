"""Canonical JSON is spelled exactly as Node.js spells it, by whichever of the two ways."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from claude_mem.model import canonical
from claude_mem.model.canonical import canonical_json, js_json, js_trim, sha256_hex

# Recorded from Node.js 20: a JSON text; the JSON of what it parses to, with sorted keys; and without sorting.
_VECTORS: list[dict[str, str]] = json.loads(
    Path(__file__).with_name("test_model_canonical_vectors.json").read_text("utf-8")
)

_KEYS = st.one_of(
    st.text(max_size=4),
    st.integers(-5, 2**33).map(str),
    st.sampled_from(["00", "1.5", "\ufb00", "\U0001f600", "", "4294967294", "4294967295"]),
)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_KEYS, inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize("vector", _VECTORS, ids=lambda vector: vector["text"][:40])
def test_recorded_vectors(vector: dict[str, str]) -> None:
    value = json.loads(vector["text"])
    assert canonical_json(value) == vector["canonical"]
    assert js_json(value) == vector["stringified"]


@pytest.mark.parametrize("vector", _VECTORS, ids=lambda vector: vector["text"][:40])
def test_recorded_vectors_as_orjson_parses_them(vector: dict[str, str]) -> None:
    try:
        value = orjson.loads(vector["text"])
    except orjson.JSONDecodeError:
        assert "\\ud" in vector["text"] or "e400" in vector["text"]
        return
    assert canonical_json(value) == vector["canonical"]


@given(_JSON)
@settings(deadline=None, max_examples=400)
def test_both_ways_agree(value: Any) -> None:
    assert canonical_json(value) == canonical._slow(value, sort=True)
    assert js_json(value) == canonical._slow(value, sort=False)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_reads_back_as_itself(number: float) -> None:
    assert float(canonical_json(number)) == number


def test_an_ordinary_payload_takes_the_fast_way() -> None:
    payload = {
        "tool_name": "Edit",
        "tool_input": {"file_path": "/src/app.py", "old_string": "x = 1", "new_string": "version = 1.5"},
        "lines": [12, 40, 118],
        "note": "héllo",
        "ok": True,
    }
    assert canonical._fast(payload, orjson.OPT_SORT_KEYS) is not None


@pytest.mark.parametrize(
    "value",
    [
        1.0,
        [1.0],
        [0, 1.5],
        {"a": 1e30},
        [2**60],
        {"10": 1},
        {"a": 1, "7": 2},
        {"\U0001f600": 1},
        "\ud800",
        2**70,
    ],
)
def test_what_could_differ_takes_the_slow_way(value: Any) -> None:
    assert canonical._fast(value, orjson.OPT_SORT_KEYS) is None


def test_depth_beyond_the_recursion_limit() -> None:
    depth = sys.getrecursionlimit() * 3
    value: Any = 1
    for _ in range(depth):
        value = {"a": [value]}
    assert canonical_json(value) == '{"a":[' * depth + "1" + "]}" * depth


def test_surrogates_side_by_side_are_one_character() -> None:
    assert canonical_json("\ud83d" + "\ude00" + "\ud83d") == '"\U0001f600\\ud83d"'


@pytest.mark.parametrize("value", [object(), [b"bytes"], {"a": {1, 2}}])
def test_what_is_not_json_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="Not a JSON value"):
        canonical_json(value)


def test_an_integer_too_large_for_a_double_is_null() -> None:
    assert canonical_json([10**400]) == "[null]"


def test_digest_of_parts() -> None:
    assert sha256_hex(["t", None, "é"]) == hashlib.sha256('["t",null,"é"]'.encode()).hexdigest()
    assert sha256_hex(["\ud800"]) == hashlib.sha256(b'["\\ud800"]').hexdigest()


def test_trim_is_javascripts() -> None:
    assert js_trim("\ufeff\u00a0\u3000\t x \u2028\n") == "x"
    assert js_trim("\x85x\x1c") == "\x85x\x1c"
