"""The database goes away and comes back: answers stay quick and honest, and the process lives."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from claude_mem.queue import dramatiq
from claude_mem.queue import valkey as valkey_client
from claude_mem.services import health
from tests.support.http import PATIENCE_S, Server, Tenant, event_body, eventually
from tests.support.postgres import PostgresServer
from tests.support.processes import halt
from tests.support.valkey import ValkeyServer

ENVIRON = {"CLAUDE_MEM_GENERATION_DISABLED": "1"}

#: Of a server that gives connections and answers up before the tests' client does.
HURRIED = ENVIRON | {
    "CLAUDE_MEM_POSTGRES_CONNECTION_TIMEOUT_MS": "8000",
    "CLAUDE_MEM_POSTGRES_STATEMENT_TIMEOUT_MS": "4000",
}


@pytest.fixture(scope="module")
def fragile() -> Iterator[PostgresServer]:
    """A PostgreSQL that may be killed."""
    with PostgresServer() as postgres:
        yield postgres


@pytest.fixture(scope="module")
def server(fragile: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("outage")
    with Server(directory, database_url=fragile.create_database(), environ=ENVIRON) as found:
        yield found


def assert_honest(server: Server, tenant: Tenant) -> None:
    for method, path, body in (
        ("GET", "/v1/usage", None),
        ("POST", "/v1/events", event_body(tenant.project)),
        ("POST", "/v1/search", {"projectId": tenant.project, "query": "q"}),
    ):
        answer = server.call(method, path, tenant.full, body)
        assert answer.status_code == 503, answer.text
        assert answer.json()["error"] == "ServiceUnavailable"
        assert "Retry-After" in answer.headers
    for path in ("/healthz", "/livez", "/api/version"):
        assert server.call("GET", path).status_code == 200
    assert server.call("GET", "/v1/info").status_code == 200
    assert server.call("GET", "/v1/info", tenant.full).status_code == 200
    ready = server.call("GET", "/readyz")
    assert (ready.status_code, ready.json()["status"]) == (503, "unready")
    assert ready.json()["checks"]["postgres"]["status"] == "error"
    assert server.call("GET", "/api/readiness").status_code == 503
    health = server.call("GET", "/api/health")
    assert (health.status_code, health.json()["status"]) == (200, "degraded")


def assert_recovered(server: Server, tenant: Tenant) -> None:
    """Everything is answered again, each as soon as a connection for it has come about."""
    body = event_body(tenant.project)
    for method, path, key, sent, status in (
        ("GET", "/v1/usage", tenant.full, None, 200),
        ("POST", "/v1/events", tenant.full, body, 201),
        ("GET", "/readyz", None, None, 200),
        ("GET", "/v1/usage", tenant.revoked, None, 403),
    ):

        def answered(asked: tuple[Any, ...] = (method, path, key, sent), wanted: int = status) -> bool:
            answer = server.call(*asked)
            assert answer.status_code in {wanted, 503}, answer.text
            return answer.status_code == wanted

        eventually(answered, what=f"{method} {path} to be answered with {status}")


def test_a_postgres_that_crashed(server: Server, fragile: PostgresServer) -> None:
    tenant = server.tenant()
    fragile.crash()
    try:
        assert_honest(server, tenant)
    finally:
        fragile.start()
    assert_recovered(server, tenant)


def test_connections_that_are_cut_while_idle(server: Server, fragile: PostgresServer) -> None:
    tenant = server.tenant()
    url, ours = fragile.url(), "pg_stat_activity WHERE application_name = 'claude-mem'"
    for _ in range(3):
        cut = fragile.query(
            url, f"SELECT pid FROM (SELECT pid, pg_terminate_backend(pid) FROM {ours}) AS cut"
        )
        # They are told to end, and do so when their turn comes.
        ended = f"SELECT count(*) FROM {ours} AND pid IN ({', '.join(cut)})"
        eventually(lambda ended=ended: fragile.query(url, ended) == ["0"], what="connections to be cut")  # type: ignore[misc]
        assert server.call("POST", "/v1/events", tenant.full, event_body(tenant.project)).status_code == 201


def test_waiting_survives_a_crash_of_the_database(server: Server, fragile: PostgresServer) -> None:
    tenant = server.tenant()
    with httpx.Client(base_url=server.url, timeout=PATIENCE_S, trust_env=False) as client:
        answers: list[httpx.Response] = []
        body = event_body(tenant.project)

        def wait() -> None:
            answers.append(client.post("/v1/events?wait=true", json=body, headers={"X-Api-Key": tenant.full}))

        waiter = threading.Thread(target=wait)
        waiter.start()
        eventually(lambda: server.services.waiter._waiting, what="the waiter")
        fragile.crash()
        try:
            waiter.join(PATIENCE_S)
        finally:
            fragile.start()
        assert answers[0].status_code == 201, answers[0].text
        assert answers[0].json()["waitTimedOut"] is True
    assert_recovered(server, tenant)


def test_a_postgres_that_hangs(
    fragile: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "TIMEOUT_S", 2.0)
    with Server(tmp_path, database_url=fragile.create_database(), environ=HURRIED) as server:
        tenant = server.tenant()
        # Connections that are there already, and would be asked without end.
        with ThreadPoolExecutor(4) as threads:
            answers = list(threads.map(lambda _: server.call("GET", "/v1/usage", tenant.full), range(12)))
        assert {answer.status_code for answer in answers} <= {200, 503}
        # First who makes the others, for one that it made meanwhile would answer; nor does it notice any more if one ends.
        halt(fragile.pid)
        pids = [*children(fragile.pid), fragile.pid]
        for pid in pids:
            halt(pid)
        try:
            assert server.call("GET", "/v1/usage", tenant.full).status_code == 503
            for path in ("/healthz", "/v1/info", "/api/health"):
                assert server.call("GET", path).status_code == 200
            assert server.call("GET", "/readyz").status_code == 503
            assert server.call("GET", "/v1/info", tenant.full).status_code == 200
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)
        assert_recovered(server, tenant)


def children(pid: int) -> list[int]:
    found = subprocess.run(["pgrep", "--parent", str(pid)], capture_output=True, text=True, check=False)
    return [int(line) for line in found.stdout.split()]


@pytest.fixture
def queued(
    postgres_url: str,
    valkey: ValkeyServer,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Server]:
    """A server whose jobs travel by Valkey, under the engine's compatible name; it is patient with a busy machine."""
    for place, name in ((dramatiq, "PATIENCE_S"), (valkey_client, "CONNECT_S"), (valkey_client, "ANSWER_S")):
        monkeypatch.setattr(place, name, PATIENCE_S)
    environ = ENVIRON | {
        "CLAUDE_MEM_QUEUE_ENGINE": " BullMQ ",
        "CLAUDE_MEM_REDIS_URL": f"redis://127.0.0.1:{valkey.port}/0",
    }
    directory = tmp_path_factory.mktemp("queued")
    with Server(directory, database_url=postgres_url, environ=environ, host="0.0.0.0") as found:
        yield found


