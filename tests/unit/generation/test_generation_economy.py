"""What a model is not told twice, or not at all, and that nothing which matters goes with it."""

from __future__ import annotations

import re
from typing import Any

from claude_mem.generation import EventInput, GenerationRequest, ModeLibrary, build_prompt, payload_text
from claude_mem.generation.condensing import LONG_OUTPUT, excerpt
from claude_mem.generation.payload import text_digests

MODE = ModeLibrary().load()
FILE = "\n".join(f"line {number} of a module that is read more than once" for number in range(30))
START_MS = 1_767_225_600_000


def event(payload: Any, number: int, *, after_ms: int = 0) -> EventInput:
    return EventInput(f"event-{number}", "tool_use", "hook", START_MS + after_ms, payload)


def read(content: str, path: str = "/srv/app/a.py") -> dict[str, Any]:
    return {
        "cwd": "/srv/app",
        "tool_name": "Read",
        "tool_input": {"file_path": path},
        "tool_response": {"type": "text", "file": {"filePath": path, "content": content}},
    }


def request(*events: EventInput, **more: Any) -> GenerationRequest:
    return GenerationRequest("event", "job", "project", "team", events, MODE, **more)


def test_a_text_that_comes_again_in_a_call_is_referred_to_by_number() -> None:
    user = build_prompt(request(event(read(FILE), 1), event(read(FILE, "/srv/app/b.py"), 2))).user
    assert user.count("line 29 of a module") == 1
    assert "[the same text as in event 1, 30 lines, beginning: line 0 of a module" in user
    assert "/srv/app/b.py" in user, "what differs is told"


def test_a_changed_text_is_sent_whole_and_a_short_one_each_time() -> None:
    user = build_prompt(request(event(read(FILE), 1), event(read(FILE + "\nmore"), 2))).user
    assert user.count("line 29 of a module") == 2
    assert build_prompt(request(event(read("short"), 1), event(read("short"), 2))).user.count("short") == 2


def test_a_text_of_an_earlier_call_is_referred_to_also_by_a_single_event() -> None:
    shown = frozenset(text_digests(read(FILE)))
    for events in ([event(read(FILE), 1)], [event(read(FILE), 1), event("other", 2)]):
        user = build_prompt(request(*events, had_before=shown)).user
        assert "line 29 of a module" not in user
        assert "[the same text as earlier in this session, 30 lines" in user


def test_nothing_is_referred_to_that_length_may_have_taken_out() -> None:
    events = [event(read(FILE), 1), event("word " * 3_000, 2), event(read(FILE), 3)]
    prompt = build_prompt(request(*events), max_tokens=2_600)
    assert "the same text as" not in prompt.user
    assert "line 29 of a module" in prompt.user.partition("<number>3</number>")[2]


def test_private_text_is_not_what_a_text_is_known_by() -> None:
    hidden = f"<private>{FILE}</private>"
    assert text_digests({"text": hidden}) == set()
    assert text_digests({"text": hidden + FILE}) == text_digests({"text": FILE})


def test_what_says_nothing_is_left_out_of_a_known_shape() -> None:
    payload = {
        "cwd": "/srv/app",
        "tool_name": "Bash",
        "tool_input": {"command": "make", "replace_all": False},
        "tool_response": {"stdout": "built", "stderr": "", "interrupted": False, "isImage": False},
    }
    assert payload_text(payload) == "cwd: /srv/app\ntool: Bash\ninput.command: make\noutput.stdout: built"
    assert payload_text(payload, cwd="/srv/app").startswith("tool: Bash")
    failed = payload | {"tool_response": {"stdout": "", "interrupted": True, "success": False, "code": 0}}
    assert payload_text(failed).endswith("output.interrupted: true\noutput.success: false\noutput.code: 0"), (
        "what tells a failure stays"
    )
    whole = {"startLine": 1, "numLines": 30, "totalLines": 30, "content": "text"}
    part = whole | {"startLine": 5, "numLines": 3}
    assert "totalLines" not in payload_text(payload | {"tool_response": {"file": whole}})
    assert "totalLines" in payload_text(payload | {"tool_response": {"file": part}})


def test_an_unknown_shape_keeps_its_names_and_values() -> None:
    for payload in (
        {"kind": "deploy", "interrupted": False, "note": ""},
        {"tool_name": "X", "tool_response": {"interrupted": False}, "output": "its own"},
    ):
        text = payload_text(payload)
        assert "interrupted: false" in text
        assert "tool: " not in text


def test_a_long_output_is_told_by_its_beginning_and_its_end() -> None:
    lines = [f"step {number} of the build went as expected" for number in range(2_000)]
    text = excerpt("\n".join(lines))
    assert text.startswith(lines[0])
    assert text.endswith(lines[-1]), "failures stand at the end"
    assert re.search(r"\[\.\.\. \d+ lines left out \.\.\.\]", text)
    assert len(text) < LONG_OUTPUT
    payload = {"tool_name": "Bash", "tool_input": {}, "tool_response": {"stdout": "\n".join(lines)}}
    assert payload_text(payload).endswith(lines[-1])


def test_a_line_that_repeats_is_told_once_and_one_endless_line_is_left_to_the_outer_bound() -> None:
    text = excerpt("begin\n" + "waiting for the port\n" * 3_000 + "ready")
    assert text == "begin\nwaiting for the port\n[the same line 2999 more times]\nready"
    assert excerpt("x" * 50_000) == "x" * 50_000
    assert excerpt("a\na\na\na\na") == "a\na\na\na\na", "short outputs stay as they are"


def test_shared_events_say_their_time_and_place_once() -> None:
    near = build_prompt(request(event(read("a"), 1), event(read("b"), 2, after_ms=59_000))).user
    assert (near.count("<occurred_at>"), near.count("cwd:")) == (1, 1)
    assert "<id>" not in near
    assert "<source_adapter>" not in near
    later = build_prompt(request(event(read("a"), 1), event(read("b"), 2, after_ms=61_000))).user
    assert later.count("<occurred_at>") == 2
    other = event(read("b") | {"cwd": "/srv/other"}, 2)
    assert build_prompt(request(event(read("a"), 1), other)).user.count("cwd:") == 2
