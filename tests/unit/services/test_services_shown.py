"""What a session's calls had in them is remembered for it alone, and not for ever."""

from __future__ import annotations

from claude_mem.generation import EventInput, GenerationRequest, ModeLibrary
from claude_mem.generation.payload import text_digests
from claude_mem.services.shown import SESSIONS, TEXTS, ShownTexts

EVENT = EventInput("event-1", "tool_use", "hook", 0, {"text": "a long text " * 40})


def request(*events: EventInput, session: str | None = None) -> GenerationRequest:
    mode = ModeLibrary().load()
    return GenerationRequest("event", "job", "project", "team", events, mode, server_session_id=session)


def test_shown_texts_belong_to_their_session_and_the_quietest_session_is_forgotten() -> None:
    shown = ShownTexts()
    first = request(EVENT, session="session-0")
    shown.add(first)
    assert shown.before(first) == text_digests(EVENT.payload)
    assert not shown.before(request(session="another"))
    lonely = request(EVENT)
    shown.add(lonely)
    assert not shown.before(lonely), "events without a session share nothing"
    for number in range(1, SESSIONS + 1):
        shown.add(request(EVENT, session=f"session-{number}"))
    assert not shown.before(first)


def test_a_session_of_very_many_texts_begins_anew() -> None:
    shown = ShownTexts()
    many = [EventInput(str(number), "note", "api", 0, f"{number} words " * 60) for number in range(TEXTS)]
    shown.add(request(*many, session="one"))
    assert len(shown.before(request(session="one"))) == TEXTS
    shown.add(request(EVENT, session="one"))
    assert shown.before(request(session="one")) == text_digests(EVENT.payload)
