"""What words a text is made of: identifiers, paths, scripts, stems, and that no text is too strange."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claude_mem.retrieval.analyzer import MAX_WORD, analyse, chunks, fold, parse_chunk, stem, words
from claude_mem.retrieval.documents import analyse_observation, searched_text


def terms(text: str) -> set[str]:
    return set(analyse(text).frequencies)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("CLAUDE_MEM_QUEUE_ENGINE", {"claud", "mem", "queue", "engin", "claudememqueueengin"}),
        ("getUserById", {"get", "user", "by", "id", "getuserbyid"}),
        ("HTTPServer", {"http", "server", "httpserver"}),
        ("OAuth2", {"auth", "2", "oauth2"}),
        ("APIs", {"api"}),
        ("a1b2c3d4", {"a1b2c3d4"}),
        ("python3", {"python", "3", "python3"}),
        (
            "fastify-plugin@4.5.1",
            {"fastifi", "plugin", "4", "5", "1", "fastifyplugin", "fastifyplugin@4.5.1"},
        ),
        (
            r"src\auth\tokenStore.py:12",
            {
                "src",
                "auth",
                "token",
                "store",
                "py",
                "12",
                "tokenstor",
                "tokenstore.py",
                "src/auth/tokenstore.py",
            },
        ),
        ("C++ C#", {"c", "c++", "c#"}),
        ("it's the team's", {"it", "the", "team"}),
        ("wrote children", {"write", "child"}),
        ("größe Café ÉCOLE", {"gross", "cafe", "ecol"}),
        ("миграции Ёлка", {"миграц", "елк"}),
        ("記憶喪", {"記憶", "憶喪", "記", "憶", "喪"}),
        ("हिन्दी", {"हिन्द"}),
        ("", set()),
        ("-- ... !!", set()),
    ],
)
def test_a_text_gives_words_whole_and_split(text: str, expected: set[str]) -> None:
    assert terms(text) == expected


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("userName", "user_name"),
        ("userName", "user-name"),
        ("USER_NAME", "username"),
        ("deploying", "deployed"),
        ("café", "CAFE"),
        ("ran", "running"),
        ("\ufb01le", "file"),
        ("e\u0301cole", "école"),
    ],
)
def test_spellings_meet(one: str, other: str) -> None:
    assert terms(one) & terms(other)


def test_length_counts_what_says_something_and_emphasis_does_not_count() -> None:
    plain = analyse("the parser of replies")
    assert plain.length == 2
    stressed = analyse("the parser of replies", emphasised=[("parser", 4)])
    assert (stressed.length, stressed.frequencies["parser"]) == (2, 6)


def test_titles_facts_concepts_and_files_are_searched_whatever_the_metadata_holds() -> None:
    metadata = {
        "title": "Retry",
        "facts": ["backoff grows", 7, None],
        "concepts": "gotcha",
        "files_read": ["src/a_b.py"],
        "other": "unseen",
    }
    found = analyse_observation("text", metadata).frequencies
    assert (found["text"], found["retri"], found["backoff"], found["gotcha"]) == (2, 4, 1, 2)
    assert "a_b.py" not in found
    assert {"ab.py", "src/ab.py"} <= found.keys()
    assert "unseen" not in found
    assert "backoff grows" in searched_text("text", metadata)


@given(st.text())
def test_any_text_is_analysed(text: str) -> None:
    found = analyse(text)
    assert all(term and "\n" not in term and "*" not in term for term in found.frequencies)
    assert found.length <= sum(found.frequencies.values())
    assert all(word == fold(word) for word in words(text))


@given(st.text(alphabet="aAbB_.-/1é記 ", max_size=20))
def test_a_text_finds_itself(text: str) -> None:
    asked = {word.term for chunk in chunks(text) for word in parse_chunk(chunk).atoms}
    assert asked <= terms(text)


def test_long_words_are_cut_alike() -> None:
    assert terms("x" * 3000) == {"x" * MAX_WORD}
    assert stem("y" * 100) == "y" * 100
