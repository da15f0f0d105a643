"""Privacy tags: what is between them goes, what is not stays byte for byte, in linear time."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from claude_mem.privacy import redact_text
from claude_mem.privacy.tags import STRAY_TAG, TAG_NAMES, strip_tags


def _stripped(text: str) -> str:
    return strip_tags(text, Counter())


@pytest.mark.parametrize("name", TAG_NAMES)
@pytest.mark.parametrize("spell", [str, str.upper, str.title])
def test_every_tag_in_any_case(name: str, spell: type[str]) -> None:
    counts: Counter[str] = Counter()
    assert strip_tags(f"a <{spell(name)}>secret</{name}> b", counts) == "a  b"
    assert counts == {name: 1}


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("a<private>x</private>b<private>y</private>c", "abc"),
        ("a<private>x<private>y</private>z</private>b", "ab"),
        ("a<private>x<system-reminder>y</system-reminder>z</private>b", "ab"),
        ("a<private>x<system-reminder>y</private>z</system-reminder>b", "ab"),
        ("a<private>x", "a"),
        ("a<private>x<private>y</private>z", "a"),
        ("a<private", "a"),
        ("a</private>b", "ab"),
        ("a</private>b</private>c<private>x</private>d", "abcd"),
        ("a</private", "a"),
        ('a<private reason="x > y" n=1>s</private>b', "ab"),
        ("a<private reason='x > y'>s</private>b", "ab"),
        ("a<private\n  level = 2\n>s</private\n>b", "ab"),
        ("a<private it's secret>s</private>b", "ab"),
        ("a<private s</private>b", "ab"),
        ("a<private>s</private junk>b", "ab"),
        ("a<private>s<\\/private>b", "ab"),
        ("a<private/>b", "ab"),
        ("a<private>x<private/>y</private>b", "ab"),
        (" <private>x</private>\n", " \n"),
        ("<private>x</private>", ""),
        ("<private></private>", ""),
    ],
)
def test_spans(text: str, left: str) -> None:
    assert _stripped(text) == left


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  untrimmed \n",
        "<p>private</p>",
        "<private-key>x</private-key>",
        "<privately>x</privately>",
        "<private_field>x</private_field>",
        "< private>x",
        "List<privateType>",
        "a < private > b",
        "<system>x</system>",
        "&lt;private&gt;",
        "private: true",
    ],
)
def test_other_text_is_the_identical_object(text: str) -> None:
    assert _stripped(text) is text


@pytest.mark.parametrize(
    "text",
    [
        "<pri<private>x</private>vate>secret",
        "<<private>x</private>private>secret",
        "<pri<pri<private></private>vate></private>vate>secret</private>",
        "<pri" * 40 + "<private>x</private>" + "vate>secret" * 40,
    ],
)
def test_a_tag_that_removal_puts_together_is_a_tag(text: str) -> None:
    left = _stripped(text)
    assert "secret" not in left
    assert _stripped(left) is left


def test_counts_are_of_outermost_spans_and_stray_tags() -> None:
    counts: Counter[str] = Counter()
    strip_tags(
        "<private>a<private>b</private></private><system-reminder>c</system-reminder></private>", counts
    )
    assert counts == {"private": 1, "system-reminder": 1, STRAY_TAG: 1}


_PIECES = st.sampled_from(
    [
        *(f"<{name}>" for name in TAG_NAMES),
        *(f"</{name}>" for name in TAG_NAMES),
        "<private",
        ' a="',
        "'",
        ">",
        "/>",
        "<",
        "</",
        "priv",
        "ate",
        " ",
        "text",
        "=",
    ]
)


@given(st.lists(_PIECES, max_size=30).map("".join))
@settings(deadline=None, max_examples=500)
def test_redacting_twice_is_redacting_once(text: str) -> None:
    once, _ = redact_text(text)
    again, counts = redact_text(once)
    assert (again, counts) == (once, {})


@given(st.lists(_PIECES, max_size=20).map("".join), st.lists(_PIECES, max_size=20).map("".join))
@settings(deadline=None)
def test_what_stands_in_a_span_never_stays(before: str, after: str) -> None:
    assert "SECRET" not in _stripped(f"{before}<private>SECRET</private>{after}")
