"""Small text helpers of the rules: sentences, bullets, shortening, and names that code defines."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

TITLE_LENGTH = 100
FACT_LENGTH = 300
NARRATIVE_LENGTH = 2_000

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|(?<=[\u3002\uff01\uff1f])|\n")
_BULLET = re.compile(r"\s*(?:[-*•]|\d{1,2}[.)])\s+(.+)")
_DEFINITION = re.compile(
    r"^[ \t]*(?:(?:export|default|pub(?:\([a-z]+\))?|public|private|protected|static|abstract|async)\s+)*"
    r"(?:def|class|function|func|fn|interface|type|struct|enum|trait|impl|module|CREATE\s+TABLE)\s+"
    r"(?:\([^()\n]{0,80}\)\s*)?([A-Za-z_$][\w$.]*)",
    re.MULTILINE,
)
_HEADING = re.compile(r"^#{1,4}\s+(.+)$", re.MULTILINE)


def shorten(text: str, limit: int) -> str:
    """One line of at most `limit` characters, cut between words where that is possible."""
    line = " ".join(text.split())
    if len(line) <= limit:
        return line
    head = line[: limit - 1]
    space = head.rfind(" ")
    return (head[:space] if space > limit // 2 else head).rstrip(" ,;:") + "…"


def block(text: str, limit: int = NARRATIVE_LENGTH) -> str:
    """Text of at most `limit` characters, its line breaks kept."""
    text = text.strip()
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def sentences(text: str) -> Iterator[str]:
    """Sentences and lines of a text, without Markdown marks at their ends."""
    for piece in _SENTENCE_END.split(text):
        sentence = piece.strip().lstrip("#>-* ").rstrip("* ").strip()
        if sentence:
            yield sentence


def bullets(text: str) -> list[str]:
    """The list entries in a text."""
    found = (_BULLET.fullmatch(line) for line in text.splitlines())
    return [shorten(match.group(1).replace("**", ""), FACT_LENGTH) for match in found if match]


def definitions(text: str) -> list[str]:
    """Names that code defines, each once, in order; special methods say nothing."""
    return list(dict.fromkeys(name for name in _DEFINITION.findall(text) if not name.startswith("__")))


def headings(text: str) -> list[str]:
    """Markdown headings, each once, in order."""
    return list(dict.fromkeys(heading.strip() for heading in _HEADING.findall(text)))


def listing(names: list[str], *, most: int = 12) -> str:
    """Names joined by commas, with the number of those left out."""
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def plural(count: int, noun: str) -> str:
    """`1 file`, `2 files`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
