"""Memories in few words: their titles and beginnings."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from claude_mem.model.records import Observation

#: Characters of a text that is told briefly.
BRIEF = 300


def title_of(memory: Observation) -> str | None:
    """The title that a memory was given, if any."""
    title = memory.metadata.members.get("title")
    return title.strip() if isinstance(title, str) and title.strip() else None


def brief(text: str, *, most: int = BRIEF) -> str:
    """A text on one line, cut between words to at most so many characters, with an ellipsis where it was."""
    line = " ".join(text.split())
    if len(line) <= most:
        return line
    head = line[: most - 1]
    return (head.rpartition(" ")[0] or head) + "…"
