"""`--scale claude-mem-worker=4`: four workers share the jobs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.containers.stack import Stack, engine
from tests.support.checklist import SERVER, WORKER, Keys, event_body, unfinished
from tests.support.processes import wait_until

WORKERS = 4
EVENTS = 60
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
        lambda: len(scaled.containers(WORKER, running=True)) == WORKERS, what="four workers", timeout=60
    )
    scaled.steer_llm(delay_ms=1500)
    batch = [event_body(keys.project, f"scaled-{number}") for number in range(EVENTS)]
    stored = scaled.ok("POST", "/v1/events/batch", keys.full, batch, status=201)["events"]
    wait_until(lambda: scaled.sql(_BUSY) == str(WORKERS), what="jobs in the hands of all four", timeout=60)

    wait_until(lambda: unfinished(scaled, keys) == 0, what="an idle stack", timeout=90)
    for entry in stored:
        path = f"/v1/events/{entry['event']['id']}/observations"
        assert len(scaled.ok("GET", path, keys.full)["observations"]) == 1
    assert scaled.containers(SERVER) == before
