"""Redaction of whole JSON values: keys, depth, identity, a hint that never misses, the work it takes."""

from __future__ import annotations

import copy
import sys
import time
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from claude_mem.model.canonical import canonical_json
from claude_mem.privacy import Redacted, may_contain_private, redact, redact_text
from claude_mem.privacy.formats import FORMATS
from claude_mem.privacy.tags import TAG_NAMES

_GITHUB = "ghp_" + "a1B2" * 9
_OTHER = "ghp_" + "c3D4" * 9


def test_every_string_and_key_is_redacted() -> None:
    value = {
        "prompt": "use <private>the blue door</private> now",
        "list": ["ok", f"t={_GITHUB}", {"deep": [f"{_GITHUB} {_OTHER}"]}],
        f"header {_GITHUB}": 1,
        "number": 1.5,
        "none": None,
        "flag": True,
    }
    before = copy.deepcopy(value)
    result = redact(value)
    assert result.value == {
        "prompt": "use  now",
        "list": ["ok", "t=[REDACTED:github]", {"deep": ["[REDACTED:github] [REDACTED:github]"]}],
        "header [REDACTED:github]": 1,
        "number": 1.5,
        "none": None,
        "flag": True,
    }
    assert list(result.value) == ["prompt", "list", "header [REDACTED:github]", "number", "none", "flag"]
    assert result.counts == {"private": 1, "github": 4}
    assert (result.private_spans, result.secrets, result.total) == (1, 4, 5)
    assert value == before


def test_a_stray_tag_counts_as_a_span() -> None:
    assert redact("a</private>") == Redacted(value="a", counts={"stray-tag": 1})
    assert redact("a</private>").private_spans == 1


@pytest.mark.parametrize(
    "value", ["text", 1, 1.5, None, True, [], {}, ["a", {"b": ["c"]}], {"k": "private", "n": [1]}]
)
def test_a_harmless_value_is_the_identical_object(value: Any) -> None:
    result = redact(value)
    assert result.value is value
    assert (result.total, result.counts) == (0, {})


def test_spans_do_not_reach_from_one_string_into_another() -> None:
    assert redact(["<private>a", "b", "c</private>"]).value == ["", "b", "c"]


def test_keys_that_become_the_same_keep_their_values() -> None:
    value = {
        "[REDACTED:github]": 0,
        _GITHUB: 1,
        _OTHER: 2,
        "[REDACTED:github]#2": 3,
        "<private>x</private>": 4,
        "": 5,
    }
    result = redact(value)
    assert sorted(result.value.values()) == [0, 1, 2, 3, 4, 5]
    assert result.value["[REDACTED:github]"] == 0
    assert result.value[""] == 5
    assert not any("ghp_" in key for key in result.value)


def test_a_hint_that_is_harmless_ends_it() -> None:
    value = {"token": _GITHUB}
    assert redact(value, text_hint="{}").value is value
    assert redact(value, text_hint=orjson.dumps(value).decode()).total == 1


def test_depth_beyond_the_recursion_limit() -> None:
    value: Any = _GITHUB
    depth = sys.getrecursionlimit() * 2
    for _ in range(depth):
        value = [{"a": value}]
    result = redact(value)
    for _ in range(depth):
        result = Redacted(value=result.value[0]["a"])
    assert result.value == "[REDACTED:github]"


_FRAGMENTS = st.one_of(
    st.sampled_from(
        [
            _GITHUB,
            "sk-" + "ant-" + "x1" * 20,
            "sk-" + "a1" * 16,
            "AKI" + "AIOSFODNN7EXAMPLE",
            "AIz" + "a" + "b" * 35,
            "eyJhbGciOiJub25lIn0.eyJhIjoxfQ.x",
            "postgres://u:pw@h/d",
            "://",
            ":p\u00e4ss@",
            "-----BEGIN PRIVATE " + "KEY-----",
            "A" * 64,
            "-----END PRIVATE " + "KEY-----",
        ]
    ),
    st.sampled_from([f"<{name}>" for name in TAG_NAMES]),
    st.sampled_from(
        [
            "</private>",
            "<private",
            "</PRIVATE\u2003>",
            "<private\t",
            "<private\x0b>",
            "<private\x85>",
            "<\\/private>",
        ]
    ),
    st.sampled_from([prefix for form in FORMATS for prefix in form.prefixes]),
    st.sampled_from(
        [
            "\n",
            "\\",
            '"',
            "\x00",
            "\x1f",
            "\x7f",
            "\\n",
            "\x1b[31m",
            "%3D",
            "\\u003d",
            "_",
            "-",
            ".",
            " ",
            "é",
            "😀",
        ]
    ),
    st.text(max_size=3),
)
_TEXTS = st.lists(_FRAGMENTS, max_size=8).map("".join)


