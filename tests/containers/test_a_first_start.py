"""The end-to-end checklist up to the restart: S1 to S4 and P1 to P12, and S8."""

from __future__ import annotations

from typing import Any

import pytest

from tests.containers.stack import SERVICES, Stack
from tests.support import checklist
from tests.support.checklist import FULL_SCOPES, READ_SCOPES, SERVER, Keys, make_key
from tests.support.processes import wait_until

_INSIDE = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:37877/healthz', timeout=60).status)"


@pytest.fixture(scope="module")
def session(stack: Stack, keys: Keys) -> dict[str, Any]:
    return checklist.start_session(stack, keys, "first")


@pytest.fixture(scope="module")
def waited(stack: Stack, keys: Keys) -> dict[str, Any]:
    return checklist.post_and_wait(stack, keys, "first")


def test_s1_the_stack_comes_up_and_the_server_answers_in_its_container(stack: Stack) -> None:
    assert stack.output(SERVER, "python", "-c", _INSIDE).strip() == "200"
    for service in SERVICES:
        assert len(stack.containers(service, running=True)) == 1, service


def test_s2_no_service_is_called_worker(stack: Stack) -> None:
    services = set(stack.compose("config", "--services").stdout.split())
    assert services == {*SERVICES, "fake-llm"}


def test_s2_no_legacy_process_runs(stack: Stack) -> None:
    checklist.check_processes(stack)


@pytest.mark.parametrize("scopes", [FULL_SCOPES, READ_SCOPES])
def test_s3_a_key_is_made_in_the_container_and_printed_as_one_document(stack: Stack, scopes: str) -> None:
    made = make_key(stack, "checklist", scopes)
    assert set(made) == {"id", "key", "name", "teamId", "projectId", "scopes"}
    assert made["scopes"] == scopes.split(",")


def test_s3_keys_made_without_a_project_share_one(keys: Keys, stack: Stack) -> None:
    assert make_key(stack, "another", READ_SCOPES)["projectId"] == keys.project


def test_p1_the_server_is_ready(stack: Stack) -> None:
    checklist.check_ready(stack)


def test_p2_health_reports_the_queue(stack: Stack) -> None:
    checklist.check_queue_health(stack)


def test_p3_info_reports_the_runtime_the_schema_and_the_queue(stack: Stack) -> None:
    checklist.check_info(stack)


def test_p4_valkey_answers_a_raw_ping(stack: Stack) -> None:
    checklist.check_valkey_ping(stack)


def test_p5_to_p7_callers_without_the_right_key_are_refused(stack: Stack, keys: Keys) -> None:
    checklist.check_strangers_are_refused(stack, keys)


def test_p8_a_session_starts(session: dict[str, Any]) -> None:
    assert session["platformSource"] == "docker-e2e"


def test_p9_an_event_is_waited_for_until_its_observation_is_there(
    stack: Stack, keys: Keys, waited: dict[str, Any]
) -> None:
    assert waited["generationJob"]["status"] == "completed"
    assert "waitTimedOut" not in waited
    found = stack.ok("GET", f"/v1/events/{waited['event']['id']}/observations", keys.read)["observations"]
    assert len(found) == 1


def test_p10_the_event_can_be_read(stack: Stack, keys: Keys, waited: dict[str, Any]) -> None:
    event = stack.ok("GET", f"/v1/events/{waited['event']['id']}", keys.read)["event"]
    assert event["payload"]["mark"] == "first"


def test_p11_the_job_can_be_read(stack: Stack, keys: Keys, waited: dict[str, Any]) -> None:
    job = stack.ok("GET", f"/v1/jobs/{waited['generationJob']['id']}", keys.read)["generationJob"]
    assert job["status"] == "completed"


def test_p12_the_session_ends_and_is_summarised(stack: Stack, keys: Keys, session: dict[str, Any]) -> None:
    ended = stack.ok("POST", f"/v1/sessions/{session['id']}/end", keys.full, {})
    job = ended["generationJob"]["id"]

    def completed() -> bool:
        found = stack.ok("GET", f"/v1/jobs/{job}", keys.full)["generationJob"]
        return bool(found["status"] == "completed")

    wait_until(completed, what="the summary", timeout=300)


def test_s8_local_development_is_refused_in_a_container(stack: Stack) -> None:
    chosen = ("CLAUDE_MEM_AUTH_MODE=local-dev", "CLAUDE_MEM_ALLOW_LOCAL_DEV_BYPASS=1")
    options = [part for variable in chosen for part in ("-e", variable)]
    refused = stack.compose("run", "--rm", "--no-deps", "-T", *options, SERVER, check=False)
    assert refused.code != 0
    assert "local-dev is not allowed in Docker" in refused.stderr
