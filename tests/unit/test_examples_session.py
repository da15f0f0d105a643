"""The recorded session is valid hook input and has in it what its README promises."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

LINES = (Path(__file__).parents[2] / "examples" / "session" / "hooks.jsonl").read_text().splitlines()
EVENTS: list[dict[str, Any]] = [json.loads(line) for line in LINES]


def test_it_is_one_session_from_its_start_to_its_end() -> None:
    kinds = [event["hook_event_name"] for event in EVENTS]
    assert kinds[:2] == ["SessionStart", "UserPromptSubmit"]
    assert kinds[-2:] == ["Stop", "SessionEnd"]
    assert len({(event["session_id"], event["transcript_path"], event["cwd"]) for event in EVENTS}) == 1
    assert Counter(kinds)["PostToolUse"] >= 35
    assert len(EVENTS) >= 40


def test_every_event_has_the_fields_of_its_kind() -> None:
    fields: dict[str, dict[str, type]] = {
        "SessionStart": {"source": str},
        "UserPromptSubmit": {"prompt": str},
        "PostToolUse": {"tool_name": str, "tool_input": dict, "tool_response": dict, "tool_use_id": str},
        "Stop": {"stop_hook_active": bool, "last_assistant_message": str},
        "SessionEnd": {"reason": str},
    }
    for event in EVENTS:
        for field, kind in fields[event["hook_event_name"]].items():
            assert isinstance(event[field], kind), (event["hook_event_name"], field)


def test_the_tools_that_agents_use_most_are_in_it() -> None:
    tools = Counter(event.get("tool_name") for event in EVENTS)
    assert tools.keys() >= {"Bash", "Edit", "Glob", "Grep", "Read", "TodoWrite", "Write"}
    ids = [event["tool_use_id"] for event in EVENTS if "tool_use_id" in event]
    assert len(ids) == len(set(ids))


def test_it_holds_something_private_and_something_secret() -> None:
    text = "\n".join(LINES)
    assert text.count("<private>") == text.count("</private>") == 1
    assert "postgresql://orders:not-a-real-password@" in text