_VALUES = st.recursive(
    _TEXTS | st.none() | st.integers(-5, 5) | st.floats(-1, 1),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=5,
)


@given(_VALUES)
@settings(deadline=None, max_examples=1500)
def test_the_hint_never_misses(value: Any) -> None:
    result = redact(value)
    texts = (orjson.dumps(value).decode(), canonical_json(value))
    if result.total:
        assert all(may_contain_private(text) for text in texts)
    else:
        assert result.value is value


@given(_VALUES)
@settings(deadline=None, max_examples=800)
def test_redacting_twice_is_redacting_once(value: Any) -> None:
    once = redact(value).value
    assert redact(once).counts == {}


@given(st.lists(_FRAGMENTS, max_size=10).map("".join))
@settings(deadline=None, max_examples=500)
def test_counts_tell_of_every_change(text: str) -> None:
    left, counts = redact_text(text)
    assert bool(counts) == (left is not text)


def _cpu_seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def _takes_eight_times_as_long(small: str, large: str) -> bool:
    """Whether time grows with length: eight times, where a quadratic scan takes sixty-four times as long.

    Whatever else the machine does makes a scan slower, and none faster; so one of several has to be fast enough.
    """
    base = max(min(_cpu_seconds(lambda: redact_text(small)) for _ in range(3)), 0.0005)
    return any(_cpu_seconds(lambda: redact_text(large)) < base * 24 for _ in range(5))


_PATHOLOGICAL = {
    "tags": "<private>",
    "closing tags": "</private>",
    "names of tags": "<private ",
    "half tags": "<private a",
    "open attributes": '<private a="',
    "mixed attributes": "<private a='<private a=\"",
    "equals": "<private ====",
    "quoted tags": '<private a="<private " a="',
    "nested halves": "<pri",
    "angles": "<<<<",
    "headers of keys": "-----BEGIN PRIVATE " + "KEY-----",
    "headers and bodies": "-----BEGIN PRIVATE " + "KEY-----" + "A" * 40,
    "ends of keys": "-----END PRIVATE " + "KEY-----",
    "dashes": "-----",
    "jwt starts": "eyJ",
    "jwt starts in a run": "-eyJabcdefgh",
    "jwt parts": "eyJabcdefgh.",
    "urls": "a://b:",
    "url ends": "://a:b@",
    "colons": "://:",
    "placeholders": "://a:${{",
    "prefixes": "sk-",
    "words": "task-",
    "provider prefixes": "sk-" + "ant-sk-" + "proj-",
    "admin prefixes": "sk-" + "admin-",
    "sendgrid": "SG.",
    "secrets": _GITHUB + " ",
    "plain": "word ",
    "backslashes": "\\",
    "quotes": '"',
}


@pytest.mark.parametrize("unit", _PATHOLOGICAL.values(), ids=_PATHOLOGICAL.keys())
def test_time_grows_with_length_only(unit: str) -> None:
    small = unit * (40_000 // len(unit))
    assert _takes_eight_times_as_long(small, small * 8)


@pytest.mark.parametrize(
    "head", ["<private>", "eyJ", "://a:", "://", "-----BEGIN PRIVATE " + "KEY-----", "sk-", "<private a='"]
)
@pytest.mark.parametrize("unit", ["a", "A=", "-", "a.", "@", " b"])
def test_five_megabytes_of_one_thing(head: str, unit: str) -> None:
    text = head + unit * (5_000_000 // len(unit))
    assert _takes_eight_times_as_long(text[: len(text) // 8], text)
