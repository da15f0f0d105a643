"""Spellings: one word in several is one term, and different words stay apart."""

from __future__ import annotations

import pytest

from claude_mem.retrieval import clippings
from claude_mem.retrieval.analyzer import analyse, stem
from claude_mem.retrieval.parser import parse
from claude_mem.retrieval.spellings import usual


@pytest.mark.parametrize(
    "words",
    [
        "colour color colours coloured coloring",
        "behaviour behavioral behaviours",
        "neighbourhood neighborhoods",
        "serialise serialize serialization serialisation serialiser serializers",
        "analyse analyze analysis analyses analysing analyser analyzed",
        "catalogue catalog catalogued catalogs",
        "centre centers centred",
        "licence license licences",
    ],
)
def test_spellings_of_one_word_are_one_term(words: str) -> None:
    assert len({stem(word) for word in words.split()}) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("four", "for"),
        ("hour", "hor"),
        ("auth", "authentication"),
        ("disabled", "dizabled"),
        ("development", "device"),
    ],
)
def test_other_words_stay_apart(one: str, other: str) -> None:
    assert stem(one) != stem(other)


@pytest.mark.parametrize("pair", ["precise precision", "revise revision", "concise concision"])
def test_what_is_no_british_ending_keeps_its_relatives(pair: str) -> None:
    assert len({stem(word) for word in pair.split()}) == 1


def test_a_spelling_is_settled_at_once() -> None:
    for word in ("analysis", "organisational", "colourful", "programmes", "größe", "x" * 80):
        assert usual(usual(word)) == usual(word)


@pytest.mark.parametrize(
    ("asked", "other"),
    [
        ("config", "configuration"),
        ("configured", "cfg"),
        ("db", "database"),
        ("postgresql", "pg"),
        ("k8s", "kubernetes"),
    ],
)
def test_clippings_stand_for_each_other_and_count_less(asked: str, other: str) -> None:
    weights = {one.text: one.weight for one in parse(f"the {asked} broke", now_us=0).terms}
    assert weights[stem(asked)] == 1
    assert weights[stem(other)] == clippings.WEIGHT
    assert analyse(f"{asked} {other}").frequencies.keys() == {stem(asked), stem(other)}


def test_what_was_asked_for_keeps_its_weight_beside_its_clipping() -> None:
    weights = {one.text: one.weight for one in parse("auth authentication", now_us=0).terms}
    assert weights == {"auth": 1, "authent": 1, "authn": clippings.WEIGHT}


@pytest.mark.parametrize(("question", "text"), [("GitHub", "github"), ("JavaScript", "javascript")])
def test_a_name_with_humps_is_found_without_them(question: str, text: str) -> None:
    (term,) = analyse(text).frequencies
    weights = {one.text: one.weight for one in parse(question, now_us=0).terms}
    assert weights[term] == 1
