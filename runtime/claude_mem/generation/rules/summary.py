"""A session summary from the session's events and observations."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from claude_mem.generation.port import DraftSummary, ObservationInput, clean
from claude_mem.generation.rules.distil import asked_for, distil
from claude_mem.generation.rules.text import block, bullets, plural, sentences, shorten
from claude_mem.privacy import redact

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from claude_mem.generation.port import EventInput, GenerationRequest

_DONE = ("bugfix", "feature", "refactor", "change")
_LEARNED = ("decision", "security_alert", "security_note", "discovery")
_NEXT = re.compile(
    r"(?i)\b(?:next steps?|to-?do|remain(?:s|ing)|still (?:needs?|to)|follow-?ups?|not yet|later)\b"
)
_LOOKED_AT = ("Read ", "`", "Run ")
_MOST = 8


def summarise(request: GenerationRequest) -> DraftSummary | None:
    """Summarise a session, None when there is nothing to summarise."""
    observations = request.observations or tuple(_observed(request))
    if not observations and not request.events:
        return None
    closing = _closing(request.events)
    titles = {kind: _titles(observations, kind) for kind in {item.kind for item in observations}}
    done = [title for kind in _DONE for title in titles.get(kind, [])]
    other = [title for kind in titles if kind not in _DONE for title in titles[kind]]
    known = [title for kind in _LEARNED for title in titles.get(kind, [])] or other
    told = [title for title in known if not title.startswith(_LOOKED_AT)]
    touched = _files(observations, "files_modified")
    summary = DraftSummary(
        request=_request(request),
        investigated=_list(_files(observations, "files_read", "files_modified")),
        learned=_list(told) or closing or _list(known),
        completed=_list(done),
        next_steps=_next_steps(request.events, observations),
        notes=f"{plural(len(request.events), 'event')}, {plural(len(observations), 'observation')}"
        + (f"; files modified: {_list(touched)}" if touched else ""),
    )
    if summary.is_empty:
        return summary.model_copy(update={"investigated": summary.notes})
    return summary


def _observed(request: GenerationRequest) -> Iterable[ObservationInput]:
    for index, draft in enumerate(distil(request.events, request.mode)):
        yield ObservationInput(
            id=str(index), kind=draft.type, content=draft.narrative or "", metadata=draft.model_dump()
        )


def _request(request: GenerationRequest) -> str | None:
    """What the user asked for first."""
    return next((block(text, 600) for text in asked_for(request)), None)


def _titles(observations: Sequence[ObservationInput], kind: str) -> list[str]:
    titles = (
        str(item.metadata.get("title") or next(sentences(item.content), ""))
        for item in observations
        if item.kind == kind
    )
    return list(dict.fromkeys(title for title in titles if title))


def _files(observations: Sequence[ObservationInput], *keys: str) -> list[str]:
    lists = (item.metadata.get(key) for item in observations for key in keys)
    return list(dict.fromkeys(str(name) for names in lists if isinstance(names, list) for name in names))


def _list(entries: Sequence[str]) -> str | None:
    shown = "; ".join(shorten(entry, 120) for entry in entries[:_MOST])
    more = f"; and {len(entries) - _MOST} more" if len(entries) > _MOST else ""
    return (shown + more) or None


def _messages(events: Sequence[EventInput]) -> list[str]:
    payloads = (redact(event.payload).value for event in events if event.event_type == "assistant_message")
    texts = (payload.get("last_assistant_message") for payload in payloads if isinstance(payload, dict))
    return [clean(text) for text in texts if isinstance(text, str) and text.strip()]


def _closing(events: Sequence[EventInput]) -> str | None:
    messages = _messages(events)
    return block(messages[-1], 600) if messages else None


def _next_steps(events: Sequence[EventInput], observations: Sequence[ObservationInput]) -> str | None:
    """What the last message says is left; else the failure that nothing came after."""
    for text in reversed(_messages(events)):
        listed = bullets(text[match.end() :]) if (match := _NEXT.search(text)) else []
        said = [sentence for sentence in sentences(text) if _NEXT.search(sentence)]
        if listed or said:
            return _list(listed or said[:3])
    return _unsettled(observations)


def _unsettled(observations: Sequence[ObservationInput]) -> str | None:
    """Tests or commands that failed last, with no fix after them."""
    last = next((str(item.metadata.get("title") or "") for item in reversed(observations)), "")
    return f"Look into: {last}" if last.startswith(("Tests fail", "Command fails")) else None
