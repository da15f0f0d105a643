"""``claude-mem hook`` as a coding agent runs it: a process, JSON on stdin, a real server or none."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from claude_mem.client import hook_events, transcript
from claude_mem.client.hook_log import LOG_BYTES, HookLog
from claude_mem.client.settings import data_dir
from claude_mem.client.spool import Spool
from tests.support.hook_program import PATIENT, PROGRAM
from tests.support.ports import free_port
from tests.support.processes import wait_until
from tests.unit.client.recording_server import Answer, RecordingServer, Request

KEY = "cmem_0123456789abcdef0123456789abcdef"
SESSION = "5f0c1c3e-7f0a-4b1e-9a53-2d8f6f1b7c90"
SETTLED = {"CLAUDE_MEM_SERVER_API_KEY": KEY, "CLAUDE_MEM_SERVER_PROJECT_ID": "p1"}
#: Seconds for a process, on a machine that has other things to do.
PATIENCE_S = 300


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[RecordingServer]:
    with RecordingServer() as running:
        monkeypatch.setenv("CLAUDE_MEM_SERVER_URL", running.url)
        for name, value in SETTLED.items():
            monkeypatch.setenv(name, value)
        yield running


def hook(
    document: dict[str, Any] | bytes, *arguments: str, patient: bool = True, expect_output: bool = False
) -> subprocess.CompletedProcess[bytes]:
    raw = document if isinstance(document, bytes) else json.dumps(document).encode()
    done = subprocess.run(
        [*(PATIENT if patient else (PROGRAM,)), "hook", *arguments],
        input=raw,
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == b""
    if not expect_output:
        assert done.stdout == b""
    return done


def log_text() -> str:
    path = data_dir() / "logs" / "hook.log"
    return path.read_text(encoding="utf-8") if path.exists() else ""


def waiting() -> list[dict[str, Any]]:
    spool = Spool(data_dir())
    operations = [spool.read(entry) for entry in spool.entries()]
    return [operation for operation in operations if operation is not None]


def tool_use(number: int, session: str = SESSION) -> dict[str, Any]:
    return {
        "session_id": session,
        "transcript_path": "/nowhere.jsonl",
        "cwd": "/home/dev/orders-service",
        "permission_mode": "default",
        "hook_event_name": "PostToolUse",
        "tool_name": "Bash",
        "tool_input": {"command": "ls"},
        "tool_response": {"stdout": "README.md\n", "interrupted": False},
        "tool_use_id": f"toolu_{number}",
    }


def write_transcript(path: Path, records: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def said(uuid: str, text: str, **more: Any) -> dict[str, Any]:
    content = [{"type": "text", "text": text}]
    return {"type": "assistant", "uuid": uuid, "message": {"id": f"msg_{uuid}", "content": content}, **more}


def asked(text: str) -> dict[str, Any]:
    return {"type": "user", "uuid": "u", "message": {"role": "user", "content": text}}


def test_a_prompt_starts_the_session(server: RecordingServer) -> None:
    document = {
        "session_id": SESSION,
        "cwd": "/home/dev/orders-service",
        "hook_event_name": "UserPromptSubmit",
        "prompt": "Fix the test",
    }
    hook(document)
    request, said = server.requests
    assert (request.method, request.path) == ("POST", "/v1/sessions/start")
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["content-type"] == "application/json"
    assert request.body == {
        "projectId": "p1",
        "externalSessionId": SESSION,
        "contentSessionId": SESSION,
        "agentId": None,
        "agentType": None,
        "platformSource": "claude",
        "metadata": {"project": "orders-service", "prompt": "Fix the test"},
    }
    assert (said.method, said.path) == ("POST", "/v1/events")
    event = dict(said.body)
    assert event.pop("occurredAtEpoch") > 1_700_000_000_000
    assert re.fullmatch("[0-9a-f]{32}", event.pop("sourceEventId"))
    assert event == {
        "projectId": "p1",
        "contentSessionId": SESSION,
        "platformSource": "claude",
        "sourceType": "hook",
        "eventType": "user_prompt",
        "serverSessionId": None,
        "payload": {"prompt": "Fix the test"},
    }
    assert waiting() == []


@pytest.mark.parametrize("prompt", [None, "", "  ", 7])
def test_a_prompt_without_words_is_no_event(server: RecordingServer, prompt: object) -> None:
    hook({"session_id": SESSION, "cwd": "/w", "hook_event_name": "UserPromptSubmit", "prompt": prompt})
    assert server.calls == [("POST", "/v1/sessions/start")]


def test_the_same_words_said_twice_are_two_events(server: RecordingServer) -> None:
    for _ in range(2):
        hook({"session_id": SESSION, "cwd": "/w", "hook_event_name": "UserPromptSubmit", "prompt": "Go on"})
    ids = {request.body["sourceEventId"] for request in server.requests if request.path == "/v1/events"}
    assert len(ids) == 2


def test_a_tool_use_is_an_event_with_the_calls_own_id(server: RecordingServer) -> None:
    before = time.time() * 1000
    hook({**tool_use(1), "agent_id": "a1", "agent_type": "Explore"})
    (request,) = server.requests
    assert request.path == "/v1/events"
    body = dict(request.body)
    assert before - 1 <= body.pop("occurredAtEpoch") <= time.time() * 1000
    assert body == {
        "projectId": "p1",
        "contentSessionId": SESSION,
        "platformSource": "claude",
        "sourceType": "hook",
        "sourceEventId": "toolu_1",
        "eventType": "tool_use",
        "serverSessionId": None,
        "payload": {
            "tool_name": "Bash",
            "tool_input": {"command": "ls"},
            "tool_response": {"stdout": "README.md\n", "interrupted": False},
            "cwd": "/home/dev/orders-service",
            "agentId": "a1",
            "agentType": "Explore",
            "platformSource": "claude",
        },
    }


def test_stop_sends_the_last_words_and_ends_the_session(server: RecordingServer) -> None:
    hook({"session_id": SESSION, "hook_event_name": "Stop", "cwd": "/w", "last_assistant_message": "Done."})
    assert [path for _, path in server.calls] == [
        "/v1/sessions/start",
        "/v1/events",
        f"/v1/sessions/ses-{SESSION}/end",
    ]
    event = server.requests[1].body
    assert event["eventType"] == "assistant_message"
    assert event["payload"] == {"last_assistant_message": "Done.", "platformSource": "claude"}
    assert event["serverSessionId"] == f"ses-{SESSION}"


@pytest.mark.parametrize("given", [None, "It was\nthe relay."])
def test_stop_reads_the_transcript(server: RecordingServer, tmp_path: Path, given: str | None) -> None:
    path = write_transcript(
        tmp_path / "t.jsonl",
        [
            asked("Why?"),
            said("a1", "Looking."),
            said("a2", "It was", message={"id": "m2", "content": [{"type": "text", "text": "It was"}]}),
            said(
                "a3", "the relay.", message={"id": "m2", "content": [{"type": "text", "text": "the relay."}]}
            ),
            said("a4", "a subagent's", isSidechain=True),
        ],
    )
    document = {"session_id": SESSION, "hook_event_name": "Stop", "transcript_path": str(path)}
    hook(document if given is None else {**document, "last_assistant_message": given})
    assert server.events[0]["payload"]["last_assistant_message"] == "It was\nthe relay."
    assert server.events[0]["sourceEventId"] == "a3"


def test_the_hooks_words_win_over_another_answer(server: RecordingServer, tmp_path: Path) -> None:
    path = write_transcript(tmp_path / "t.jsonl", [asked("One?"), said("a1", "Looking.")])
    document = {"session_id": SESSION, "hook_event_name": "Stop", "transcript_path": str(path)}
    hook({**document, "last_assistant_message": "Done."})
    assert server.events[0]["payload"]["last_assistant_message"] == "Done."
    assert server.source_ids() != ["a1"]


def test_a_transcript_that_is_behind_gives_no_id(server: RecordingServer, tmp_path: Path) -> None:
    path = write_transcript(tmp_path / "t.jsonl", [asked("One?"), said("a1", "Done."), asked("Two?")])
    document = {"session_id": SESSION, "hook_event_name": "Stop", "transcript_path": str(path)}
    hook({**document, "last_assistant_message": "Done."})
    assert server.source_ids() != ["a1"]
    assert len(server.events) == 1


def test_the_transcripts_tail_is_bounded(tmp_path: Path) -> None:
    path = write_transcript(tmp_path / "t.jsonl", [said("a0", "x" * 5000), said("a1", "last")])
    records = transcript.tail_records(path, max_bytes=2000)
    assert [record["uuid"] for record in records] == ["a1"]
    assert transcript.tail_records(tmp_path / "missing") == []


@pytest.mark.parametrize(
    "name", ["PreToolUse", "Notification", "PreCompact", "SubagentStop", "SessionEnd", "New"]
)
def test_other_events_send_nothing(server: RecordingServer, name: str) -> None:
    hook({"session_id": SESSION, "hook_event_name": name, "cwd": "/w"})
    assert server.requests == []


def test_the_event_may_be_an_argument(server: RecordingServer) -> None:
    document = {key: value for key, value in tool_use(1).items() if key != "hook_event_name"}
    hook(document, "post-tool-use", "--project-id", "p2")
    hook({**document, "tool_use_id": "toolu_2"}, "--project-id=p3", "PostToolUse", "--unknown")
    assert [event["projectId"] for event in server.events] == ["p2", "p3"]


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"[]", b'"x"', b'{"hook_event_name": "PostToolUse"}', b"\xff\xfe", b"[" * 100_000]
)
def test_bad_input_is_logged_and_never_fails(server: RecordingServer, raw: bytes) -> None:
    hook(raw)
    assert server.requests == []
    assert "hook failed" in log_text()


def test_what_no_database_takes_is_replaced(server: RecordingServer) -> None:
    raw = json.dumps({**tool_use(1), "tool_response": {"stdout": "a\0b\ud800c\U0001f600"}}).encode()
    hook(raw.replace(b'"Bash"', b"NaN"))
    payload = server.events[0]["payload"]
    assert payload["tool_response"] == {"stdout": "a\ufffdb\ufffdc\U0001f600"}
    assert payload["tool_name"] is None


def test_a_huge_result_is_shortened_below_the_servers_limit(server: RecordingServer) -> None:
    hook({**tool_use(1), "tool_response": {"stdout": "x" * 6_000_000, "exitCode": 0}})
    response = server.events[0]["payload"]["tool_response"]
    assert response["exitCode"] == 0
    assert response["stdout"].endswith(hook_events.TRUNCATION_MARK)
    assert len(response["stdout"]) < 100_000


def test_a_session_starts_with_what_matters(server: RecordingServer, tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "HEAD").write_text("ref: refs/heads/retry-budget\n", encoding="utf-8")
    server.context = "Use the outbox."
    document = {
        "session_id": SESSION,
        "cwd": str(tmp_path),
        "hook_event_name": "SessionStart",
        "source": "startup",
    }
    output = json.loads(hook(document, expect_output=True).stdout)["hookSpecificOutput"]
    assert output["hookEventName"] == "SessionStart"
    assert output["additionalContext"].endswith("Use the outbox.")
    body = server.requests[0].body
    assert body["projectId"] == "p1"
    assert body["query"].split() == [tmp_path.name, "retry-budget"]


def test_a_session_starts_with_the_newest_if_nothing_matches(server: RecordingServer) -> None:
    server.memories = [{"id": "o1", "content": "Newest."}, {"id": "o2", "content": "Older. " * 3000}]
    document = {"session_id": SESSION, "cwd": "/w/x", "hook_event_name": "SessionStart"}
    output = json.loads(hook(document, expect_output=True).stdout)
    text = output["hookSpecificOutput"]["additionalContext"]
    assert "Newest." in text
    assert len(text) < 10_000


def test_no_memory_prints_nothing(server: RecordingServer) -> None:
    hook({"session_id": SESSION, "cwd": "/w/x", "hook_event_name": "SessionStart"})
    assert server.calls == [("POST", "/v1/context"), ("GET", "/v1/memories")]


def test_without_a_project_the_servers_only_one_is_used(
    server: RecordingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CLAUDE_MEM_SERVER_PROJECT_ID")
    server.context = "Known."
    hook({"session_id": SESSION, "cwd": "/w", "hook_event_name": "SessionStart"}, expect_output=True)
    assert server.requests[-1].body["projectId"] == "only"
    hook(tool_use(1))
    assert server.events[0]["projectId"] == "only"
    server.rule = lambda request: Answer(200, {"projects": []}) if request.path == "/v1/projects" else None
    hook(tool_use(2))
    assert len(waiting()) == 1
    assert "CLAUDE_MEM_SERVER_PROJECT_ID" in log_text()


def test_nothing_is_lost_without_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    monkeypatch.setenv("CLAUDE_MEM_SERVER_URL", f"http://127.0.0.1:{port}")
    for name, value in SETTLED.items():
        monkeypatch.setenv(name, value)
    hook({"session_id": SESSION, "cwd": "/w/x", "hook_event_name": "SessionStart"})
    hook({"session_id": SESSION, "cwd": "/w/x", "hook_event_name": "UserPromptSubmit", "prompt": "p"})
    for number in range(3):
        hook(tool_use(number))
    hook({"session_id": SESSION, "hook_event_name": "Stop", "cwd": "/w/x", "last_assistant_message": "Done."})
    kept = waiting()
    assert [operation["op"] for operation in kept] == ["start", *["event"] * 4, "start", "event", "end"]
    assert "wait for the server" in log_text()
    assert KEY not in log_text()
    times = {operation["body"]["occurredAtEpoch"] for operation in kept if operation["op"] == "event"}
    with RecordingServer(port=port) as server:
        hook(tool_use(9, session="another"))
        assert server.calls == [
            ("POST", "/v1/sessions/start"),
            ("POST", "/v1/events/batch"),
            ("POST", "/v1/sessions/start"),
            ("POST", "/v1/events"),
            ("POST", f"/v1/sessions/ses-{SESSION}/end"),
            ("POST", "/v1/events"),
        ]
        assert [event["eventType"] for event in server.events[:5]] == [
            "user_prompt",
            *["tool_use"] * 3,
            "assistant_message",
        ]
        assert server.source_ids()[1:4] == ["toolu_0", "toolu_1", "toolu_2"]
        assert {event["occurredAtEpoch"] for event in server.events[:5]} == times
    assert waiting() == []


def test_a_server_that_hangs_does_not_hold_the_agent(server: RecordingServer) -> None:
    release = threading.Event()

    def rule(_: Request) -> Answer | None:
        release.wait(PATIENCE_S)
        return None

    server.rule = rule

    def is_kept() -> bool:
        """Whether the hook got as far as to keep it: it ends itself when its time is over."""
        hook(tool_use(1), patient=False)
        return bool(waiting())

    try:
        wait_until(is_kept, what="the event to be kept", timeout=PATIENCE_S)
        assert {operation["body"]["sourceEventId"] for operation in waiting()} == {"toolu_1"}
    finally:
        release.set()


def test_an_agent_that_never_closes_stdin_is_not_waited_for() -> None:
    with subprocess.Popen([PROGRAM, "hook"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.wait(PATIENCE_S) == 0


def test_the_alarm_does_not_ring_when_all_is_done() -> None:
    """On its way out the interpreter has no handler left, and the signal would look like a crash to the agent."""
    program = (
        "import signal; from claude_mem.client import hook; hook.run([]);"
        " print(signal.getitimer(signal.ITIMER_REAL))"
    )
    done = subprocess.run([sys.executable, "-c", program], input=b"{}", capture_output=True, check=True)
    assert done.stdout.strip() == b"(0.0, 0.0)"


def test_an_agent_that_stopped_listening_is_no_failure(server: RecordingServer) -> None:
    server.context = "Known."
    read_end, write_end = os.pipe()
    os.close(read_end)
    document = json.dumps({"session_id": SESSION, "cwd": "/w", "hook_event_name": "SessionStart"}).encode()
    with os.fdopen(write_end, "wb") as out:
        done = subprocess.run(
            [PROGRAM, "hook"],
            input=document,
            stdout=out,
            stderr=subprocess.PIPE,
            timeout=PATIENCE_S,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_data_directory_that_cannot_be_is_no_failure(
    server: RecordingServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("CLAUDE_MEM_DATA_DIR", str(tmp_path / "file" / "below"))
    hook(tool_use(1))
    monkeypatch.setenv("CLAUDE_MEM_DATA_DIR", "~nobody-of-this-name/x")
    hook(tool_use(2))


def test_settings_that_cannot_be_read_keep_everything(
    server: RecordingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = data_dir() / "settings.json"
    path.parent.mkdir(parents=True)
    path.write_text("{", encoding="utf-8")
    url = os.environ["CLAUDE_MEM_SERVER_URL"]
    monkeypatch.delenv("CLAUDE_MEM_SERVER_URL")
    hook(tool_use(1))
    assert (len(waiting()), server.requests) == (1, [])
    assert str(path) in log_text()
    monkeypatch.setenv("CLAUDE_MEM_SERVER_URL", url)
    monkeypatch.setenv("CLAUDE_MEM_RUNTIME", "worker")
    hook(tool_use(2))
    assert (len(waiting()), server.requests) == (2, [])
    assert "'worker'" in log_text()
    monkeypatch.delenv("CLAUDE_MEM_RUNTIME")
    hook(tool_use(3))
    assert server.source_ids() == ["toolu_1", "toolu_2", "toolu_3"]


def test_a_spool_that_cannot_be_written_still_sends(server: RecordingServer) -> None:
    data_dir().mkdir(parents=True)
    (data_dir() / "spool").write_text("in the way", encoding="utf-8")
    hook(tool_use(1))
    assert server.source_ids() == ["toolu_1"]
    assert "spool cannot be written" in log_text()


def test_nothing_heavy_is_imported() -> None:
    probe = (
        "import sys, io\n"
        "from claude_mem.cli import main\n"
        "sys.argv = ['claude-mem', 'hook']\n"
        "assert main.main() == 0\n"
        "print(*sys.modules)\n"
    )
    document = json.dumps({"session_id": SESSION, "cwd": "/w", "hook_event_name": "SessionStart"})
    # Measuring coverage in the child would import what the hook does not.
    plain = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    done = subprocess.run(
        [sys.executable, "-c", probe],
        input=document,
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE_S,
        env=plain,
    )
    roots = {name.partition(".")[0] for name in done.stdout.split()}
    heavy = {"typer", "click", "rich", "pydantic", "pydantic_core", "httpx", "asyncio", "aiohttp", "orjson"}
    assert roots & heavy == set()
    assert roots & {"logging", "inspect", "dataclasses"} == set()
    outside = {name for name in roots if name not in sys.stdlib_module_names and not name.startswith("_")}
    assert outside <= {"claude_mem", "sitecustomize"}


def test_the_log_is_bounded_and_private() -> None:
    log = HookLog(data_dir())
    for _ in range(40):
        log.write("x" * (LOG_BYTES // 16) + "\nsecond line")
    files = sorted(path.name for path in log.path.parent.iterdir())
    assert files == ["hook.log", "hook.log.1"]
    assert all(path.stat().st_size < LOG_BYTES * 1.2 for path in log.path.parent.iterdir())
    assert log.path.stat().st_mode & 0o777 == 0o600
    assert all("x" in line for line in log.path.read_text(encoding="utf-8").splitlines())


def test_the_recorded_session_replays(server: RecordingServer) -> None:
    recording = Path(__file__).parents[3] / "examples" / "session" / "hooks.jsonl"
    lines = recording.read_text(encoding="utf-8").splitlines()
    for line in lines:
        hook(line.encode())
    documents = [json.loads(line) for line in lines]
    expected = [
        document["tool_use_id"] for document in documents if document["hook_event_name"] == "PostToolUse"
    ]
    sent = [event["sourceEventId"] for event in server.events if event["eventType"] == "tool_use"]
    assert sent == expected
    wait_until(lambda: not waiting(), what="an empty spool", timeout=PATIENCE_S)
