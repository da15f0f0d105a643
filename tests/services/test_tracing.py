"""Traces lead from a client's request over its job to the provider, at a real receiver, and hold nothing that was said."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from claude_mem.generation.failover import FailoverProvider
from claude_mem.logs import JsonFormatter
from claude_mem.process.logs import fields_of
from claude_mem.storage import opening
from claude_mem.telemetry import tracing
from tests.support.engines import asking, ended, working
from tests.support.fake_llm import MODES, FakeLlm
from tests.support.http import Server, database_url, event_body

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = f"00-{TRACE}-00f067aa0ba902b7-01"
OTHER = "00-11112222333344445555666677778888-00f067aa0ba902b7-01"

pytestmark = pytest.mark.usefixtures("impatient", "patient")

#: Seconds in which the last spans leave a busy machine.
LEFT_S = 60.0


class Receiver:
    """An OTLP receiver over HTTP.

    Attributes:
        paths: where something was sent to.
        refuses: answers 503 while it is set.
    """

    def __init__(self) -> None:
        self.paths: set[str] = set()
        self.refuses = False
        self._requests: list[ExportTraceServiceRequest] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.paths.add(self.path)
                outer._requests.append(ExportTraceServiceRequest.FromString(body))
                self.send_response(503 if outer.refuses else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
                """Keep standard error for what matters."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def resources(self) -> list[dict[str, str]]:
        return [
            {each.key: each.value.string_value for each in part.resource.attributes}
            for request in self._requests
            for part in request.resource_spans
        ]

    @property
    def spans(self) -> dict[str, Any]:
        return {
            found.name: found
            for request in self._requests
            for part in request.resource_spans
            for scope in part.scope_spans
            for found in scope.spans
        }

    @property
    def text(self) -> str:
        return "\n".join(str(request) for request in self._requests)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(60)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is still to be sent when tracing ends gets its time."""
    monkeypatch.setattr(tracing, "PARTING_S", LEFT_S)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", str(LEFT_S))


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    running = Receiver()
    yield running
    running.close()


@pytest.fixture(params=["sqlite", "postgres"])
async def server(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Server]:
    url = database_url(request, request.param)
    with Server(tmp_path, database_url=url, environ={"CLAUDE_MEM_GENERATION_DISABLED": "1"}) as running:
        yield running


async def generated(server: Server, llm: FakeLlm, job_ids: list[str]) -> None:
    """Have an engine work off what the server took in."""
    database = await opening.open_database(server._settings.database)
    try:
        async with working(database, FailoverProvider([asking(llm)])):
            for job_id in job_ids:
                await ended(database, job_id)
    finally:
        await database.close()


async def test_one_trace_leads_from_the_client_to_the_provider(
    server: Server, llm: FakeLlm, receiver: Receiver
) -> None:
    async with tracing.exporting(f"{receiver.url}/", service="claude-mem-test"):
        tenant = server.tenant()
        body = event_body(tenant.project, payload={"text": "zanzibar"}, contentSessionId=None)
        headers = {"traceparent": CALLER, "Authorization": f"Bearer {tenant.full}"}
        stored = server.call("POST", "/v1/events", body=body, headers=headers).json()
        server.call("GET", "/healthz")
        await generated(server, llm, [stored["generationJob"]["id"]])
    assert receiver.paths == {"/v1/traces"}
    assert {each["service.name"] for each in receiver.resources} == {"claude-mem-test"}
    spans = receiver.spans
    assert set(spans) == {"POST /v1/events", "generate event", "chat m"}
    assert {found.trace_id.hex() for found in spans.values()} == {TRACE}
    asked, worked, said = spans["POST /v1/events"], spans["generate event"], spans["chat m"]
    assert asked.parent_span_id.hex() == CALLER.split("-")[2]
    assert worked.parent_span_id == asked.span_id
    assert said.parent_span_id == worked.span_id
    assert attributes(asked) >= {("http.route", "/v1/events"), ("http.response.status_code", 201)}
    assert attributes(said) >= {
        ("gen_ai.operation.name", "chat"),
        ("gen_ai.provider.name", "openrouter"),
        ("gen_ai.request.model", "m"),
    }
    assert dict(attributes(said))["gen_ai.usage.input_tokens"] > 0
    for secret in ("zanzibar", tenant.team, tenant.project, tenant.full, stored["event"]["id"]):
        assert secret not in receiver.text


async def test_a_failed_call_says_its_class_and_no_more(
    server: Server, llm: FakeLlm, receiver: Receiver
) -> None:
    llm.script.append(MODES["bad_request"])
    async with tracing.exporting(receiver.url, service="claude-mem-test"):
        tenant = server.tenant()
        body = event_body(tenant.project, contentSessionId=None)
        stored = server.ok("POST", "/v1/events", tenant.full, body, status=201)
        await generated(server, llm, [stored["generationJob"]["id"]])
    said = receiver.spans["chat m"]
    assert said.status.code == 2
    assert said.status.message == ""
    assert ("error.type", "unrecoverable") in attributes(said)
    assert list(said.events) == []


async def test_a_call_that_many_share_leads_back_to_each(
    server: Server, llm: FakeLlm, receiver: Receiver
) -> None:
    async with tracing.exporting(receiver.url, service="claude-mem-test"):
        tenant = server.tenant()
        session = server.ok(
            "POST",
            "/v1/sessions/start",
            tenant.full,
            {"projectId": tenant.project, "contentSessionId": "c"},
            status=201,
        )["session"]["id"]
        job_ids = []
        for number, parent in enumerate((CALLER, OTHER, "not a traceparent")):
            body = event_body(
                tenant.project, serverSessionId=session, occurredAtEpoch=1_767_225_600_000 + number
            )
            headers = {"traceparent": parent, "Authorization": f"Bearer {tenant.full}"}
            answer = server.call("POST", "/v1/events", body=body, headers=headers)
            job_ids.append(answer.json()["generationJob"]["id"])
        server.execute("UPDATE observation_generation_jobs SET next_attempt_at = NULL")
        await generated(server, llm, job_ids)
    worked = receiver.spans["generate event"]
    linked = {link.trace_id.hex() for link in worked.links} | {worked.trace_id.hex()}
    assert {TRACE, OTHER.split("-")[1]} < linked
    assert len(linked) == 3
    assert ("messaging.batch.message_count", 3) in attributes(worked)


async def test_without_an_endpoint_nothing_is_traced_and_nothing_kept(server: Server) -> None:
    async with tracing.exporting(None, service="claude-mem-test"):
        tenant = server.tenant()
        headers = {"traceparent": CALLER, "Authorization": f"Bearer {tenant.full}"}
        server.call("POST", "/v1/events", body=event_body(tenant.project), headers=headers)
        assert TRACE not in server.dump()
        assert (tracing.traceparent(), tracing.trace_id()) == (None, None)


async def test_log_lines_name_the_trace(server: Server, receiver: Receiver) -> None:
    formatter = JsonFormatter(fields_of)
    lines: list[str] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(formatter.format(record))

    log = logging.getLogger("claude_mem.http")
    kept, level = Kept(), log.level
    log.addHandler(kept)
    log.setLevel(logging.DEBUG)
    try:
        async with tracing.exporting(receiver.url, service="claude-mem-test"):
            server.call("GET", "/v1/usage", server.tenant().full, headers={"traceparent": CALLER})
    finally:
        log.removeHandler(kept)
        log.setLevel(level)
    assert [json.loads(line)["traceId"] for line in lines] == [TRACE]


async def test_a_receiver_that_is_away_holds_nobody_up(
    server: Server, monkeypatch: pytest.MonkeyPatch, receiver: Receiver
) -> None:
    monkeypatch.setattr(tracing, "PARTING_S", 0.2)
    receiver.refuses = True
    tenant = server.tenant()
    async with asyncio.timeout(60), tracing.exporting(receiver.url, service="claude-mem-test"):
        answer = server.call("POST", "/v1/events", tenant.full, event_body(tenant.project))
        assert answer.status_code == 201


def attributes(found: Any) -> set[tuple[str, Any]]:
    return {(each.key, getattr(each.value, each.value.WhichOneof("value"))) for each in found.attributes}