def test_the_queue_is_shown_as_clients_know_it(queued: Server) -> None:
    address = {"mode", "host", "port", "prefix"}
    lane = {"kind", "name", "waiting", "active", "completed", "failed", "delayed", "stalled", "unavailable"}
    tenant = queued.tenant()
    queued.ok("POST", "/v1/events", tenant.full, event_body(tenant.project), status=201)
    health = queued.call("GET", "/api/health").json()
    assert health["status"] == "ok"
    assert health["queue"].keys() == {"engine", "implementation", "redis", "lanes"}
    assert (health["queue"]["engine"], health["queue"]["implementation"]) == ("bullmq", "dramatiq")
    assert health["queue"]["redis"].keys() == {"status"} | address
    assert all(found.keys() == lane for found in health["queue"]["lanes"])
    assert [(found["name"], found["waiting"]) for found in health["queue"]["lanes"]] == [
        ("server_beta_generate_event", 1),
        ("server_beta_generate_summary", 0),
    ]
    info = queued.call("GET", "/v1/info").json()
    assert info["queueLanes"] == health["queue"]["lanes"]
    manager = info["boundaries"]["queueManager"]
    assert manager["status"] == "active"
    assert manager["details"].keys() == {"engine", "implementation", "lanes"} | address
    assert manager["details"]["lanes"][0] == {"kind": "event", "name": "server_beta_generate_event"}


def test_the_queues_address_is_for_this_machine_and_for_keys(queued: Server) -> None:
    outside = queued.outside()
    if outside is None:
        pytest.skip("this machine has no address beyond loopback")
    with outside:
        tenant = queued.tenant()
        for path in ("/v1/info", "/api/health"):
            shown = str(queued.services.queue.state.details["port"])
            assert shown not in outside.get(path).text
            assert shown not in outside.get(path, headers={"X-Api-Key": tenant.revoked}).text
            assert shown in outside.get(path, headers={"X-Api-Key": tenant.read}).text
            assert shown in queued.call("GET", path).text


def test_a_valkey_that_is_gone_degrades_and_nothing_more(queued: Server, valkey: ValkeyServer) -> None:
    tenant = queued.tenant()
    valkey.crash()
    try:
        made = queued.call("POST", "/v1/events", tenant.full, event_body(tenant.project))
        assert made.status_code == 201
        assert made.json()["generationJob"]["transport"] == "queued_only"
        health = queued.call("GET", "/api/health")
        assert (health.status_code, health.json()["status"]) == (200, "degraded")
        assert health.json()["queue"]["redis"]["status"] != "ok"
        ready = queued.call("GET", "/readyz")
        assert ready.json()["checks"]["valkey"]["status"] == "error"
        assert queued.call("GET", "/v1/info").status_code == 200
    finally:
        valkey.start()
    eventually(
        lambda: queued.call("GET", "/api/health").json()["status"] == "ok", what="Valkey to be seen again"
    )
