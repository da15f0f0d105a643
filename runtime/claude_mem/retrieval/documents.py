"""What of an observation is searched: its text, and more of its metadata than the text repeats."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from claude_mem.retrieval.analyzer import Analysed, analyse

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: How much a word counts beside its place in the text, in halves of one occurrence there. The text of what a job made
#: holds title and facts already, so a word of the title counts three times in all.
_EMPHASIS = {
    "title": 4,
    "facts": 1,
    "concepts": 2,
    "files_read": 2,
    "files_modified": 2,
    "files": 2,
}


def analyse_observation(content: str, metadata: Mapping[str, Any]) -> Analysed:
    """The words of an observation, weighted."""
    return analyse(content, emphasised=_emphasised(metadata))


def searched_text(content: str, metadata: Mapping[str, Any]) -> str:
    """All that is searched of an observation, for phrases."""
    return "\n".join((content, *(text for text, _ in _emphasised(metadata))))


def _emphasised(metadata: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    for name, weight in _EMPHASIS.items():
        value = metadata.get(name)
        for text in value if isinstance(value, list) else (value,):
            if isinstance(text, str):
                yield text, weight
