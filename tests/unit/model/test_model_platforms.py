"""Platform names fold as claude-mem 13 folds them."""

from __future__ import annotations

import pytest

from claude_mem.model.platforms import normalise_platform


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        (None, None),
        ("", "claude"),
        (" \t\u3000", "claude"),
        ("claude", "claude"),
        ("Claude-Code", "claude"),
        ("transcript", "codex"),
        ("Transcript ", "codex"),
        ("transcripts", "transcripts"),
        ("openai codex cli", "codex"),
        ("Cursor", "cursor"),
        ("cursor-cli", "cursor"),
        ("codex-in-cursor", "codex"),
        ("docker-e2e", "docker-e2e"),
        ("  Gemini \n CLI ", "gemini-cli"),
        ("a\u00a0\u2003b\ufeffc", "a-b-c"),
        ("a\x85b\x1cc", "a\x85b\x1cc"),
        ("\u0130DE", "i\u0307de"),
        ("\u039f\u03a3", "\u03bf\u03c2"),
    ],
)
def test_normalised(given: str | None, stored: str | None) -> None:
    assert normalise_platform(given) == stored


@pytest.mark.parametrize("name", ["Docker E2E", "transcript", "Cursor", " x "])
def test_a_stored_name_stays_as_it_is(name: str) -> None:
    stored = normalise_platform(name)
    assert normalise_platform(stored) == stored
