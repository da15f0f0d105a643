"""Which language a question is in, and how its words begin there."""

from __future__ import annotations

import pytest

from claude_mem.retrieval import languages
from claude_mem.retrieval.analyzer import words
from claude_mem.retrieval.parser import parse
from claude_mem.retrieval.query import Term
from tests.support.ferry import QUESTIONS


def asked(text: str) -> dict[str, Term]:
    return {term.text: term for term in parse(text, now_us=0).terms}


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Wie werden die Migrationen ausgef\u00fchrt?", "german"),
        ("warum bricht der Build ab", "german"),
        ("Pourquoi les requ\u00eates \u00e9chouent-elles ?", "french"),
        ("\u00bfC\u00f3mo se cierran las conexiones?", "spanish"),
        ("Como as migra\u00e7\u00f5es s\u00e3o executadas?", "portuguese"),
        ("perch\u00e9 falliscono i test della coda", "italian"),
        ("hoe worden de migraties uitgevoerd", "dutch"),
        ("varf\u00f6r misslyckas testerna", "swedish"),
    ],
)
def test_a_question_tells_its_language(text: str, language: str) -> None:
    assert languages.language_of(words(text)) == language


@pytest.mark.parametrize(
    "text",
    [
        "",
        "die hard",
        "du -sh /var on the host",
        "the MIT license of red hat",
        "var x in the DOM of example.com",
        "de facto Los Angeles in EST",
        "el of the list des DES key",
        "Migrationen Datenbank",
    ],
)
def test_what_may_be_english_is(text: str) -> None:
    assert languages.language_of(words(text)) is None


@pytest.mark.parametrize("question", [question for question, _ in QUESTIONS])
def test_english_questions_are_english(question: str) -> None:
    assert languages.language_of(words(question)) is None


def test_a_word_stands_for_its_forms_and_what_holds_a_question_together_for_nothing() -> None:
    found = asked("Wie werden die Verbindungen zur Datenbank geschlossen?")
    assert set(found) == {"verbindungen", "datenbank", "geschlossen"}
    assert (found["verbindungen"].prefix, found["verbindungen"].starts) == ("verbind", True)
    assert not asked("How are the Verbindungen closed?")["verbindungen"].starts
    assert set(asked("wie ist das")) == {"wie", "ist", "das"}, "sought where nothing else is"


def test_what_has_digits_or_a_short_beginning_stays_as_it_is() -> None:
    found = asked("warum ist get_row2 der Rest von dem Rad nicht da")
    assert not any(found[text].starts for text in ("getrow2", "row", "rad"))
    assert languages.beginning("da", "german") is None
    assert languages.beginning("row2", "german") is None
    assert languages.beginning("falliscono", "italian") == "fall"
    assert languages.beginning("migracoes", "portuguese") == "migrac"
