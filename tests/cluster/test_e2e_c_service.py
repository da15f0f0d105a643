"""The end-to-end checklist through the Service, to and from pods, before and after they are replaced."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cluster.conftest import Sample
from tests.support import checklist
from tests.support.checklist import SERVER, Keys
from tests.support.kube.memory import PATIENCE_S, Memory
from tests.support.processes import wait_until


@pytest.fixture(scope="module")
def waited(memory: Memory, keys: Keys) -> dict[str, Any]:
    return checklist.post_and_wait(memory, keys, "first")


@pytest.fixture(scope="module")
def restarted(memory: Memory, keys: Keys, waited: dict[str, Any]) -> None:
    """A key is revoked, then the pods of the server and the workers are replaced."""
    memory.output(SERVER, "claude-mem", "server", "api-key", "revoke", keys.doomed_id)
    where = ("--namespace", memory.namespace)
    names = [f"deployment/{memory.name}-{component}" for component in ("server", "worker")]
    memory.kubectl(*where, "rollout", "restart", *names)
    for name in names:
        memory.kubectl(*where, "rollout", "status", name, "--timeout=300s", timeout=310)
    memory.settle()


def test_p1_to_p4_the_server_its_queue_and_valkey_answer(memory: Memory) -> None:
    checklist.check_ready(memory)
    checklist.check_queue_health(memory)
    checklist.check_info(memory)
    checklist.check_valkey_ping(memory)


def test_s2_no_legacy_process_runs(memory: Memory) -> None:
    checklist.check_processes(memory)


def test_p5_to_p7_callers_without_the_right_key_are_refused(memory: Memory, keys: Keys) -> None:
    checklist.check_strangers_are_refused(memory, keys)


def test_p9_to_p11_an_event_is_waited_for_until_its_observation_is_there(
    memory: Memory, keys: Keys, waited: dict[str, Any]
) -> None:
    assert waited["generationJob"]["status"] == "completed"
    assert "waitTimedOut" not in waited
    event, job = waited["event"]["id"], waited["generationJob"]["id"]
    assert memory.ok("GET", f"/v1/events/{event}", keys.read)["event"]["payload"]["mark"] == "first"
    assert memory.ok("GET", f"/v1/jobs/{job}", keys.read)["generationJob"]["status"] == "completed"
    assert len(memory.ok("GET", f"/v1/events/{event}/observations", keys.read)["observations"]) == 1


def test_p8_and_p12_a_session_starts_ends_and_is_summarised(memory: Memory, keys: Keys) -> None:
    session = checklist.start_session(memory, keys, "first")
    ended = memory.ok("POST", f"/v1/sessions/{session['id']}/end", keys.full, {})
    job = ended["generationJob"]["id"]

    def completed() -> bool:
        found = memory.ok("GET", f"/v1/jobs/{job}", keys.full)["generationJob"]
        return bool(found["status"] == "completed")

    wait_until(completed, what="the summary", timeout=PATIENCE_S)


def test_the_key_in_the_secret_is_the_key_of_the_project_that_the_resource_names(memory: Memory) -> None:
    data = memory.secret()
    assert data["url"] == memory.get()["status"]["endpoint"]
    (project,) = memory.ok("GET", "/v1/projects", data["api-key"])["projects"]
    assert (project["id"], project["name"]) == (data["project-id"], data["project"])
    assert project["teamId"] == data["team-id"]
    written = {"projectId": data["project-id"], "content": "Written with nothing but the Secret."}
    memory.ok("POST", "/v1/memories", data["api-key"], written, status=201)


@pytest.mark.usefixtures("restarted")
def test_s6_to_q3_all_of_it_holds_after_the_pods_were_replaced(memory: Memory, keys: Keys) -> None:
    checklist.check_processes(memory)
    checklist.check_ready(memory)
    checklist.check_queue_health(memory)
    checklist.check_info(memory)
    checklist.check_valkey_ping(memory)
    body = {"projectId": keys.project, "contentSessionId": "revoked"}
    assert memory.call("POST", "/v1/sessions/start", keys.doomed, body).status_code in {401, 403}
    checklist.start_session(memory, keys, "second")
    assert checklist.post_and_wait(memory, keys, "second")["generationJob"]["status"] == "completed"


@pytest.mark.usefixtures("restarted")
def test_the_same_event_again_is_the_same_event(memory: Memory, keys: Keys, waited: dict[str, Any]) -> None:
    again = checklist.post_and_wait(memory, keys, "first")
    assert again["event"]["id"] == waited["event"]["id"]


@pytest.mark.usefixtures("restarted")
def test_nothing_of_it_restarted_a_container(shortest: Sample) -> None:
    assert shortest.memory.restarts() == {}
