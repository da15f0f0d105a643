"""The elements of a prompt that hold what was recorded, escaped, within a bound of tokens."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from claude_mem.generation.condensing import Repeats, names_tool
from claude_mem.generation.payload import cut, payload_text
from claude_mem.generation.port import EventInput, clean

if TYPE_CHECKING:
    from collections.abc import Sequence

CONDENSED_CHARACTERS = 600
"""Characters that remain of the payload of an event which had to be shortened."""
TOOL_USE = "tool_use"
SAME_TIME_MS = 60_000
"""Milliseconds within which an event's time goes without saying: it happened right after the one before."""
_BYTES_PER_TOKEN = 3.5
_OMITTED = "<!-- {count} earlier {what} left out for length -->"


def estimate_tokens(text: str) -> int:
    """Tokens of a text, on the high side: 3.5 bytes of UTF-8 each, close enough for prose, code and CJK."""
    return math.ceil(len(text.encode("utf-8", "replace")) / _BYTES_PER_TOKEN)


def event_tokens(event: EventInput) -> int:
    """Tokens that one event adds to a prompt at most, which is when nothing is shortened or was said before."""
    return estimate_tokens(_numbered(event, None, number=1, text=payload_text(event.payload))) + 1


def event_elements(
    events: Sequence[EventInput], *, room: int, had_before: frozenset[bytes]
) -> tuple[str, int]:
    """Elements of the events within `room` tokens, and how many had to be left out.

    Parameters:
        had_before: digests of the texts that the session's earlier calls had in them.
    """
    elements = _whole(events, Repeats(had_before))
    sizes = [estimate_tokens(element) + 1 for element in elements]
    if sum(sizes) > room:
        # An event that may be shortened or left out cannot be referred to.
        elements = _whole(events, None)
        sizes = [estimate_tokens(element) + 1 for element in elements]
    total = sum(sizes)
    for index, event in enumerate(events):
        if total <= room:
            break
        text = cut(payload_text(event.payload), CONDENSED_CHARACTERS)
        elements[index] = (
            _numbered(event, None, number=index + 1, text=text) if len(events) > 1 else _single(event, text)
        )
        total += estimate_tokens(elements[index]) + 1 - sizes[index]
        sizes[index] = estimate_tokens(elements[index]) + 1
    return newest(elements, sizes=sizes, room=room, what="events")


def newest(elements: Sequence[str], *, sizes: Sequence[int], room: int, what: str) -> tuple[str, int]:
    """Join what fits, dropping from the front; the last one stays, however small the room."""
    total, first = sum(sizes), 0
    marker_size = estimate_tokens(_OMITTED) + 4
    while first < len(elements) - 1 and total + (marker_size if first else 0) > room:
        total -= sizes[first]
        first += 1
    marker = [_OMITTED.format(count=first, what=what)] if first else []
    return "\n".join([*marker, *elements[first:]]), first


def element(name: str, value: str | None) -> str:
    """An element with a text in it; empty for none."""
    return f"<{name}>{escape(clean(value))}</{name}>" if value else ""


def escape(text: str) -> str:
    """Escape what could end an element or begin one; quotes need none outside attributes and cost tokens."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _whole(events: Sequence[EventInput], repeats: Repeats | None) -> list[str]:
    elements = []
    before = None
    for number, event in enumerate(events, start=1):

        def refer(text: str, number: int = number) -> str | None:
            return repeats.refer(text, number=number) if repeats else None

        text = payload_text(event.payload, cwd=_cwd(before), refer=refer)
        alone = len(events) == 1
        elements.append(_single(event, text) if alone else _numbered(event, before, number=number, text=text))
        before = event
    return elements


def _numbered(event: EventInput, before: EventInput | None, *, number: int, text: str) -> str:
    """One of several events: its number stands for its id, and what it shares with the one before is not said.

    Nor is it said of a tool's call that it is one, for the payload begins with the tool.
    """
    soon = before is not None and 0 <= event.occurred_at_ms - before.occurred_at_ms < SAME_TIME_MS
    return _event(
        element("number", str(number)),
        ""
        if event.event_type == TOOL_USE and names_tool(event.payload)
        else element("event_type", event.event_type),
        "" if soon else element("occurred_at", _iso(event.occurred_at_ms)),
        text=text,
    )


def _single(event: EventInput, text: str) -> str:
    return _event(
        element("id", event.id),
        element("event_type", event.event_type),
        element("source_adapter", event.source_adapter),
        element("occurred_at", _iso(event.occurred_at_ms)),
        text=text,
    )


def _event(*parts: str, text: str) -> str:
    known = [part for part in parts if part]
    return "\n".join(["<agent_event>", *known, f"<payload>{escape(text)}</payload>", "</agent_event>"])


def _cwd(event: EventInput | None) -> str | None:
    cwd = event.payload.get("cwd") if event is not None and isinstance(event.payload, dict) else None
    return cwd if isinstance(cwd, str) else None


def _iso(milliseconds: int) -> str:
    try:
        moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return str(milliseconds)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
