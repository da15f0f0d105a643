"""Observations from the events of one request, in the order in which things happened."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from claude_mem.generation.payload import payload_text
from claude_mem.generation.port import DraftObservation, clean
from claude_mem.generation.rules.commands import TestHistory, observe_command
from claude_mem.generation.rules.edits import observe_edits
from claude_mem.generation.rules.messages import observe_message, observe_prompt
from claude_mem.generation.rules.text import (
    FACT_LENGTH,
    TITLE_LENGTH,
    block,
    definitions,
    headings,
    listing,
    plural,
    sentences,
    shorten,
)  # fmt: skip
from claude_mem.generation.rules.tools import ToolCall, tool_call
from claude_mem.privacy import redact_text

if TYPE_CHECKING:
    from claude_mem.generation.mode import Mode
    from claude_mem.generation.port import EventInput, GenerationRequest

#: The type of an event that is a user's request.
USER_PROMPT = "user_prompt"

_MOST_FACTS = 10
_SPOKEN: dict[str, tuple[tuple[str, ...], Callable[..., DraftObservation | None]]] = {
    "assistant_message": (("last_assistant_message", "message", "text"), observe_message),
    USER_PROMPT: (("prompt", "user_prompt", "message", "text"), observe_prompt),
}


def distil(events: Sequence[EventInput], mode: Mode) -> list[DraftObservation]:
    """Distil observations.

    Parameters:
        events: the request's events, oldest first.
        mode: types and concepts that are allowed; others give way to the mode's first type, or are left out.
    """
    calls = {event.id: call for event in events if (call := tool_call(event)) is not None}
    edits: dict[str, list[ToolCall]] = {}
    for call in calls.values():
        if call.kind in ("edit", "write") and call.path:
            edits.setdefault(call.path, []).append(call)
    history = TestHistory()
    pending = dict(edits)
    drafts: list[DraftObservation | None] = []
    for event in events:
        call = calls.get(event.id)
        if call is None:
            drafts.append(_spoken(event))
        elif call.kind in ("edit", "write") and call.path:
            if call.path in pending:
                drafts.append(observe_edits(call.path, pending.pop(call.path)))
        elif not (call.kind == "read" and call.path in edits):
            drafts.append(_observed(call, event, history))
    return [_fitted(draft, mode) for draft in drafts if draft is not None]


def is_trivial(event: EventInput) -> bool:
    """Whether an event is of a known shape and teaches nothing, so that no model need be asked about it.

    Never true for a tool, an event type or a payload that the rules do not know, nor for an edit.
    """
    call = tool_call(event)
    if call is None:
        return _spoken(event) is None
    if call.kind in ("edit", "write"):
        return False
    return _observed(call, event, TestHistory()) is None


def _observed(call: ToolCall, event: EventInput, history: TestHistory) -> DraftObservation | None:
    if call.kind == "trivial":
        return None
    if call.kind == "command":
        return observe_command(call, history)
    if call.kind == "read":
        return _read(call)
    if call.kind == "search":
        return _searched(call)
    return _plain(event, title=f"{call.tool}: {call.word(*call.given) or call.text}")


def _read(call: ToolCall) -> DraftObservation | None:
    text = call.text
    if not call.path or not text or call.failed:
        return None
    outline = headings(text) if call.path.endswith((".md", ".mdx")) else definitions(text)
    lines = [line.strip() for line in text.splitlines() if len(line.strip()) > 3]
    return DraftObservation(
        type="discovery",
        title=shorten(
            f"Read {call.path}" + (f": {listing(outline, most=3)}" if outline else ""), TITLE_LENGTH
        ),
        facts=[f"{call.path} has {listing(outline)}"]
        if outline
        else [shorten(line, FACT_LENGTH) for line in lines[:3]],
        narrative=block(f"{call.path} was read. It begins:\n" + "\n".join(lines[:12]), 1_200),
        concepts=["how-it-works"],
        files_read=[call.path],
        source_events=[call.event_id],
    )


def _searched(call: ToolCall) -> DraftObservation | None:
    wanted = call.word("pattern", "query", "search")
    files = call.answered.get("filenames") if isinstance(call.answered, Mapping) else None
    names = (
        [call.relative(name) for name in files if isinstance(name, str)] if isinstance(files, list) else []
    )
    hits = names or [line.strip() for line in call.text.splitlines() if line.strip()]
    if not wanted or not hits or hits[0].lower().startswith("no "):
        return None
    return DraftObservation(
        type="discovery",
        title=shorten(f"`{wanted}` is found in {plural(len(hits), 'place')}", TITLE_LENGTH),
        facts=[shorten(hit, FACT_LENGTH) for hit in hits[:_MOST_FACTS]],
        narrative=f"A search for `{wanted}` by {call.tool} found {plural(len(hits), 'place')}.",
        concepts=["how-it-works"],
        files_read=names[:_MOST_FACTS],
        source_events=[call.event_id],
    )


def words_of(event: EventInput) -> str | None:
    """What a user or the agent says in an event, private parts removed; None where it is no message."""
    keys, _ = _SPOKEN.get(event.event_type, ((), None))
    return _word(event.payload, keys) if keys else None


def asked_for(request: GenerationRequest) -> list[str]:
    """What the user asked for in a session, in order, private parts removed.

    The prompt that the session itself is known by comes first, unless it is one of those among the events: each prompt
    takes the place of the one before there.
    """
    prompts = [
        words for event in request.events if event.event_type == USER_PROMPT and (words := words_of(event))
    ]
    known = clean(redact_text(request.session_prompt or "")[0])
    return prompts if not known or known in prompts else [known, *prompts]


def _spoken(event: EventInput) -> DraftObservation | None:
    _, observe = _SPOKEN.get(event.event_type, ((), None))
    text = words_of(event)
    if observe is None or text is None:
        return _plain(event, title=None)
    return observe(text, event_id=event.id)


def _word(payload: object, keys: Sequence[str]) -> str | None:
    """The text a message event carries, private parts removed; None when it is none of the known shapes."""
    value: object = payload
    if isinstance(payload, Mapping):
        value = next((payload[key] for key in keys if isinstance(payload.get(key), str)), None)
    return clean(redact_text(value)[0]) if isinstance(value, str) else None


def _plain(event: EventInput, *, title: str | None) -> DraftObservation:
    """An event of a shape the rules do not know, as it is."""
    text = payload_text(event.payload)
    first = title or next(sentences(text), "") or "event without content"
    label = event.event_type.replace("_", " ").strip()
    return DraftObservation(
        type="discovery",
        title=shorten(first if title else f"{label}: {first}", TITLE_LENGTH),
        narrative=text or None,
        source_events=[event.id],
    )


def _fitted(draft: DraftObservation, mode: Mode) -> DraftObservation:
    """The draft in the mode's terms."""
    kind = draft.type if draft.type in mode.types else mode.default_type
    return draft.model_copy(
        update={"type": kind, "concepts": [concept for concept in draft.concepts if concept in mode.concepts]}
    )
