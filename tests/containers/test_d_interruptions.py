"""Events that come in while parts of the stack are restarted or die are neither lost nor observed twice."""

from __future__ import annotations

import pytest

from tests.containers.stack import Stack
from tests.support.checklist import SERVER, WORKER, Keys, event_body, unfinished
from tests.support.event_stream import IDLE_S, Stream, check_all_observed_once
from tests.support.processes import wait_until


def check_nothing_is_lost(llm: Stack, keys: Keys, stream: Stream) -> None:
    llm.steer_llm()
    check_all_observed_once(llm, keys, stream)


def test_restarts_of_every_service_in_mid_stream_lose_nothing(llm: Stack, keys: Keys) -> None:
    llm.steer_llm(delay_ms=300)
    stream = Stream(llm.url, keys, "restarted")
    with stream.running():
        for service in (WORKER, SERVER, "valkey", "postgres"):
            stream.more(10)
            llm.restart(service)
        stream.more(10)
    check_nothing_is_lost(llm, keys, stream)


@pytest.mark.parametrize("service", [WORKER, SERVER, "valkey", "postgres"])
def test_a_crash_in_mid_stream_loses_nothing(llm: Stack, keys: Keys, service: str) -> None:
    llm.steer_llm(delay_ms=300)
    stream = Stream(llm.url, keys, f"crashed-{service}")
    with stream.running():
        stream.more(10)
        llm.crash(service)
        stream.more(10)
    check_nothing_is_lost(llm, keys, stream)


def test_without_a_worker_the_wait_ends_with_the_job_as_it_stands(llm: Stack, keys: Keys) -> None:
    llm.compose("stop", WORKER)
    try:
        body = event_body(keys.project, "nobody-works")
        answer = llm.ok("POST", "/v1/events?wait=true", keys.full, body, status=201)
    finally:
        llm.compose("start", WORKER)
    assert answer["waitTimedOut"] is True
    assert answer["generationJob"]["status"] == "queued"
    wait_until(lambda: unfinished(llm, keys) == 0, what="the worker's return", timeout=IDLE_S)
    found = llm.ok("GET", f"/v1/events/{answer['event']['id']}/observations", keys.full)["observations"]
    assert len(found) == 1
