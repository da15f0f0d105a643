"""The rules find what happened in an agent's events, and never lose what they do not know."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from claude_mem.generation import (
    DraftObservation,
    EventInput,
    GenerationRequest,
    ModeLibrary,
    ObservationInput,
    Provider,
    Usage,
    build_provider,
    is_trivial,
    render_observation,
)

MODE = ModeLibrary().load()
SESSION = Path(__file__).parents[3] / "examples" / "session" / "hooks.jsonl"


def tool(name: str, given: Any, answered: Any = None, *, number: int = 1) -> EventInput:
    payload = {"tool_name": name, "tool_input": given, "tool_response": answered, "cwd": "/repo"}
    return event(payload, number=number)


def event(payload: Any, *, kind: str = "tool_use", number: int = 1) -> EventInput:
    return EventInput(f"e{number}", kind, "hook", 1_767_225_600_000 + number, payload)


def request(*events: EventInput, **more: Any) -> GenerationRequest:
    values: dict[str, Any] = {
        "kind": "event",
        "job_id": "j",
        "project_id": "p",
        "team_id": "t",
        "events": events,
        "mode": MODE,
    }
    return GenerationRequest(**(values | more))


async def observe(*events: EventInput) -> list[DraftObservation]:
    return (await build_provider(name="offline").generate(request(*events))).reply.observations


async def test_it_is_a_provider_that_says_what_it_is_and_costs_nothing() -> None:
    provider = build_provider(name=" Offline ")
    assert isinstance(provider, Provider)
    result = await provider.generate(request(event("something happened")))
    assert (result.provider, result.model, result.method) == ("offline", "rules-v1", "rules")
    assert result.usage == Usage()
    assert result.text is None
    rendered = render_observation(
        result.reply.observations[0], provider=result.provider, model=result.model, method=result.method
    )
    assert rendered.metadata["method"] == "rules"
    await provider.close()


async def test_the_same_events_give_the_same_observations() -> None:
    events = [
        tool("Write", {"file_path": "/repo/a.py", "content": "def f(): ..."}),
        event({"x": [1, {"y": 2}]}, number=2),
    ]
    assert await observe(*events) == await observe(*events)


async def test_an_edit_is_a_change_of_its_file_with_what_was_defined() -> None:
    (found,) = await observe(
        tool(
            "Edit",
            {
                "file_path": "/repo/app/limits.py",
                "old_string": "def check(key):\n    pass",
                "new_string": "def check(key):\n    count(key)\n\n\ndef count(key):\n    ...",
            },
            {"filePath": "/repo/app/limits.py"},
        )
    )
    assert found.type == "change"
    assert found.title == "Edit app/limits.py: add count"
    assert found.files_modified == ["app/limits.py"]
    assert found.facts == ["app/limits.py defines count"]
    assert found.subtitle == "1 edit, 6 lines in, 2 lines out"
    assert found.concepts == ["what-changed"]


async def test_a_small_edit_is_told_in_full() -> None:
    (found,) = await observe(
        tool("Edit", {"file_path": "/repo/a.toml", "old_string": "timeout = 5", "new_string": "timeout = 30"})
    )
    assert found.facts == ["In a.toml, `timeout = 5` became `timeout = 30`"]


async def test_edits_of_one_file_in_a_batch_are_one_observation_of_all_their_events() -> None:
    steps = [{"old_string": f"a{n} = 0", "new_string": f"a{n} = 1"} for n in range(2)]
    found = await observe(
        tool("Read", {"file_path": "/repo/a.py"}, "a0 = 0\na1 = 0", number=1),
        tool("MultiEdit", {"file_path": "/repo/a.py", "edits": steps}, number=2),
        tool("Write", {"file_path": "/repo/b.md", "content": "# B"}, {"type": "create"}, number=3),
        tool("Edit", {"file_path": "/repo/a.py", "old_string": "x", "new_string": "y"}, number=4),
    )
    assert [(item.title, item.source_events) for item in found] == [
        ("Edit a.py", ["e2", "e4"]),
        ("Create b.md", ["e3"]),
    ]


async def test_a_failed_edit_is_nothing() -> None:
    failed = tool("Edit", {"file_path": "/repo/a", "old_string": "x", "new_string": "y"}, {"is_error": True})
    assert await observe(failed) == []


async def test_tests_that_fail_and_then_pass_are_a_bugfix() -> None:
    found = await observe(
        tool(
            "Bash",
            {"command": "pytest -q"},
            {"stdout": "FAILED test_a.py::test_x - ValueError: bad\n1 failed"},
        ),
        tool("Edit", {"file_path": "/repo/a.py", "old_string": "1", "new_string": "2"}, number=2),
        tool("Bash", {"command": "pytest -q"}, {"stdout": "== 4 passed in 0.1s =="}, number=3),
    )
    assert [item.type for item in found] == ["discovery", "change", "bugfix"]
    assert found[0].title == "Tests fail: test_a.py::test_x - ValueError: bad"
    assert found[2].facts == ["Before: test_a.py::test_x - ValueError: bad", "Now: 4 passed in 0.1s"]
    assert found[2].concepts == ["problem-solution"]


@pytest.mark.parametrize(
    ("command", "response", "kind", "title"),
    [
        (
            "make build",
            {"stdout": "", "stderr": "error: no rule", "exit_code": 2},
            "discovery",
            "Command fails: error: no rule",
        ),
        (
            "node x.js",
            "TypeError: x is not a function",
            "discovery",
            "Command fails: TypeError: x is not a function",
        ),
        ("deploy", {"exit_code": 3}, "discovery", "Command fails: it gave no output"),
        ('git commit -am "Add limits"', "[main 1] Add limits", "change", "Commit: Add limits"),
        ("pip install httpx", "Successfully installed", "change", "Dependencies: pip install httpx"),
        ("terraform plan", "Plan: 2 to add", "discovery", "Run terraform plan"),
    ],
)
async def test_a_command_is_told_by_what_it_did(command: str, response: Any, kind: str, title: str) -> None:
    (found,) = await observe(tool("Bash", {"command": command}, response))
    assert (found.type, found.title) == (kind, title)


TRIVIAL = [
    tool("Bash", {"command": "ls -la"}, "a\nb"),
    tool("Bash", {"command": "git status"}, "clean"),
    tool("Bash", {"command": "mv a b"}, ""),
    tool("Bash", {}, "x"),
    tool("TodoWrite", {"todos": []}, "ok"),
    tool("Glob", {"pattern": "*.py"}, {"filenames": ["a.py"]}),
    tool("Grep", {"pattern": "x"}, {"filenames": []}),
    tool("Grep", {"pattern": "x"}, "No matches found"),
    tool("Read", {"file_path": "/repo/a"}, ""),
    event({"last_assistant_message": "Done."}, kind="assistant_message"),
]


@pytest.mark.parametrize("step", TRIVIAL)
async def test_a_trivial_step_is_skipped(step: EventInput) -> None:
    result = await build_provider(name="offline").generate(request(step))
    assert result.reply.skipped
    assert is_trivial(step)


async def test_reading_and_searching_tell_what_was_found() -> None:
    read, search = await observe(
        tool(
            "Read",
            {"file_path": "/repo/a.py"},
            {"type": "text", "file": {"content": "class A:\n    def go(self): ..."}},
        ),
        tool("Grep", {"pattern": "go"}, {"filenames": ["/repo/a.py", "/repo/b.py"]}, number=2),
    )
    assert read.title == "Read a.py: A, go"
    assert read.files_read == ["a.py"]
    assert search.title == "`go` is found in 2 places"
    assert search.facts == ["a.py", "b.py"]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("The root cause was a stale cache in app/cache.py. It is invalidated now.", "bugfix"),
        ("We chose SQLite instead of Postgres for the laptop, because it needs no server.", "decision"),
        ("I implemented the limiter.\n- counts per key\n- answers 429", "feature"),
        ("I renamed the module and simplified its interface a lot.", "refactor"),
        ("The queue holds job ids and nothing else, as the tests show.", "discovery"),
    ],
)
async def test_a_closing_message_is_told_by_its_words(text: str, kind: str) -> None:
    (found,) = await observe(event({"last_assistant_message": text}, kind="assistant_message"))
    assert found.type == kind
    assert found.narrative == text
    assert found.title


async def test_a_closing_message_gives_facts_and_files() -> None:
    text = "I implemented the limiter in app/limits.py for you.\n- counts per key\n- answers 429"
    (found,) = await observe(event({"last_assistant_message": text}, kind="assistant_message"))
    assert found.facts == ["counts per key", "answers 429"]
    assert found.files_read == ["app/limits.py"]


async def test_a_users_rule_is_a_decision() -> None:
    found = await observe(
        event({"prompt": "Never use floats for money in this project."}, kind="user_prompt"),
        event({"prompt": "Why does the build fail on arm?"}, kind="user_prompt", number=2),
    )
    assert [item.type for item in found] == ["decision", "discovery"]


UNKNOWN = [
    event({"note": "alpha beta"}),
    event("plain alpha text"),
    event(["alpha", {"deep": 1}], kind="build_finished"),
    event({"tool_name": "mcp__jira__create", "tool_input": {"title": "alpha"}}),
    event({"tool_name": "Edit", "tool_input": "alpha"}),
    event({"tool_name": 7, "alpha": True}),
    event({"last_assistant_message": ["alpha"]}, kind="assistant_message"),
    event({"alpha": {}}, kind="user_prompt"),
]


@pytest.mark.parametrize("odd", UNKNOWN)
async def test_an_event_of_unknown_shape_keeps_its_text(odd: EventInput) -> None:
    (found,) = await observe(odd)
    assert found.type == "discovery"
    assert "alpha" in (found.narrative or "")
    assert found.title
    assert not is_trivial(odd)


async def test_even_an_empty_event_is_told() -> None:
    (found,) = await observe(event({}, kind="deploy_finished"))
    assert found.title == "deploy finished: {}"


async def test_clients_that_send_json_as_text_are_understood() -> None:
    given = json.dumps({"file_path": "/repo/a.py", "old_string": "1", "new_string": "2"})
    (found,) = await observe(tool("Edit", given, "{broken"))
    assert found.files_modified == ["a.py"]


async def test_what_is_private_does_not_appear() -> None:
    step = tool("Write", {"file_path": "/repo/a.py", "content": "<private>x9</private>\nvisible = 1"})
    said = event(
        {"last_assistant_message": "I added <private>x9</private> to it all."},
        kind="assistant_message",
        number=2,
    )
    found = await observe(step, said, event({"t": "<private>x9</private>"}, number=3))
    assert "x9" not in repr(found)
    assert "visible = 1" in repr(found)


async def test_types_and_concepts_fit_another_mode() -> None:
    result = await build_provider(name="offline").generate(
        request(event("something happened here"), mode=ModeLibrary().load("research"))
    )
    assert [(item.type, item.concepts) for item in result.reply.observations] == [("finding", [])]


def recorded() -> list[EventInput]:
    lines = [json.loads(line) for line in SESSION.read_text().splitlines()]
    kinds = {"PostToolUse": "tool_use", "Stop": "assistant_message", "UserPromptSubmit": "user_prompt"}
    return [
        event(line, kind=kinds[line["hook_event_name"]], number=number)
        for number, line in enumerate(lines)
        if line["hook_event_name"] in kinds
    ]


async def summarise(*events: EventInput, **more: Any) -> dict[str, Any]:
    reply = (await build_provider(name="offline").generate(request(*events, kind="summary", **more))).reply
    return reply.summary.model_dump() if reply.summary else {"skipped": reply.skipped}


async def test_the_recorded_session_is_told_and_summarised() -> None:
    events = recorded()
    found = await observe(*events)
    modified = {path for item in found for path in item.files_modified}
    assert {"orders/retry.py", "orders/payments.py"} <= modified
    assert {"change", "bugfix", "discovery"} <= {item.type for item in found}
    assert len(found) < len(events)
    past = tuple(
        ObservationInput(str(index), item.type, item.narrative or "", item.model_dump())
        for index, item in enumerate(found)
    )
    summary = await summarise(*events, observations=past)
    assert summary["request"].startswith("CI has been red")
    assert "orders/retry.py" in summary["investigated"]
    assert "idempotency" in summary["completed"]
    assert "follow-up" in summary["next_steps"]
    assert "orders/payments.py" in summary["notes"]
    assert await summarise(*events) != {"skipped": True}


async def test_a_summary_takes_the_sessions_prompt() -> None:
    summary = await summarise(TRIVIAL[0], session_prompt="Make <private>x9</private>it fast")
    assert summary["request"] == "Make it fast"


async def test_a_summary_of_trivial_events_still_says_something() -> None:
    summary = await summarise(*TRIVIAL[:3])
    assert summary["investigated"] == "3 events, 0 observations"


async def test_a_summary_of_nothing_is_skipped() -> None:
    assert await summarise() == {"skipped": True}


async def test_a_last_failure_is_the_next_step() -> None:
    summary = await summarise(tool("Bash", {"command": "pytest"}, "E  ValueError: bad"))
    assert summary["next_steps"] == "Look into: Tests fail: E ValueError: bad"


@pytest.mark.timeout(300)  # of hours, where the time grows with the square
@pytest.mark.parametrize(
    "text", ["git commit -m " * 50_000, "a.b-" * 300_000, "1 " * 500_000, "def " * 300_000]
)
async def test_large_texts_are_read_quickly(text: str) -> None:
    await observe(
        tool("Bash", {"command": text}, text),
        tool("Write", {"file_path": "/repo/x", "content": text}, number=2),
        tool("Read", {"file_path": "/repo/y"}, text, number=3),
        event({"last_assistant_message": text}, kind="assistant_message", number=4),
        event({"prompt": text}, kind="user_prompt", number=5),
        event(text, number=6),
    )
