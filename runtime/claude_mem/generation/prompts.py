"""The prompt of a request: a constant system part, and a user part that holds what was recorded as data.

The size is bounded by an estimate of tokens: what is oldest gives way first, shortened and then left out. Wording is
`wording`'s task, events are `elements`', and telling a session for its summary is `recap`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from claude_mem.generation.elements import element, estimate_tokens, event_elements
from claude_mem.generation.recap import recap
from claude_mem.generation.wording import SUMMARY_REMINDER, event_reminder, event_system, summary_system

if TYPE_CHECKING:
    from claude_mem.generation.port import GenerationRequest

MAX_PROMPT_TOKENS = 24_000
"""Default bound of a prompt: room for a few long events, and far inside any current context window."""
_NO_EVENTS = "<!-- nothing to observe -->"


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt.

    Parameters:
        system: constant for a mode and kind, so a provider can cache it.
        user: the events and a short reminder of the form asked for.
        tokens: estimate for both parts.
        omitted: how many events and observations were left out for length.
    """

    system: str
    user: str
    tokens: int
    omitted: int


def build_prompt(request: GenerationRequest, *, max_tokens: int = MAX_PROMPT_TOKENS) -> Prompt:
    """Word the prompt of a request.

    Parameters:
        request: what to ask about.
        max_tokens: bound for both parts together, by `estimate_tokens`.
    """
    is_summary = request.kind == "summary"
    system = summary_system(request) if is_summary else event_system(request)
    reminder = SUMMARY_REMINDER if is_summary else event_reminder(request)
    frame = _document(request, _agent_events(_NO_EVENTS), _past("")) + reminder
    room = max(0, max_tokens - estimate_tokens(system) - estimate_tokens(frame))
    if is_summary:
        told = recap(request, room=room)
        omitted = told.omitted
        parts = [told.requests, _past(told.memories) if told.memories else ""]
        parts += [
            _agent_events(told.events or _NO_EVENTS) if told.events or not told.memories else "",
            told.answer,
        ]
    else:
        events, omitted = event_elements(request.events, room=room, had_before=request.had_before)
        parts = [_agent_events(events or _NO_EVENTS)]
    user = _document(request, *parts) + reminder
    tokens = estimate_tokens(system) + estimate_tokens(user)
    return Prompt(system=system, user=user, tokens=tokens, omitted=omitted)


def _document(request: GenerationRequest, *recorded: str) -> str:
    parts = [
        "<server_beta_observation_request>",
        element("project_id", request.project_id),
        element("team_id", request.team_id),
        element("server_session_id", request.server_session_id),
        element("project_name", request.project_name),
        element("generation_job_id", request.job_id),
        *recorded,
        "</server_beta_observation_request>",
    ]
    return "\n".join(part for part in parts if part)


def _agent_events(events: str) -> str:
    return f"<agent_events>\n{events}\n</agent_events>"


def _past(memories: str) -> str:
    return f"<past_observations>\n{memories}\n</past_observations>"
