"""Importing a transcript: what is in it, what is sent, and that doing it again adds nothing."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from claude_mem.client.hook_events import prompt_source_id
from claude_mem.client.transcript_import import BATCH_EVENTS, read_plan
from tests.support.hook_program import PATIENT, PROGRAM
from tests.support.ports import free_port
from tests.unit.client.recording_server import Answer, RecordingServer, Request

#: Seconds for a process, on a machine that has other things to do.
PATIENCE_S = 240
SESSION = "5f0c1c3e-7f0a-4b1e-9a53-2d8f6f1b7c90"
#: The beginning of the SHA-256 of "Why is the test flaky?".
ASKED = "fce8687101835fd0"
COMMON = {"sessionId": SESSION, "cwd": "/home/dev/orders", "version": "2.1.0", "gitBranch": "main"}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[RecordingServer]:
    with RecordingServer() as running:
        monkeypatch.setenv("CLAUDE_MEM_SERVER_URL", running.url)
        monkeypatch.setenv("CLAUDE_MEM_SERVER_PROJECT_ID", "p1")
        yield running


def record(kind: str, uuid: str, second: int, content: Any, **more: Any) -> dict[str, Any]:
    message: dict[str, Any] = {"role": kind, "content": content}
    if kind == "assistant":
        message["id"] = more.pop("message_id", f"msg_{uuid}")
    stamp = f"2026-11-20T10:00:{second:02d}.250Z"
    return {
        **COMMON,
        "type": kind,
        "uuid": uuid,
        "timestamp": stamp,
        "isSidechain": False,
        "message": message,
        **more,
    }


def call(number: int) -> dict[str, Any]:
    return {
        "type": "tool_use",
        "id": f"toolu_{number}",
        "name": "Read",
        "input": {"file_path": f"/w/{number}.py"},
    }


def result(number: int, content: Any = "text of the file") -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": f"toolu_{number}", "content": content}


CONVERSATION: list[dict[str, Any]] = [
    {"type": "summary", "summary": "Flaky test", "leafUuid": "x"},
    record("user", "u1", 0, "Why is the test flaky?"),
    record("assistant", "a1", 1, [{"type": "thinking", "thinking": "hm"}], message_id="m1"),
    record("assistant", "a2", 2, [{"type": "text", "text": "I will look."}], message_id="m1"),
    record("assistant", "a3", 3, [call(1)], message_id="m1"),
    record("user", "u2", 4, [result(1)], toolUseResult={"file": {"numLines": 3}}),
    record("assistant", "s1", 5, [{"type": "text", "text": "from a subagent"}], isSidechain=True),
    record("assistant", "s2", 5, [call(2)], isSidechain=True, agentId="agent-7"),
    record(
        "user", "s3", 6, [result(2, [{"type": "text", "text": "found"}])], isSidechain=True, agentId="agent-7"
    ),
    record("assistant", "a4", 7, [call(3)]),
    record("assistant", "a5", 8, [{"type": "text", "text": "It was the relay."}]),
    {**COMMON, "type": "system", "content": "hook ran", "uuid": "y", "timestamp": "2026-11-20T10:00:09Z"},
]


def transcript(tmp_path: Path, records: list[dict[str, Any]], *, raw: str = "") -> Path:
    path = tmp_path / f"{SESSION}.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in records) + raw, encoding="utf-8")
    return path


def run(path: Path, *arguments: str, expect: int = 0) -> dict[str, Any]:
    done = subprocess.run(
        [PROGRAM, "import", "transcript", str(path), "--json", *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
        env=dict(os.environ),
    )
    assert done.returncode == expect, done.stderr
    loaded: dict[str, Any] = json.loads(done.stdout) if done.stdout else {"stderr": done.stderr}
    return loaded


def test_a_conversation_becomes_a_session(server: RecordingServer, tmp_path: Path) -> None:
    report = run(transcript(tmp_path, CONVERSATION))
    assert report == {
        "dryRun": False,
        "sessions": [SESSION],
        "events": 5,
        "unansweredToolCalls": 1,
        "badLines": 0,
        "sent": 5,
        "duplicates": 0,
        "refused": [],
    }
    start = server.requests[0].body
    assert start["externalSessionId"] == start["contentSessionId"] == SESSION
    assert start["metadata"] == {
        "project": "orders",
        "source": "transcript",
        "prompt": "Why is the test flaky?",
    }
    assert [(each["eventType"], each["sourceEventId"]) for each in server.events] == [
        ("user_prompt", "u1"),
        ("assistant_message", "a2"),
        ("tool_use", "toolu_1"),
        ("tool_use", "toolu_2"),
        ("assistant_message", "a5"),
    ]
    assert server.events[0]["payload"] == {"prompt": "Why is the test flaky?"}
    first, second = server.events[2], server.events[3]
    assert first["payload"]["tool_input"] == {"file_path": "/w/1.py"}
    assert first["payload"]["tool_response"] == {"file": {"numLines": 3}}
    assert first["payload"]["cwd"] == "/home/dev/orders"
    assert first["occurredAtEpoch"] == 1795168804250
    assert second["payload"]["tool_response"] == [{"type": "text", "text": "found"}]
    assert second["payload"]["agentId"] == "agent-7"
    assert {each["serverSessionId"] for each in server.events} == {f"ses-{SESSION}"}
    assert {each["projectId"] for each in server.events} == {"p1"}
    assert server.ended == [f"ses-{SESSION}"]


def test_again_adds_nothing(server: RecordingServer, tmp_path: Path) -> None:
    path = transcript(tmp_path, CONVERSATION)
    run(path)
    again = run(path)
    assert (again["sent"], again["duplicates"]) == (0, 5)
    assert len(server.events) == 5


def test_what_the_hooks_sent_is_not_sent_twice(server: RecordingServer, tmp_path: Path) -> None:
    named = [
        {**each, "promptId": "prompt-1"} if each.get("type") == "user" else each for each in CONVERSATION
    ]
    path = transcript(tmp_path, named)
    documents: list[dict[str, Any]] = [
        {
            "hook_event_name": "UserPromptSubmit",
            "prompt_id": "prompt-1",
            "prompt": "Why is  the test flaky?\n",
        },
        {"hook_event_name": "PostToolUse", "tool_name": "Read", "tool_use_id": "toolu_1"},
        {
            "hook_event_name": "Stop",
            "last_assistant_message": "It was the relay.",
            "transcript_path": str(path),
        },
    ]
    for document in documents:
        raw = json.dumps({"session_id": SESSION, **document}).encode()
        subprocess.run([*PATIENT, "hook"], input=raw, check=True, timeout=PATIENCE_S)
    report = run(path)
    assert (report["sent"], report["duplicates"]) == (2, 3)
    assert sorted(server.source_ids()) == ["a2", "a5", f"prompt-1:{ASKED}", "toolu_1", "toolu_2"]


def test_what_nobody_asked_is_no_prompt(tmp_path: Path) -> None:
    def said(number: int, text: str, **more: Any) -> dict[str, Any]:
        return record("user", f"u{number}", number, text, **more)

    plan = read_plan(
        transcript(
            tmp_path,
            [
                said(0, "Summary of before", isCompactSummary=True, promptId="p0"),
                said(1, "Look around", promptId="p1"),
                said(2, "Note to itself", isMeta=True, promptId="p1"),
                said(3, "and here", promptId="p1"),
                said(4, "Look around", promptId="p4"),
                said(5, "[Request interrupted by user for tool use]", promptId="p4"),
                said(6, "<command-name>/clear</command-name>", promptId="p6"),
                said(7, "<local-command-stdout>done</local-command-stdout>"),
                said(8, "A subagent's task", isSidechain=True, promptId="p8"),
                said(9, "Without an id of a prompt"),
                {**said(10, "Without any id"), "uuid": None},
            ],
        )
    )
    session = plan.sessions[SESSION]
    assert session.start["metadata"]["prompt"] == "Look around"
    assert [(each["sourceEventId"], each["payload"]["prompt"]) for each in session.events] == [
        (prompt_source_id("p1", "Look around"), "Look around"),
        (prompt_source_id("p1", "and here"), "and here"),
        (prompt_source_id("p4", "Look around"), "Look around"),
        ("u9", "Without an id of a prompt"),
    ]
    assert {each["eventType"] for each in session.events} == {"user_prompt"}


def test_bad_lines_are_counted_and_passed_over(server: RecordingServer, tmp_path: Path) -> None:
    path = transcript(
        tmp_path, CONVERSATION, raw='{"type": "user"\n\n[1]\n"x"\n{"type": "user", "message": 3}\n'
    )
    with path.open("ab") as stream:
        stream.write(b"\xff\xfe\n")
    report = run(path)
    assert (report["badLines"], report["sent"]) == (4, 5)


def test_long_sessions_go_in_batches(server: RecordingServer, tmp_path: Path) -> None:
    records = []
    for number in range(BATCH_EVENTS * 2 + 1):
        records += [
            record("assistant", f"a{number}", 1, [call(number)]),
            record("user", f"u{number}", 2, [result(number)]),
        ]
    run(transcript(tmp_path, records))
    sizes = [len(request.body) for request in server.requests if request.path == "/v1/events/batch"]
    assert sizes == [BATCH_EVENTS, BATCH_EVENTS, 1]
    assert server.source_ids() == [f"toolu_{number}" for number in range(BATCH_EVENTS * 2 + 1)]


def test_several_sessions_in_one_file(server: RecordingServer, tmp_path: Path) -> None:
    other = [{**each, "sessionId": "other", "uuid": f"o-{each.get('uuid')}"} for each in CONVERSATION[1:4]]
    report = run(transcript(tmp_path, [*CONVERSATION, *other]), "--project-id", "p2")
    assert report["sessions"] == [SESSION, "other"]
    assert server.source_ids("other") == ["o-u1", "o-a2"]
    assert {each["projectId"] for each in server.events} == {"p2"}
    assert len(server.ended) == 2


def test_what_the_server_refuses_does_not_stop_the_rest(server: RecordingServer, tmp_path: Path) -> None:
    def rule(request: Request) -> Answer | None:
        refused = isinstance(request.body, list) and any(
            each["sourceEventId"] == "toolu_2" for each in request.body
        )
        return Answer(400, {"error": "ValidationError", "message": "no"}) if refused else None

    server.rule = rule
    report = run(transcript(tmp_path, CONVERSATION), expect=1)
    assert report["sent"] == 4
    assert len(report["refused"]) == 1
    assert report["refused"][0].startswith("toolu_2: 400")
    assert server.ended


def test_a_dry_run_sends_nothing(server: RecordingServer, tmp_path: Path) -> None:
    report = run(transcript(tmp_path, CONVERSATION), "--dry-run")
    assert (report["events"], report["dryRun"]) == (5, True)
    assert server.requests == []


def test_a_file_without_a_conversation_is_an_error(server: RecordingServer, tmp_path: Path) -> None:
    assert "no conversation" in run(transcript(tmp_path, [], raw="hello\n"), expect=1)["stderr"]


def test_no_server_is_reported_as_such(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CLAUDE_MEM_SERVER_URL", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("CLAUDE_MEM_SERVER_PROJECT_ID", "p1")
    assert "cannot be reached" in run(transcript(tmp_path, CONVERSATION), expect=5)["stderr"]


def test_records_without_a_time_or_session_still_count(tmp_path: Path) -> None:
    bare = {"type": "assistant", "uuid": "a1", "message": {"content": [{"type": "text", "text": "Hi"}]}}
    plan = read_plan(transcript(tmp_path, [{**bare, "timestamp": "yesterday"}]))
    session = plan.sessions[SESSION]
    assert session.events[0]["occurredAtEpoch"] > 1_700_000_000_000
    assert session.events[0]["sourceEventId"] == "a1"
