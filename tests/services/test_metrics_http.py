"""GET /metrics over real databases: the queue, this server's counts and the workers', and nothing of any team."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from claude_mem.model.times import now_us
from claude_mem.services import monitoring
from claude_mem.storage import worker_figures
from claude_mem.telemetry import figures
from tests.support.http import Server, Tenant, database_url, event_body, eventually
from tests.support.postgres import PostgresServer

Figures = dict[tuple[str, frozenset[tuple[str, str]]], float]

TOKEN = "a-token-of-the-tests-own"


@pytest.fixture
def impatient_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    """The database is asked each time."""
    monkeypatch.setattr(monitoring, "KEPT_S", 0.0)


def read(server: Server, **sent: Any) -> Figures:
    answer = server.call("GET", "/metrics", **sent)
    assert answer.status_code == 200, answer.text
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def of(found: Figures, name: str, **labels: str) -> float:
    return found.get((name, frozenset(labels.items())), 0.0)


@pytest.mark.usefixtures("impatient_metrics")
def test_the_queue_is_told_by_lane_with_its_depth_and_its_oldest_job(
    tmp_path: Path, storage_url: str | None
) -> None:
    with Server(
        tmp_path, database_url=storage_url, environ={"CLAUDE_MEM_GENERATION_DISABLED": "1"}
    ) as server:
        empty = read(server)
        for lane in ("event", "summary"):
            assert ("claude_mem_queue_depth", frozenset({("lane", lane)})) in empty, (
                "zero is told, for an autoscaler"
            )
            assert of(empty, "claude_mem_queue_depth", lane=lane) == 0
            assert of(empty, "claude_mem_queue_oldest_age_seconds", lane=lane) == 0
        tenant = server.tenant()
        for _ in range(3):
            server.ok("POST", "/v1/events", tenant.full, event_body(tenant.project), status=201)
        server.execute(
            "UPDATE observation_generation_jobs SET next_attempt_at = created_at - INTERVAL '90 seconds'"
            if storage_url
            else "UPDATE observation_generation_jobs SET next_attempt_at = created_at - 90000000"
        )
        found = read(server)
        assert of(found, "claude_mem_queue_depth", lane="event") == 3
        assert of(found, "claude_mem_queue_depth", lane="summary") == 0
        assert of(found, "claude_mem_queue_oldest_age_seconds", lane="event") >= 90
        assert of(found, "claude_mem_jobs", lane="event", state="due") == 3
        server.execute("UPDATE observation_generation_jobs SET status = 'failed'")
        found = read(server)
        assert of(found, "claude_mem_queue_depth", lane="event") == 0
        assert of(found, "claude_mem_jobs", lane="event", state="failed") == 3
        assert of(found, "claude_mem_database_up") == 1
        if storage_url:
            assert of(found, "claude_mem_database_pool_connections", state="open") >= 1


def test_requests_and_events_are_counted(api: Server, tenant: Tenant) -> None:
    route = {"route": "/v1/events", "method": "POST"}
    before = read(api)
    body = event_body(tenant.project)
    for _ in range(2):
        api.call("POST", "/v1/events", tenant.full, body)
    api.call("POST", "/v1/events/batch", tenant.full, [event_body(tenant.project) for _ in range(5)])
    api.call("POST", "/v1/events", tenant.read, body)
    api.call("PROPFIND", f"/v1/{tenant.full}")
    after = read(api)

    def grown(name: str, **labels: str) -> float:
        return of(after, name, **labels) - of(before, name, **labels)

    assert grown("claude_mem_http_requests_total", **route, status="403") == 1
    assert grown("claude_mem_http_request_seconds_count", **route) == 3
    assert grown("claude_mem_ingest_events_total", outcome="duplicate") == 1
    assert grown("claude_mem_ingest_events_total", outcome="stored") == 6
    assert grown("claude_mem_ingest_batch_events_sum") == 5
    assert grown("claude_mem_group_commit_items_sum", group="ingest") == 2
    assert grown("claude_mem_queue_published_jobs_total", lane="event", outcome="queued_only") == 6
    assert grown("claude_mem_http_requests_total", route="unknown", method="other", status="404") == 1


def test_searches_and_waits_for_a_connection_are_timed(api: Server, tenant: Tenant) -> None:
    before = read(api)
    question = {"projectId": tenant.project, "query": "parser"}
    for _ in range(2):
        api.ok("POST", "/v1/search", tenant.read, question)
    api.ok("POST", "/v1/context", tenant.read, question)
    after = read(api)

    def grown(name: str, **labels: str) -> float:
        return of(after, name, **labels) - of(before, name, **labels)

    for mode, count in (("search", 2), ("context", 1)):
        assert grown("claude_mem_search_seconds_count", mode=mode) == count
        assert grown("claude_mem_search_seconds_bucket", mode=mode, le="+Inf") == count
        assert grown("claude_mem_search_seconds_sum", mode=mode) > 0
    waits = grown("claude_mem_database_pool_wait_seconds_count")
    if api.services.database.name == "postgres":
        assert waits >= 3, "each search took a connection"
        assert grown("claude_mem_database_pool_wait_seconds_sum") > 0
    else:
        assert ("claude_mem_database_pool_wait_seconds_count", frozenset()) in after


def test_nothing_of_a_team_is_told(api: Server, tenant: Tenant) -> None:
    body = event_body(tenant.project, payload={"text": "zanzibar"}, contentSessionId="session-of-zanzibar")
    event = api.ok("POST", "/v1/events", tenant.full, body, status=201)["event"]
    api.call("GET", f"/v1/events/{event['id']}", tenant.full)
    api.call("POST", "/v1/search", tenant.full, {"projectId": tenant.project, "query": "zanzibar"})
    api.call("GET", "/v1/zanzibar", tenant.full)
    text = api.call("GET", "/metrics").text
    for secret in ("zanzibar", event["id"], tenant.team, tenant.project, tenant.full, "actor-full"):
        assert secret not in text
    labels = set(re.findall(r'[{,](\w+)="', text))
    assert labels.isdisjoint({"team", "project", "teamId", "projectId", "key", "query", "session"})


@pytest.mark.usefixtures("impatient_metrics")
def test_figures_of_workers_are_told_until_they_fall_silent(api: Server) -> None:
    def report(worker: str, text: str, *, ago_s: int = 0) -> None:
        at = now_us() - ago_s * 1_000_000
        api.run(worker_figures.report(api.services.database, worker, figures=text, now_us=at))

    calls = ["claude_mem_provider_calls", "counter", "Calls."]
    labels = {"provider": "claude", "model": "m", "outcome": "ok"}
    told = [[*calls, [["claude_mem_provider_calls_total", labels, 7.0]]]]
    newer = [["claude_mem_of_a_newer_release", "gauge", "New.", [["claude_mem_of_a_newer_release", {}, 1.0]]]]
    other = [["claude_mem_queue_published_jobs", "gauge", "Not what it is here.", [["x", {}, 1.0]]]]
    report("w-1", orjson.dumps(told + newer).decode())
    report("w-2", orjson.dumps(told + other).decode())
    report("w-silent", orjson.dumps(told).decode(), ago_s=monitoring.SILENT_S + 1)
    report("w-broken", '[["cut off')
    report("w-strange", '[{"a": 1}]')
    found = read(api)
    counted = [
        worker
        for worker in ("w-1", "w-2", "w-silent")
        if of(found, "claude_mem_provider_calls_total", **labels, worker=worker) == 7
    ]
    assert counted == ["w-1", "w-2"]
    assert of(found, "claude_mem_of_a_newer_release", worker="w-1") == 1
    assert of(found, "claude_mem_workers") == 4
    assert of(found, "claude_mem_database_up") == 1
    for worker in ("w-1", "w-2", "w-broken", "w-strange"):
        api.run(worker_figures.forget(api.services.database, worker, before_us=0))
    assert of(read(api), "claude_mem_provider_calls_total", **labels, worker="w-1") == 0


def test_a_process_tells_its_own_figures_and_others_read_them(api: Server) -> None:
    told = orjson.loads(figures.dump())
    assert "claude_mem_build_info" in {name for name, *_ in told}
    merged = {family.name: family for family in figures.Merged({"w": figures.dump()}).collect()}
    builds = merged["claude_mem_build_info"].samples
    assert [sample.labels.get("worker") for sample in builds] == [None, "w"]


def test_openmetrics_is_served_to_those_who_ask(api: Server) -> None:
    answer = api.call("GET", "/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    families = openmetrics.text_string_to_metric_families(answer.text)  # type: ignore[no-untyped-call]
    names = {family.name for family in families}
    assert {"claude_mem_queue_depth", "claude_mem_http_requests", "claude_mem_search_seconds"} <= names


def test_a_token_keeps_others_out(tmp_path: Path) -> None:
    with Server(tmp_path, environ={"CLAUDE_MEM_METRICS_TOKEN": TOKEN}) as server:
        tenant = server.tenant()
        for key in (None, "wrong", TOKEN[:-1], tenant.full):
            answer = server.call("GET", "/metrics", key)
            assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer"), key
            assert TOKEN not in answer.text
            assert "claude_mem_queue" not in answer.text
        odd = server.call("GET", "/metrics", headers={"Authorization": b"Bearer \xff"})
        assert odd.status_code == 401
        assert of(read(server, key=TOKEN), "claude_mem_database_up") == 1


@contextmanager
def frozen(postgres: PostgresServer) -> Iterator[None]:
    postgres.stop()
    try:
        yield
    finally:
        postgres.start()


@pytest.mark.usefixtures("impatient_metrics")
def test_a_server_tells_its_own_figures_while_the_database_is_away(tmp_path: Path) -> None:
    with PostgresServer() as postgres:
        environ = {"CLAUDE_MEM_GENERATION_DISABLED": "1"}
        with Server(tmp_path, database_url=postgres.create_database(), environ=environ) as server:
            assert of(read(server), "claude_mem_database_up") == 1
            with frozen(postgres):
                found = read(server)
                assert found[("claude_mem_database_up", frozenset())] == 0
                assert not [
                    name
                    for name, _ in found
                    if name.startswith(("claude_mem_queue_depth", "claude_mem_workers"))
                ]
                assert (
                    of(found, "claude_mem_http_requests_total", route="/metrics", method="GET", status="200")
                    > 0
                )
            back: Callable[[], bool] = lambda: of(read(server), "claude_mem_database_up") == 1  # noqa: E731
            eventually(back, what="the database to be told of again")


@pytest.fixture(params=["sqlite", "postgres"])
def storage_url(request: pytest.FixtureRequest) -> str | None:
    return database_url(request, request.param)
