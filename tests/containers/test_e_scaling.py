"""`--scale claude-mem-worker=4`: four workers share the jobs, however long one of them takes to begin."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.containers.stack import Stack, engine
from tests.support.checklist import SERVER, WORKER, Keys, event_body, unfinished
from tests.support.processes import wait_until

WORKERS = 4
#: Events that are waiting at any time until all four are at work.
BATCH = 60
#: Seconds for containers to start, and for what is waiting to be done, on a busy machine.
PATIENCE_S = 300.0
_BUSY = "SELECT count(DISTINCT locked_by) FROM observation_generation_jobs WHERE status = 'processing'"


@pytest.fixture
def scaled(llm: Stack) -> Iterator[Stack]:
    llm.up("--scale", f"{WORKER}={WORKERS}")
    yield llm
    # podman-compose takes no container away when a service is scaled down.
    for extra in llm.containers(WORKER)[1:]:
        engine("rm", "--force", extra)


def test_four_workers_share_the_jobs_and_no_event_is_observed_twice(scaled: Stack, keys: Keys) -> None:
    before = scaled.containers(SERVER)
    wait_until(
        lambda: len(scaled.containers(WORKER, running=True)) == WORKERS,
        what="four workers",
        timeout=PATIENCE_S,
    )
    scaled.steer_llm(delay_ms=1500)
    sent: list[str] = []

    def all_have_jobs() -> bool:
        """Whether each of the four has one; work is kept waiting until then."""
        if unfinished(scaled, keys) < BATCH // 2:
            batch = [event_body(keys.project, f"scaled-{len(sent) + number}") for number in range(BATCH)]
            stored = scaled.ok("POST", "/v1/events/batch", keys.full, batch, status=201)["events"]
            sent.extend(entry["event"]["id"] for entry in stored)
        return scaled.sql(_BUSY) == str(WORKERS)

    wait_until(all_have_jobs, what="jobs in the hands of all four", timeout=PATIENCE_S)
    scaled.steer_llm()
    wait_until(lambda: unfinished(scaled, keys) == 0, what="an idle stack", timeout=PATIENCE_S)
    assert len(set(sent)) == len(sent)
    for event in sent:
        path = f"/v1/events/{event}/observations"
        assert len(scaled.ok("GET", path, keys.full)["observations"]) == 1
    assert scaled.containers(SERVER) == before
