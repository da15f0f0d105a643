"""Observations from what is said: an agent's closing message, a user's prompt."""

from __future__ import annotations

import re

from claude_mem.generation.port import DraftObservation
from claude_mem.generation.rules.text import (
    NARRATIVE_LENGTH,
    TITLE_LENGTH,
    block,
    bullets,
    sentences,
    shorten,
)

_MOST_FACTS = 12
_FEWEST_WORDS = 4
_FILE = re.compile(r"(?<![\w/])((?:[\w.-]+/)*[\w-]+\.[a-z][a-z0-9]{0,5})\b")
_CODE_SUFFIXES = frozenset(
    {"c", "cc", "cfg", "conf", "cpp", "cs", "css", "env", "go", "h", "hpp", "html", "ini", "java", "js"}
    | {"json", "jsx", "kt", "lock", "lua", "md", "mjs", "php", "proto", "py", "rb", "rs", "scss", "sh"}
    | {"sql", "svelte", "swift", "tf", "toml", "ts", "tsx", "txt", "vue", "xml", "yaml", "yml"}
)
_KINDS = (
    ("bugfix", re.compile(r"(?i)\b(?:fix(?:e[sd]|ing)?|root cause|the bug|regression|resolved)\b")),
    (
        "decision",
        re.compile(
            r"(?i)\b(?:deci(?:de|ded|sion)|chose|choosing|opted|instead of|rather than|trade-?offs?)\b"
        ),
    ),
    ("refactor", re.compile(r"(?i)\b(?:refactor(?:ed|ing)?|extracted|renamed|restructured|simplified)\b")),
    ("feature", re.compile(r"(?i)\b(?:implement(?:ed|s)?|added|built|created|introduced|now supports?)\b")),
)
_CONCEPTS = {"bugfix": "problem-solution", "decision": "why-it-exists", "discovery": "how-it-works"}
_WISH = re.compile(
    r"(?i)\b(?:always|never|prefer|must|don't|do not|should use|use .{1,40} (?:for|instead))\b"
)


def observe_message(text: str, *, event_id: str) -> DraftObservation | None:
    """The observation for an agent's message, None when it only says that something is done."""
    if len(text.split()) < _FEWEST_WORDS:
        return None
    said = list(sentences(text))
    if not said:
        return None
    kind = next((kind for kind, pattern in _KINDS if pattern.search(text[:NARRATIVE_LENGTH])), "discovery")
    facts = bullets(text) or [shorten(sentence, 300) for sentence in said[1:6]]
    return DraftObservation(
        type=kind,
        title=shorten(_telling(said), TITLE_LENGTH),
        facts=facts[:_MOST_FACTS],
        narrative=block(text),
        concepts=[_CONCEPTS.get(kind, "what-changed")],
        files_read=mentioned_files(text)[:10],
        source_events=[event_id],
    )


def observe_prompt(text: str, *, event_id: str) -> DraftObservation | None:
    """The observation for what a user asked: a decision where it states a rule or preference."""
    if len(text.split()) < _FEWEST_WORDS:
        return None
    rule = _WISH.search(text) is not None
    return DraftObservation(
        type="decision" if rule else "discovery",
        title=shorten(f"User asks: {next(sentences(text), text)}", TITLE_LENGTH),
        facts=bullets(text)[:_MOST_FACTS],
        narrative=block(text),
        concepts=["why-it-exists"],
        source_events=[event_id],
    )


def _telling(said: list[str]) -> str:
    """The first sentence long enough to say something, else the first."""
    return next((sentence for sentence in said if len(sentence.split()) > _FEWEST_WORDS), said[0])


def mentioned_files(text: str) -> list[str]:
    """Paths of source and configuration files named in a text, each once."""
    found = (match.group(1) for match in _FILE.finditer(text[:4_000]))
    return list(dict.fromkeys(path for path in found if path.rsplit(".", 1)[-1] in _CODE_SUFFIXES))
