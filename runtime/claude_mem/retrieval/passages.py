"""A long text in passages, each of which a model can take: what is said far down is found by its meaning too."""

from __future__ import annotations

import re

#: Passages of a text at most; what is behind them is found by its words alone.
PASSAGES = 8

# A passage ends at the best place in its last quarter: a blank line, a line's end, a sentence's, a word's.
_ENDS = tuple(re.compile(rf".*{end}", re.DOTALL) for end in (r"\n\s*\n", r"\n", r"[.!?\u3002]\s*", r"\s"))
_WORD = re.compile(r"\w")


def passages(text: str, *, size: int) -> list[str]:
    """Cut a text; what has no word in it is left out, but something is always left.

    Parameters:
        size: characters of a passage at most.
    """
    found: list[str] = []
    at = 0
    while at < len(text) and len(found) < PASSAGES:
        piece = text[at : at + size]
        if at + size < len(text):
            piece = piece[: _end(piece)]
        at += len(piece)
        if _WORD.search(piece):
            found.append(piece.strip())
    return found or [text[:size]]


def _end(piece: str) -> int:
    last = piece[len(piece) * 3 // 4 :]
    for end in _ENDS:
        match = end.match(last)
        if match:
            return len(piece) - len(last) + match.end()
    return len(piece)
