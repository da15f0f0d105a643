"""What a summary's prompt says of its session: what was asked and answered, observations, and events on a line each.

Of an event the rules make a line: what it is about and what came of it. Observations and lines may cost so many tokens
for each event of the session, however long its payloads are. Where that is not enough for all, an event that has an
observation is not told again; then the oldest observations are reduced to their titles, and at last left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from claude_mem.generation.content import SUMMARY_KIND
from claude_mem.generation.elements import element, escape, estimate_tokens, newest
from claude_mem.generation.payload import cut
from claude_mem.generation.port import clean
from claude_mem.generation.rules import USER_PROMPT, asked_for, distil, words_of
from claude_mem.generation.rules.text import shorten
from claude_mem.privacy import redact, redact_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from claude_mem.generation.port import (
        DraftObservation,
        EventInput,
        GenerationRequest,
        ObservationInput,
    )

TOKENS_PER_EVENT = 24
"""Tokens that a summary may cost for each event of its session, beside its frame and what was asked and answered."""
FEWEST_TOKENS, MOST_TOKENS = 500, 6_000
"""Bounds of that for short and for long sessions."""
ONLY_EVENTS = 3
"""How many times that much it may cost when there are no observations, and only events tell what happened."""
_PROMPT, _REQUEST, _ANSWER = 4_000, 1_000, 2_000
_MOST_REQUESTS = 12
_LINE, _LONG_LINE = 160, 400
_OBSERVATION, _TITLE, _SUMMARY = 700, 100, 1_500


@dataclass(frozen=True, slots=True)
class Recap:
    """A session as told to whoever sums it up: elements, each empty where there is nothing.

    Parameters:
        requests: what the user asked for.
        memories: past observations, an earlier summary among them.
        events: what happened beside, a line each.
        answer: the agent's last words.
        omitted: how many observations and lines had no room.
    """

    requests: str
    memories: str
    events: str
    answer: str
    omitted: int


def recap(request: GenerationRequest, *, room: int) -> Recap:
    """Tell a session within `room` tokens, and within what its length allows."""
    asked, answer, others = _sorted_out(request)
    answered = element("last_assistant_message", answer and cut(answer, _ANSWER))
    room -= estimate_tokens(answered)
    requests, unasked = _fitting([element("user_request", text) for text in asked], room, what="requests")
    room = max(0, min(room - estimate_tokens(requests), _allowance(request)))
    every = "\n".join(_lines(request, others))
    whole = "\n".join(_memory(each, brief=False) for each in request.observations)
    if estimate_tokens(every) + estimate_tokens(whole) + 1 <= room:
        return Recap(requests, whole, every, answered, unasked)
    open_lines = _lines(request, [event for event in others if event.id not in request.observed])
    events, untold = _fitting(open_lines, room // 3 if request.observations else room, what="events")
    memories, unmade = _memories(request, room - estimate_tokens(events))
    return Recap(requests, memories, events, answered, unasked + untold + unmade)


def _sorted_out(request: GenerationRequest) -> tuple[list[str], str | None, list[EventInput]]:
    """What the user asked for, the agent's last words, and the other events."""
    asked = asked_for(request)
    answer, answering, others = None, None, []
    for event in request.events:
        words = words_of(event)
        if event.event_type == USER_PROMPT and words:
            continue
        if event.event_type == "assistant_message" and words:
            answer, answering = words, event
        others.append(event)
    first = [cut(words, _PROMPT) for words in asked[:1]]
    later = [cut(words, _REQUEST) for words in asked[1:][-_MOST_REQUESTS:]]
    return first + later, answer, [event for event in others if event is not answering]


def _allowance(request: GenerationRequest) -> int:
    tokens = max(FEWEST_TOKENS, min(TOKENS_PER_EVENT * len(request.events), MOST_TOKENS))
    return tokens if request.observations else ONLY_EVENTS * tokens


def _lines(request: GenerationRequest, events: Sequence[EventInput]) -> list[str]:
    """What events were about and came to, as the rules word it; nothing of those that the rules pass over."""
    limit = _LINE if request.observations else _LONG_LINE
    return [_item(shorten(f"{draft.title}: {_said(draft)}", limit)) for draft in distil(events, request.mode)]


def _said(draft: DraftObservation) -> str:
    return "; ".join(part for part in (*draft.facts, draft.narrative) if part)


def _memories(request: GenerationRequest, room: int) -> tuple[str, int]:
    """Elements of the observations within `room` tokens, newest in full, and how many had to be left out."""
    whole = [_memory(each, brief=False) for each in request.observations]
    brief = [_memory(each, brief=True) for each in request.observations]
    total = sum(estimate_tokens(text) + 1 for text in whole)
    shown = list(whole)
    for index, each in enumerate(request.observations):
        if total <= room:
            break
        if each.kind != SUMMARY_KIND:
            total += estimate_tokens(brief[index]) - estimate_tokens(whole[index])
            shown[index] = brief[index]
    return _fitting(shown, room, what="observations")


def _memory(observation: ObservationInput, *, brief: bool) -> str:
    known = redact(dict(observation.metadata)).value
    text = clean(redact_text(observation.content)[0])
    title = known.get("title")
    if observation.kind == SUMMARY_KIND:
        text = cut(text, _SUMMARY)
    elif isinstance(title, str) and title.strip():
        parts = [] if brief else [known.get("subtitle"), *_texts(known.get("facts"))]
        said = "; ".join(clean(part) for part in parts if isinstance(part, str) and part.strip())
        text = f"{shorten(title, _TITLE)}" + (f": {cut(said, _OBSERVATION)}" if said else "")
    else:
        text = shorten(text, _TITLE) if brief else cut(text, _OBSERVATION)
    return _item(f"{observation.kind}: {text}")


def _item(text: str) -> str:
    """A line of a list, which holds no line breaks of its own, so that it cannot begin another."""
    return f"- {escape(' '.join(clean(text).split()))}"


def _texts(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _fitting(elements: list[str], room: int, *, what: str) -> tuple[str, int]:
    sizes = [estimate_tokens(text) + 1 for text in elements]
    return newest(elements, sizes=sizes, room=room, what=what)
