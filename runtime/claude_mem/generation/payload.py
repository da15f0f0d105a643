"""Event payloads as text: for prompts, and for the offline rules where they know no better.

Objects become `path: value` lines rather than JSON, which costs fewer tokens and reads the same. What privacy
strips is stripped here again, because adopted rows were stored before anything was.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from claude_mem.generation.condensing import OUTPUT, REPEATED_CHARACTERS, condensed, digest, excerpt
from claude_mem.generation.port import clean
from claude_mem.privacy import redact

PAYLOAD_LIMIT = 16_384
"""Characters of a payload's text that are kept."""
TRUNCATED = "[...truncated]"
_MAX_DEPTH = 24


def payload_text(
    payload: Any,
    *,
    limit: int = PAYLOAD_LIMIT,
    cwd: str | None = None,
    refer: Callable[[str], str | None] = lambda _: None,
) -> str:
    """Text of a payload, private parts removed, cut at `limit` characters with a marker.

    A string is taken as it is. Of a tool's call, what carries nothing is left out, and of its long outputs the
    middle.

    Parameters:
        cwd: the working directory that the reader knows already.
        refer: what stands for a text that the reader has had already, or None.
    """
    visible = redact(payload).value
    if isinstance(visible, str):
        return cut(clean(refer(visible) or visible), limit)
    text: list[str] = []
    size = 0
    for line in _lines(condensed(visible, cwd=cwd), refer):
        text.append(line)
        size += len(line) + 1
        if size > limit:
            break
    return cut(clean("\n".join(text)), limit)


def text_digests(payload: Any) -> set[bytes]:
    """What the long texts of a payload are known by when they come again, as `refer` is asked about them."""
    if not any(isinstance(value, str) and len(value) >= REPEATED_CHARACTERS for _, value in _leaves(payload)):
        return set()
    texts = (value for _, value in _leaves(condensed(redact(payload).value)) if isinstance(value, str))
    return {key for text in texts if (key := digest(text)) is not None}


def cut(text: str, limit: int) -> str:
    """`text` of at most `limit` characters, followed by the marker when something was cut off."""
    return text if len(text) <= limit else text[:limit] + TRUNCATED


def nothing_left(payload: Any) -> bool:
    """Whether a payload once had text and privacy left none of it; such an event needs no provider call.

    True for a blank string and for a non-empty object or list in which every value is blank. An empty object
    says
    nothing but was not emptied: its event type may carry the meaning.
    """
    visible = redact(payload).value
    if isinstance(visible, str):
        return not visible.strip()
    if not isinstance(visible, Mapping | list) or not visible:
        return False
    return all(
        value is None or (isinstance(value, str) and not value.strip()) for _, value in _leaves(visible)
    )


def _lines(payload: Any, refer: Callable[[str], str | None]) -> Iterator[str]:
    for path, value in _leaves(payload):
        if not isinstance(value, str):
            text = json.dumps(value, ensure_ascii=False)
        elif path.startswith(OUTPUT):
            text = refer(value) or excerpt(value)
        else:
            text = refer(value) or value
        separator = "\n" if "\n" in text else " "
        yield f"{path}:{separator}{text}" if path else text


def _leaves(payload: Any) -> Iterator[tuple[str, Any]]:
    """Every value that is no container, with its dotted path; iterative, for payloads may nest deeply."""
    stack: list[tuple[str, int, Any]] = [("", 0, payload)]
    while stack:
        path, depth, value = stack.pop()
        if isinstance(value, Mapping | list) and value:
            if depth == _MAX_DEPTH:
                yield path, "…"
                continue
            items = value.items() if isinstance(value, Mapping) else enumerate(value)
            below = [(f"{path}.{key}" if path else str(key), depth + 1, item) for key, item in items]
            stack.extend(reversed(below))
        else:
            yield path, value
