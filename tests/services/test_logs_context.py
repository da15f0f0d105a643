"""Log lines of a request and of a job carry their ids, those of a transaction that many share carry none."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from claude_mem.logs import JsonFormatter
from claude_mem.process.logs import fields_of
from claude_mem.queue.local import DisabledQueue
from claude_mem.services import group
from claude_mem.services.ingest import IngestService
from claude_mem.telemetry.context import bound
from tests.support.databases import Storage
from tests.support.engines import asking, ended, job_for, working
from tests.support.fake_llm import FakeLlm
from tests.support.http import Server, event_body
from tests.support.load import make_world

Lines = Callable[[], list[dict[str, Any]]]


class _Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JsonFormatter(fields_of))
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture
def lines() -> Iterator[Lines]:
    """What was logged, as a collector would read it."""
    ours = logging.getLogger("claude_mem")
    kept, level = _Kept(), ours.level
    ours.addHandler(kept)
    ours.setLevel(logging.DEBUG)
    yield lambda: [json.loads(line) for line in kept.lines]
    ours.removeHandler(kept)
    ours.setLevel(level)


def test_a_requests_lines_carry_its_id(tmp_path: Path, lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise RuntimeError("nobody foresaw this")

    with Server(tmp_path) as server:
        tenant = server.tenant()
        monkeypatch.setattr(server.services.ingest, "ingest", fail)
        sent = {"X-Request-Id": "from-the-client-1", "Authorization": f"Bearer {tenant.full}"}
        with httpx.Client(base_url=server.url, trust_env=False, timeout=60) as client:
            answer = client.post("/v1/events", json=event_body(tenant.project), headers=sent)
        assert (answer.status_code, answer.headers["X-Request-Id"]) == (500, "from-the-client-1")
        forged = server.call("GET", "/v1/usage", tenant.full, headers={"X-Request-Id": "a b\tc"})
        made = forged.headers["X-Request-Id"]
        assert made != "a b\tc"
    (failed,) = [line for line in lines() if line["message"] == "a request failed"]
    assert failed["requestId"] == "from-the-client-1"
    assert "nobody foresaw this" in failed["exception"]
    answered = {line["requestId"]: line for line in lines() if line["message"] == "a request was answered"}
    assert {name: answered["from-the-client-1"][name] for name in ("route", "method", "status")} == {
        "route": "/v1/events",
        "method": "POST",
        "status": 500,
    }
    assert made in answered
    assert tenant.full not in json.dumps(lines())


@pytest.mark.usefixtures("impatient")
async def test_a_jobs_lines_carry_its_id_and_that_of_its_request(
    storage: Storage, llm: FakeLlm, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = await storage.open()
    world = await make_world(database)
    engine_log = logging.getLogger("claude_mem.of_the_test")
    provider = asking(llm)
    generate = provider.generate

    async def speaking(request: Any) -> Any:
        engine_log.info("asks")
        return await generate(request)

    monkeypatch.setattr(provider, "generate", speaking)
    ingest = IngestService(database, DisabledQueue())
    async with working(database, provider):
        job_id = await job_for(ingest, world, 1)
        await ended(database, job_id)
    (asks,) = [line for line in lines() if line["message"] == "asks"]
    assert asks["jobIds"] == [job_id]
    assert asks.get("requestIds") == ([world.caller.request_id] if world.caller.request_id else None)


async def test_a_transaction_that_many_share_speaks_for_none_of_them(lines: Lines) -> None:
    async def commit(items: Any) -> list[None]:
        logging.getLogger("claude_mem.of_the_test").info("commits")
        return [None] * len(items)

    shared: group.GroupCommit[int, None] = group.GroupCommit("ingest", commit, largest=9, parallel=1)
    with bound(requestId="r-1"):
        await shared.submit(1)
    (line,) = [line for line in lines() if line["message"] == "commits"]
    assert "requestId" not in line
