"""What waits is kept: bounded, in order, through crashes, concurrency and every kind of refusal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from claude_mem.client import delivery as delivery_module
from claude_mem.client.delivery import Delivery
from claude_mem.client.hook_events import event_body, message_payload, start_body
from claude_mem.client.sender import Sender
from claude_mem.client.settings import data_dir
from claude_mem.client.spool import Spool
from tests.support.hook_program import PATIENT, PROGRAM
from tests.support.ports import free_port
from tests.support.processes import wait_until
from tests.unit.client.recording_server import Answer, RecordingServer, Request

#: Seconds for anything, on a machine that has other things to do.
PATIENCE_S = 240.0


def event(
    number: int, *, session: str = "s1", project: str | None = "p1", linked: bool = False
) -> dict[str, Any]:
    body = event_body(session, "tool_use", {"n": number}, source_id=f"{session}-{number}")
    operation = {"op": "event", "session": session, "project": project, "body": body}
    return {**operation, "linked": True} if linked else operation


def start(session: str = "s1") -> dict[str, Any]:
    return {"op": "start", "session": session, "project": "p1", "body": start_body(session, {"cwd": "/w"})}


def end(session: str = "s1") -> dict[str, Any]:
    return {"op": "end", "session": session, "project": "p1"}


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path)


@pytest.fixture
def server() -> Iterator[RecordingServer]:
    with RecordingServer() as running:
        yield running


def deliver(spool: Spool, server: RecordingServer, *, log: list[str] | None = None) -> Delivery:
    sender = Sender(server.url, "", deadline=time.monotonic() + PATIENCE_S, request_seconds=PATIENCE_S)
    made = Delivery(sender, project_id="p1", log=(log if log is not None else []).append)
    made.run(spool)
    sender.close()
    return made


def kept(spool: Spool) -> list[str]:
    operations = [spool.read(entry) for entry in spool.entries()]
    return [
        operation["body"]["sourceEventId"] if operation["op"] == "event" else operation["op"]
        for operation in operations
        if operation is not None
    ]


def test_entries_come_back_in_order_and_private(spool: Spool) -> None:
    spool.append([event(number) for number in range(3)])
    spool.append([event(3)])
    assert kept(spool) == [f"s1-{number}" for number in range(4)]
    assert spool.directory.stat().st_mode & 0o777 == 0o700
    modes = {path.stat().st_mode & 0o777 for path in spool.directory.iterdir()}
    assert modes == {0o600}
    sizes = {entry.size == (spool.directory / entry.name).stat().st_size for entry in spool.entries()}
    assert sizes == {True}


def test_order_holds_when_the_clock_goes_back(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    spool.append([event(1)])
    monkeypatch.setattr(time, "time_ns", lambda: 5)
    spool.append([event(2)])
    assert kept(spool) == ["s1-1", "s1-2"]


def test_the_number_of_entries_is_bounded(tmp_path: Path) -> None:
    spool = Spool(tmp_path, max_entries=3)
    lost = [spool.append([event(number)]) for number in range(5)]
    assert lost == [0, 0, 0, 1, 1]
    assert kept(spool) == ["s1-2", "s1-3", "s1-4"]


def test_the_size_is_bounded(tmp_path: Path) -> None:
    size = len(json.dumps(event(1), separators=(",", ":")))
    spool = Spool(tmp_path, max_bytes=2 * size + 10)
    assert spool.append([event(number) for number in range(5)]) == 3
    assert kept(spool) == ["s1-3", "s1-4"]


def test_what_a_crash_left_half_written_is_no_entry(spool: Spool, server: RecordingServer) -> None:
    spool.append([event(1)])
    (spool.directory / "unfinished").write_bytes(b'{"op": "ev')
    (spool.directory / "00000000000000000001-7.json").write_bytes(b'{"op": ')
    (spool.directory / "notes.txt").write_bytes(b"")
    assert len(spool.entries()) == 2
    deliver(spool, server)
    assert server.source_ids() == ["s1-1"]
    assert spool.entries() == []
    spool.append([event(2)])
    assert not (spool.directory / "unfinished").exists()


def test_an_empty_or_missing_spool_costs_no_request(spool: Spool, server: RecordingServer) -> None:
    deliver(spool, server)
    spool.append([event(1)])
    deliver(spool, server)
    deliver(spool, server)
    assert len(server.requests) == 1


def test_a_session_is_delivered_with_the_servers_id(spool: Spool, server: RecordingServer) -> None:
    spool.append([start(), event(1), event(2, linked=True), end()])
    done = deliver(spool, server)
    assert done.delivered == 4
    paths = [path for _, path in server.calls]
    assert paths == ["/v1/sessions/start", "/v1/events", "/v1/events", "/v1/sessions/ses-s1/end"]
    assert [each.get("serverSessionId") for each in server.events] == [None, "ses-s1"]


def test_an_end_alone_finds_its_session_again(spool: Spool, server: RecordingServer) -> None:
    server.sessions["s1"] = "known"
    spool.append([end()])
    deliver(spool, server)
    assert server.ended == ["known"]


def test_consecutive_events_go_as_batches(spool: Spool, server: RecordingServer) -> None:
    count = delivery_module.BATCH_EVENTS + 5
    spool.append([event(number) for number in range(count)])
    spool.append([event(1, session="s2", project="p2")])
    deliver(spool, server)
    assert [path for _, path in server.calls] == ["/v1/events/batch", "/v1/events/batch", "/v1/events"]
    assert server.source_ids("s1") == [f"s1-{number}" for number in range(count)]
    assert [each["projectId"] for each in server.events[-1:]] == ["p2"]


@pytest.mark.parametrize("status", [401, 408, 425, 429, 502, 503, 504, 302, 200, 404])
def test_an_answer_that_may_change_keeps_everything(
    spool: Spool, server: RecordingServer, status: int
) -> None:
    server.rule = lambda _: Answer(status, "<html>not ours</html>")
    spool.append([start(), event(1, linked=True), end()])
    done = deliver(spool, server)
    assert done.stopped is not None
    assert len(server.requests) == 1
    assert kept(spool) == ["start", "s1-1", "end"]
    server.rule = None
    deliver(spool, server)
    assert (kept(spool), server.source_ids(), server.ended) == ([], ["s1-1"], ["ses-s1"])


def test_a_server_url_with_a_path_too_many_loses_nothing(spool: Spool, server: RecordingServer) -> None:
    spool.append([event(1)])
    server.url += "/v1"
    made = deliver(spool, server)
    assert made.stopped == "404 Cannot POST /v1/v1/events"
    assert kept(spool) == ["s1-1"]


@pytest.mark.parametrize("status", [400, 404, 409, 413, 415, 422])
def test_a_refusal_for_good_is_dropped_with_its_reason(
    spool: Spool, server: RecordingServer, status: int
) -> None:
    def rule(request: Request) -> Answer | None:
        bodies = request.body if isinstance(request.body, list) else [request.body]
        bad = any(body.get("sourceEventId") == "s1-2" for body in bodies)
        return Answer(status, {"error": "Nope", "message": "because"}) if bad else None

    server.rule = rule
    spool.append([event(number) for number in range(1, 5)])
    log: list[str] = []
    done = deliver(spool, server, log=log)
    assert server.source_ids() == ["s1-1", "s1-3", "s1-4"]
    assert (done.delivered, done.dropped, kept(spool)) == (3, 1, [])
    assert len(log) == 1
    assert "s1-2" in log[0]
    assert f"{status} because" in log[0]


@pytest.mark.parametrize("status", [402, 403])
def test_a_refused_project_waits_and_others_go_on(spool: Spool, server: RecordingServer, status: int) -> None:
    def rule(request: Request) -> Answer | None:
        bodies = request.body if isinstance(request.body, list) else [request.body]
        refused = any(body.get("projectId") == "theirs" for body in bodies)
        return Answer(status, {"error": "Forbidden", "message": "not yours"}) if refused else None

    server.rule = rule
    theirs = [event(number, session="s9", project="theirs") for number in range(3)]
    spool.append([*theirs, event(1), event(2)])
    deliver(spool, server)
    assert server.source_ids() == ["s1-1", "s1-2"]
    assert kept(spool) == ["s9-0", "s9-1", "s9-2"]
    server.rule = None
    deliver(spool, server)
    assert server.source_ids("s9") == ["s9-0", "s9-1", "s9-2"]


def test_an_event_that_breaks_the_server_holds_up_its_session_only(
    spool: Spool, server: RecordingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rule(request: Request) -> Answer | None:
        bodies = request.body if isinstance(request.body, list) else [request.body]
        bad = any(body.get("sourceEventId") == "s1-1" for body in bodies)
        return Answer(500, {"error": "InternalError", "message": "oops"}) if bad else None

    server.rule = rule
    spool.append([event(0), event(1), event(2), event(0, session="s2"), event(3)])
    deliver(spool, server)
    assert server.source_ids() == ["s1-0", "s2-0"]
    assert kept(spool) == ["s1-1", "s1-2", "s1-3"]
    monkeypatch.setattr(delivery_module, "SERVER_ERROR_PATIENCE", 0.0)
    assert deliver(spool, server).dropped == 1
    assert server.source_ids("s1") == ["s1-0", "s1-2", "s1-3"]


def test_a_server_that_fails_every_time_is_left_alone(spool: Spool, server: RecordingServer) -> None:
    server.rule = lambda _: Answer(500, {"error": "InternalError", "message": "oops"})
    spool.append([start(f"s{number}") for number in range(10)])
    assert deliver(spool, server).stopped is not None
    assert len(server.requests) == delivery_module.SERVER_ERRORS_TOLERATED
    assert len(kept(spool)) == 10


def test_only_one_process_delivers(spool: Spool, server: RecordingServer) -> None:
    spool.append([event(1)])
    with spool.delivering() as mine:
        assert mine
        assert deliver(spool, server).delivered == 0
    assert server.requests == []
    assert deliver(spool, server).delivered == 1


def test_what_is_added_while_delivering_is_delivered_too(spool: Spool, server: RecordingServer) -> None:
    def rule(request: Request) -> None:
        if len(server.requests) < 4:
            spool.append([event(len(server.requests))])

    server.rule = rule
    spool.append([event(0)])
    deliver(spool, server)
    assert server.source_ids() == ["s1-0", "s1-1", "s1-2", "s1-3"]


class LateSpool(Spool):
    """Another process adds one entry just before the right to deliver is let go, and goes away."""

    late = True

    @contextmanager
    def delivering(self, *, blocking: bool = False) -> Iterator[bool]:
        with super().delivering(blocking=blocking) as mine:
            yield mine
            if self.late:
                self.late = False
                self.append([event(2)])


def test_what_is_added_at_the_last_moment_is_not_left(tmp_path: Path, server: RecordingServer) -> None:
    spool = LateSpool(tmp_path)
    spool.append([event(1)])
    deliver(spool, server)
    assert server.source_ids() == ["s1-1", "s1-2"]


def test_a_connection_the_server_closed_is_opened_again(server: RecordingServer) -> None:
    sender = Sender(server.url, "", deadline=time.monotonic() + PATIENCE_S, request_seconds=PATIENCE_S)
    server.rule = lambda _: Answer(200, {"ok": True}, {"Connection": "close"})
    assert sender.request("GET", "/a").accepted
    assert sender.request("GET", "/b").accepted
    sender.close()


def run(*arguments: str, env: dict[str, str], stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    program = PATIENT if arguments[0] == "hook" else (PROGRAM,)
    return subprocess.run(
        [*program, *arguments],
        input=stdin,
        env={**os.environ, **env},
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
    )


def test_twenty_hooks_at_once_lose_nothing() -> None:
    port = free_port()
    env = {"CLAUDE_MEM_SERVER_URL": f"http://127.0.0.1:{port}", "CLAUDE_MEM_SERVER_PROJECT_ID": "p1"}
    down_first = threading.Barrier(20)

    def agent(number: int) -> None:
        down_first.wait(PATIENCE_S)
        for step in range(3):
            document = {
                "session_id": f"agent-{number}",
                "hook_event_name": "PostToolUse",
                "tool_name": "Bash",
                "tool_use_id": f"agent-{number}-{step}",
            }
            done = run("hook", env=env, stdin=json.dumps(document).encode())
            assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")

    spool = Spool(data_dir())
    with ThreadPoolExecutor(20) as pool:
        agents = [pool.submit(agent, number) for number in range(20)]
        wait_until(lambda: len(spool.entries()) >= 10, what="hooks that found no server", timeout=PATIENCE_S)
        with RecordingServer(port=port) as server:
            for each in agents:
                each.result()
            assert run("spool", "flush", env=env).returncode == 0
            assert sorted(server.source_ids()) == sorted(
                f"agent-{n}-{step}" for n in range(20) for step in range(3)
            )
            for number in range(20):
                assert server.source_ids(f"agent-{number}") == [f"agent-{number}-{step}" for step in range(3)]
            assert _repeats(server) == 0
    assert spool.entries() == []


def _repeats(server: RecordingServer) -> int:
    """How often an event was sent although the server had it."""
    sent: list[str] = []
    for request in server.requests:
        bodies = request.body if isinstance(request.body, list) else [request.body]
        sent += [body["sourceEventId"] for body in bodies if body and "sourceEventId" in body]
    return len(sent) - len(set(sent))


def test_a_kill_between_the_answer_and_forgetting_repeats_nothing_on_the_server() -> None:
    spool = Spool(data_dir())
    operations = [start(), *(event(number, linked=True) for number in range(6))]
    body = event_body("s1", "assistant_message", message_payload("Done."), source_id="said")
    operations += [{**start(), "op": "event", "body": body, "linked": True}, end()]
    spool.append(operations)
    stored, release = threading.Event(), threading.Event()
    with RecordingServer() as server:
        env = {"CLAUDE_MEM_SERVER_URL": server.url, "CLAUDE_MEM_SERVER_PROJECT_ID": "p1"}

        def store_and_stall(request: Request) -> Answer | None:
            if request.body.get("sourceEventId") != "s1-3":
                return None
            answer = server.usual_answer(request)
            stored.set()
            release.wait(PATIENCE_S)
            return answer

        server.rule = store_and_stall
        with subprocess.Popen([PROGRAM, "spool", "flush"], env={**os.environ, **env}) as child:
            assert stored.wait(PATIENCE_S)
            child.send_signal(signal.SIGKILL)
            assert child.wait(PATIENCE_S) == -signal.SIGKILL
        release.set()
        server.rule = None
        assert kept(spool)[0] == "s1-3"
        assert (
            run("hook", env=env, stdin=b'{"hook_event_name": "SessionEnd", "session_id": "s1"}').returncode
            == 0
        )
        assert server.source_ids() == [*(f"s1-{number}" for number in range(6)), "said"]
        assert server.ended == ["ses-s1"]
        assert _repeats(server) == 1
    assert kept(spool) == []


def test_flush_says_what_became_of_it() -> None:
    spool = Spool(data_dir())
    spool.append([event(1), event(2)])
    env = {"CLAUDE_MEM_SERVER_URL": f"http://127.0.0.1:{free_port()}", "CLAUDE_MEM_SERVER_PROJECT_ID": "p1"}
    failed = run("spool", "flush", "--json", env=env)
    assert failed.returncode == 5
    assert json.loads(failed.stdout)["entries"] == 2
    assert b"still wait" in failed.stderr
    status = json.loads(run("spool", "status", "--json", env=env).stdout)
    assert (status["entries"], status["bytes"] > 0) == (2, True)
    with RecordingServer() as server:
        done = run("spool", "flush", "--json", "--server-url", server.url, env=env)
        assert done.returncode == 0
        report = json.loads(done.stdout)
    assert (report["delivered"], report["dropped"], report["entries"]) == (2, 0, 0)
