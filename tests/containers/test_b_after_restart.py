"""The end-to-end checklist from the restart on: S5 to S7, P1 to P4 once more, Q1 to Q3, and what was kept."""

from __future__ import annotations

import json

import pytest

from tests.containers.conftest import Before
from tests.containers.stack import Stack
from tests.support import checklist
from tests.support.checklist import SERVER, Keys

pytestmark = pytest.mark.usefixtures("restarted")


def test_s5_the_revoked_key_is_listed_as_such(stack: Stack, keys: Keys) -> None:
    listed = json.loads(stack.exec(SERVER, "claude-mem", "server", "api-key", "list").stdout)["keys"]
    assert {key["id"]: key["status"] for key in listed}[keys.doomed_id] == "revoked"


def test_s6_no_legacy_process_runs_after_the_restart(stack: Stack) -> None:
    checklist.check_processes(stack)


def test_s7_p1_to_p4_hold_after_the_restart(stack: Stack) -> None:
    checklist.check_ready(stack)
    checklist.check_queue_health(stack)
    checklist.check_info(stack)
    checklist.check_valkey_ping(stack)


def test_q1_the_revoked_key_is_refused(stack: Stack, keys: Keys) -> None:
    body = {"projectId": keys.project, "contentSessionId": "revoked"}
    assert stack.call("POST", "/v1/sessions/start", keys.doomed, body).status_code == 403


def test_q2_a_session_starts(stack: Stack, keys: Keys) -> None:
    checklist.start_session(stack, keys, "second")


def test_q3_an_event_is_waited_for(stack: Stack, keys: Keys) -> None:
    assert checklist.post_and_wait(stack, keys, "second")["generationJob"]["status"] == "completed"


def test_what_was_stored_before_the_restart_is_still_read(
    stack: Stack, keys: Keys, restarted: Before
) -> None:
    assert stack.ok("GET", f"/v1/events/{restarted.event}", keys.read)["event"]["id"] == restarted.event
    assert stack.ok("GET", f"/v1/sessions/{restarted.session}", keys.read)["session"]["id"]
    found = stack.ok("GET", f"/v1/events/{restarted.event}/observations", keys.read)["observations"]
    assert [observation["id"] for observation in found] == [restarted.observation]
    search = {"projectId": keys.project, "query": "kept across restarts"}
    hits = stack.ok("POST", "/v1/search", keys.read, search)["observations"]
    assert restarted.memory in {hit["id"] for hit in hits}


def test_the_same_event_again_is_the_same_event(stack: Stack, keys: Keys, restarted: Before) -> None:
    again = checklist.post_and_wait(stack, keys, "before-the-restart")
    assert again["event"]["id"] == restarted.event
    found = stack.ok("GET", f"/v1/events/{restarted.event}/observations", keys.read)["observations"]
    assert [observation["id"] for observation in found] == [restarted.observation]
