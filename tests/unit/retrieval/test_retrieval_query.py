"""The search syntax: what words, phrases, exclusions, prefixes and times become, and that no text is too strange."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claude_mem.retrieval.parser import MAX_TERMS, WHOLE_WEIGHT, parse
from claude_mem.retrieval.phrases import holds_all, holds_any
from claude_mem.retrieval.query import Query

#: A Wednesday.
NOW = int(datetime(2026, 3, 18, 15, 30, tzinfo=UTC).timestamp()) * 1_000_000


def read(text: str) -> Query:
    return parse(text, now_us=NOW)


def asked(text: str) -> dict[str, float]:
    return {term.text: round(term.weight, 3) for term in read(text).terms}


def test_words_are_reduced_and_stop_words_left_out() -> None:
    assert asked("What is the parser doing OR AND retries") == {"parser": 1, "retri": 1}
    assert asked("what is it") == {"what": 1, "is": 1, "it": 1}, "there is nothing else"
    assert read("- -- & | ! ( ) '").is_empty
    assert read("-only -these").is_empty


def test_parts_of_an_identifier_share_a_weight() -> None:
    assert asked("QUEUE_ENGINE") == {
        "queue": 0.707,
        "engin": 0.707,
        "queueengin": round(WHOLE_WEIGHT * 0.707, 3),
    }
    assert asked("queue QUEUE_ENGINE")["queue"] == 1, "the most that one spelling gives it"
    assert asked("記") == {"記": 1}
    assert asked("記憶") == {"記憶": 1}


def test_phrases_are_required_and_minus_excludes() -> None:
    query = read('"dead letter" queue -redis -"old one" -src/a.py -foo-bar "never closed')
    assert [phrase.words for phrase in query.phrases] == [("dead", "letter"), ("never", "closed")]
    assert {"dead", "letter", "queue", "never", "close"} == {term.text for term in query.terms}
    assert query.excluded == ("redi", "src/a.py", "foobar")
    assert [phrase.words for phrase in query.excluded_phrases] == [("old", "one")]


def test_a_flag_is_a_word_and_excludes_nothing() -> None:
    assert asked("when did we add --force, -v or -p?") == {"add": 1, "forc": 1, "v": 1, "p": 1}
    assert read("--no-verify --force").excluded == ()
    assert read("-ab").excluded == ("ab",)
    assert [phrase.words for phrase in read("-記").excluded_phrases] == [("記",)], "a word of one character"


def test_a_version_is_sought_as_a_whole_with_a_v_or_without() -> None:
    for text in ("2.45.0", "v2.45.0"):
        found = asked(f"what came with {text}?")
        assert (found["2.45.0"], found["v2.45.0"]) == (1, 1)
        assert found["45"] < WHOLE_WEIGHT, "a number says next to nothing"
    whole = {term.text: term for term in read("2.45 then").terms}["2.45"]
    assert (whole.prefix, whole.unfinished) == ("2.45", True), "all that begin so, if there is none"
    assert asked("2025-03-14")["20250314"] == 1
    assert asked("v2.45.0-rc.1")["2.45.0rc.1"] == 1
    assert asked("v2.45.0-rc.1")["0rc"] < WHOLE_WEIGHT


def test_a_hash_may_be_the_beginning_of_one() -> None:
    def unfinished(text: str) -> list[str]:
        return [term.text for term in read(text).terms if term.unfinished]

    assert unfinished("what did 1a2b3c4 change?") == ["1a2b3c4"]
    assert unfinished("1234567 defaced a1b2c3 change?") == [], "a number, a word, too short"


def test_a_capital_makes_a_name_of_a_stop_word() -> None:
    assert asked("which commit moved us to Go?") == {"commit": 1, "move": 1, "go": 1}
    assert asked("did we meet with Will in May?") == {"meet": 1, "will": 1, "may": 1}
    assert asked("Will we meet? Will it go?") == {"meet": 1}, "a sentence begins so"
    assert asked("HOW CAN I MEET") == {"meet": 1}, "where all is in capitals it tells nothing"


def test_prefixes() -> None:
    migrated, last = read("migr* tok").terms
    assert (migrated.prefix, migrated.starts) == ("migr", True)
    assert (last.prefix, last.starts, last.unfinished) == ("tok", False, True)
    assert not any(term.unfinished for term in read("what of tokens?").terms), "punctuation ends a word"
    assert read("ab").terms[0].prefix is None, "too short to mean anything"


def test_of_a_pasted_text_what_it_repeats_is_sought() -> None:
    assert len(read(" ".join(f"w{n}x" for n in range(1000))).terms) == MAX_TERMS
    once = " ".join(f"w{n}x" for n in range(100))
    text = asked(f"{once} parser queue parser lease queue parser")
    assert (text["parser"], text["queue"], text["w0x"]) == (2.099, 1.693, 1)
    assert len(text) == MAX_TERMS
    assert asked("the parser, the parser, the queue") == {"parser": 1, "queue": 1}, "a question is no text"


def test_a_pasted_text_requires_and_excludes_nothing() -> None:
    said = 'It says "connection reset" here:\n- first\n-second -p "and never'
    query = read(f"{said} {'more and more ' * 12}")
    assert (query.phrases, query.excluded, query.excluded_phrases) == ((), (), ())
    assert {"connect", "reset", "first", "second", "p"} <= {term.text for term in query.terms}
    assert read(said).phrases
    assert read(said).excluded == ("second",)


def test_a_time_alone_lists_and_its_words_are_not_sought() -> None:
    assert asked("what happened yesterday") == {"happen": 1}
    assert asked("yesterday") == {}
    assert not read("yesterday").is_empty
    assert asked("in March 2025") == {"march": 1, "2025": 1}, "a text may name it"


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    query = read(text)
    assert len(query.terms) <= MAX_TERMS
    holds_any(text, query.excluded_phrases)
    assert holds_all(text, ()) is True


@pytest.mark.parametrize(
    ("text", "phrase", "expected"),
    [
        ("The Blue-Green deploy", '"blue green"', True),
        ("green and blue", '"blue green"', False),
        ("bluegreen", '"blue"', False),
        ("日本の記憶喪失", '"記憶"', True),
        ("Café  au\nlait", '"cafe AU lait"', True),
    ],
)
def test_phrases_are_compared_by_words(text: str, phrase: str, *, expected: bool) -> None:
    assert holds_all(text, read(phrase).phrases) is expected
    assert holds_any(text, read("x -" + phrase).excluded_phrases) is expected
